"""Layers equal timm's and torchvision's with copied weights, the worked examples, and the published sizes."""

import pytest
import torch
from timm.layers import EcaModule, SEModule
from timm.layers.cbam import CbamModule, ChannelAttn, SpatialAttn
from torch import Tensor, nn
from torchvision.models.efficientnet import MBConv as TorchvisionMBConv
from torchvision.models.efficientnet import MBConvConfig
from torchvision.ops import SqueezeExcitation as TorchvisionSE

from vqa.layers import CBAM, EfficientChannelAttention, MBConv, SpatialAttention, SqueezeExcitation
from vqa.layers.cbam import ChannelAttention
from vqa.layers.eca import adaptive_kernel_size


def assert_equal_with_copied_weights(ours: nn.Module, theirs: nn.Module, channels: int, training: bool = False) -> None:
    """Copy every parameter in order (theirs have 1x1 convolutions where ours have linear layers) and compare."""
    mine, other = [[*m.parameters(), *m.buffers()] for m in (ours, theirs)]
    assert len(mine) == len(other)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for target, source in zip(mine, other, strict=True):
            if source.is_floating_point():
                source.copy_(torch.rand(source.shape, generator=generator) - (0.5 if source.ndim > 1 else -0.1))
            target.copy_(source.reshape(target.shape))
    x = torch.randn(3, channels, 6, 9, generator=generator)
    ours.train(training), theirs.train(training)
    out, expected = [module(x.clone().requires_grad_()) for module in (ours, theirs)]
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)
    assert (out - x).abs().max() > 0.01


@pytest.mark.parametrize("channels", [16, 64, 128])
@pytest.mark.parametrize("reduction", [2, 4, 8, 16])
def test_squeeze_excitation_equals_torchvision_and_timm(channels: int, reduction: int) -> None:
    ours = SqueezeExcitation(channels, reduction)
    assert_equal_with_copied_weights(ours, TorchvisionSE(channels, channels // reduction), channels)
    assert_equal_with_copied_weights(ours, SEModule(channels, rd_channels=channels // reduction), channels)


@pytest.mark.parametrize(("gate", "timm_gate"), [("tanh", "tanh"), ("relu", "relu")])
@pytest.mark.parametrize("bias", [True, False])
def test_other_gates_equal_timm(gate: str, timm_gate: str, bias: bool) -> None:
    theirs = SEModule(32, rd_channels=8, bias=bias, gate_layer=timm_gate)
    assert_equal_with_copied_weights(SqueezeExcitation(32, 4, gate=gate, bias=bias), theirs, 32)


def test_squeeze_excitation_worked_example() -> None:
    layer = SqueezeExcitation(3, reduction=3, bias=False)
    with torch.no_grad():
        layer.reduce.weight.copy_(torch.tensor([[0.2, 0.4, 0.1]]))
        layer.expand.weight.copy_(torch.tensor([[0.5], [1.0], [-0.5]]))
    means = torch.tensor([[2.0, 0.5, 1.0]])
    x = means[:, :, None, None] + torch.tensor([[-0.3, 0.3], [0.1, -0.1]])
    torch.testing.assert_close(layer.weights(x), torch.tensor([[0.587, 0.668, 0.413]]), atol=5e-4, rtol=0)
    torch.testing.assert_close(layer(x).mean((2, 3)), torch.tensor([[1.17, 0.33, 0.41]]), atol=5e-3, rtol=0)


def test_squeeze_max_reads_only_the_largest() -> None:
    layer = SqueezeExcitation(4, 2, squeeze="max").eval()
    x = torch.zeros(1, 4, 3, 3)
    x[0, :, 1, 2] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    alone = x[:, :, 1:2, 2:3]
    torch.testing.assert_close(layer.weights(x), layer.weights(alone))


@pytest.mark.parametrize("training", [False, True])
def test_spatial_attention_equals_timm(training: bool) -> None:
    assert_equal_with_copied_weights(SpatialAttention(), SpatialAttn(), 8, training)


def test_spatial_attention_reads_mean_before_max() -> None:
    layer = SpatialAttention(kernel_size=1).eval()
    with torch.no_grad():
        layer.conv.weight.copy_(torch.tensor([1.0, -10.0]).view(1, 2, 1, 1))
    x = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    expected = torch.sigmoid(torch.tensor(2.0 - 30.0) / (1 + layer.norm.eps) ** 0.5)
    torch.testing.assert_close(layer.weights(x), expected.view(1, 1, 1))


def test_cbam_equals_timm() -> None:
    assert_equal_with_copied_weights(ChannelAttention(64), ChannelAttn(64), 64)
    for training in (False, True):
        assert_equal_with_copied_weights(CBAM(64), CbamModule(64), 64, training)


@pytest.mark.parametrize("channels", [3, 16, 64, 128, 300, 512, 1024, 2048])
def test_eca_equals_timm(channels: int) -> None:
    assert_equal_with_copied_weights(EfficientChannelAttention(channels), EcaModule(channels), channels)


def test_eca_kernel_sizes() -> None:
    sizes = {channels: adaptive_kernel_size(channels) for channels in (64, 128, 256, 512, 1024, 2048)}
    assert sizes == {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}


@pytest.mark.parametrize(
    ("out_channels", "stride", "expansion", "kernel"), [(16, 1, 4, 3), (24, 2, 6, 5), (16, 1, 1, 3)]
)
def test_mbconv_with_the_gate_inside_equals_torchvision(
    out_channels: int, stride: int, expansion: int, kernel: int
) -> None:
    config = MBConvConfig(expansion, kernel, stride, 16, out_channels, 1)
    theirs = TorchvisionMBConv(config, 0.0, nn.BatchNorm2d)
    ours = MBConv(
        16, out_channels, stride=stride, expansion=expansion, kernel_size=kernel, excite="inside", activation="silu"
    )
    assert_same_function(ours, theirs, 16)


def assert_same_function(ours: nn.Module, theirs: nn.Module, channels: int) -> None:
    """Like the comparison above, for modules that change the number of channels."""
    with torch.no_grad():
        for target, source in zip(ours.parameters(), theirs.parameters(), strict=True):
            target.copy_(source.reshape(target.shape))
    x = torch.randn(2, channels, 7, 9, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        out, expected = ours.train(training)(x), theirs.train(training)(x)
        torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)


def test_mbconv_by_hand() -> None:
    torch.manual_seed(0)
    layer = MBConv(8, 8, expansion=2, reduction=4).eval()
    expand, norm1, _, depthwise, norm2, _, project, norm3, gate = layer.steps
    x = torch.randn(2, 8, 5, 6)

    def relu6(values: Tensor) -> Tensor:
        return values.clamp(0, 6)

    y = norm3(project(relu6(norm2(depthwise(relu6(norm1(expand(x))))))))
    torch.testing.assert_close(layer(x), x + y * gate.weights(y)[:, :, None, None])
    assert not MBConv(8, 8, stride=2).residual
    assert not MBConv(8, 16).residual
    assert len([m for m in MBConv(8, 8, excite="none").modules() if isinstance(m, SqueezeExcitation)]) == 0
