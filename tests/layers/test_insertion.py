"""Squeeze-and-excitation put into torchvision's and timm's networks."""

import copy
import pickle

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from vqa.layers import SqueezeExcitation, add_squeeze_excitation


def gates(model: nn.Module) -> dict[str, SqueezeExcitation]:
    return {name: module for name, module in model.named_modules() if isinstance(module, SqueezeExcitation)}


def image(batch: int = 2, size: int = 64) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def small_resnet(block: type = models.resnet.BasicBlock, **options) -> nn.Module:
    torch.manual_seed(0)
    return models.ResNet(block, [1, 1, 2, 1], num_classes=5, **options).eval()


def open_gates(model: nn.Module) -> None:
    """Make every weight exactly 1."""
    for gate in gates(model).values():
        gate.gate = "relu"
        nn.init.zeros_(gate.expand.weight)
        nn.init.ones_(gate.expand.bias)


@pytest.mark.parametrize(("depth", "parameters"), [(50, 28.1e6), (101, 49.3e6), (152, 66.8e6)])
def test_se_resnets_have_the_published_sizes(depth: int, parameters: float) -> None:
    def flops(model: nn.Module) -> int:
        with FlopCounterMode(display=False) as counter:
            model.eval()(torch.zeros(1, 3, 224, 224, device="meta"))
        return counter.get_total_flops()

    with torch.device("meta"):
        plain = getattr(models, f"resnet{depth}")()
        gated = add_squeeze_excitation(copy.deepcopy(plain))
    before, after = [sum(p.numel() for p in model.parameters()) for model in (plain, gated)]
    assert after == pytest.approx(parameters, abs=0.05e6)
    assert 1.095 < after / before < 1.115
    assert 1 < flops(gated) / flops(plain) < 1.01


@pytest.mark.parametrize("placement", ["standard", "pre", "post", "identity"])
@pytest.mark.parametrize("block", [models.resnet.BasicBlock, models.resnet.Bottleneck])
def test_open_gates_change_nothing_and_closed_gates_do(block: type, placement: str) -> None:
    plain = small_resnet(block)
    expected = plain(image())
    gated = add_squeeze_excitation(copy.deepcopy(plain), placement=placement, reduction=8)
    assert len(gates(gated)) == 5
    assert not gated(image()).allclose(expected, rtol=1e-3)
    open_gates(gated)
    torch.testing.assert_close(gated(image()), expected)
    gated.train()(image()).sum().backward()
    assert all(p.grad is not None for p in gated.parameters())


@pytest.mark.parametrize("placement", ["standard", "pre", "post", "identity"])
def test_each_placement_gates_its_own_branch(placement: str) -> None:
    """With every weight 2: twice the residual, its input, the sum or the identity."""
    block = models.resnet.BasicBlock(4, 4).eval()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), block)
    x = image(size=6)
    y = model[0](x)

    def residual(value: Tensor) -> Tensor:
        return block.bn2(block.conv2(block.relu(block.bn1(block.conv1(value)))))

    expected = {
        "standard": (2 * residual(y) + y).relu(),
        "pre": (residual(2 * y) + y).relu(),
        "post": 2 * (residual(y) + y).relu(),
        "identity": (residual(y) + 2 * y).relu(),
    }[placement]
    add_squeeze_excitation(model, placement=placement, reduction=2)
    open_gates(model)
    for gate in gates(model).values():
        nn.init.constant_(gate.expand.bias, 2)
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("placement", ["standard", "identity"])
def test_original_weights_keep_their_names_and_values(placement: str) -> None:
    model = small_resnet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    add_squeeze_excitation(model.train(), placement=placement)
    after = model.state_dict()
    assert all(after[name].equal(value) for name, value in before.items())
    assert all(module.training for module in model.modules())
    result = add_squeeze_excitation(small_resnet(), placement=placement).load_state_dict(before, strict=False)
    assert not result.unexpected_keys
    assert all("squeeze_excitation" in name for name in result.missing_keys)


def test_copies_and_pickles_have_their_own_gates() -> None:
    model = add_squeeze_excitation(small_resnet())
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    expected = model(image())
    open_gates(model)
    for other in copies:
        torch.testing.assert_close(other(image()), expected)
    assert not model(image()).allclose(expected)


def test_resnext_and_timm_by_default() -> None:
    resnext = add_squeeze_excitation(small_resnet(models.resnet.Bottleneck, groups=4, width_per_group=8))
    assert next(iter(gates(resnext))) == "layer1.0.bn3.squeeze_excitation"
    theirs = timm.create_model("resnet18", pretrained=False, num_classes=3).eval()
    add_squeeze_excitation(theirs, reduction=4, gate="tanh")
    assert [gate.channels for gate in gates(theirs).values()] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert theirs(image()).shape == (2, 3)


def test_googlenet_inception_blocks() -> None:
    model = models.googlenet(weights=None, init_weights=False, num_classes=4, aux_logits=False)
    add_squeeze_excitation(model, after=lambda name, module: type(module).__name__ == "Inception")
    widths = [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    assert [gate.channels for gate in gates(model).values()] == widths
    model.train()(image()).sum().backward()
    assert all(p.grad.isfinite().all() for gate in gates(model).values() for p in gate.parameters())


def test_vgg_by_name_and_whole_stages_of_a_sequential() -> None:
    vgg = models.vgg11(weights=None, init_weights=False, num_classes=4).eval()
    add_squeeze_excitation(vgg, after=lambda name, module: name in {"features.0", "features.4", "features"})
    assert {name: gate.channels for name, gate in gates(vgg).items()} == {
        "features.squeeze_excitation": 512,
        "features.0.squeeze_excitation": 64,
        "features.4.squeeze_excitation": 128,
    }
    expected = vgg(image(size=32))
    nn.init.constant_(vgg.features.squeeze_excitation.expand.bias, -100)
    assert not vgg(image(size=32)).allclose(expected)


def test_exported_network_keeps_its_gates() -> None:
    model = add_squeeze_excitation(small_resnet())
    program = torch.export.export(model, (image(),))
    torch.testing.assert_close(program.module()(image()), model(image()))
    assert any("squeeze_excitation" in name for name in program.state_dict)


@pytest.mark.parametrize("placement", ["standard", "pre", "post", "identity"])
def test_a_symbolic_trace_keeps_the_gates(placement: str) -> None:
    model = add_squeeze_excitation(small_resnet(), placement=placement)
    traced = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(traced(image()), model(image()))
    for gate in gates(model).values():
        nn.init.constant_(gate.expand.bias, -100)
    torch.testing.assert_close(traced(image()), model(image()))


def test_what_cannot_be_gated_is_refused_and_nothing_changes() -> None:
    relu_is_used_twice = small_resnet(models.resnet.Bottleneck)
    dense = models.DenseNet(growth_rate=4, block_config=(1, 1, 1, 1), num_init_features=8, num_classes=2)
    cases = [
        (models.vgg11(weights=None, init_weights=False), {}, "no module"),
        (small_resnet(), {"after": lambda name, module: name == "fc"}, r"fc yields no \(B, C, H, W\)"),
        (small_resnet(), {"after": lambda name, module: True, "placement": "post"}, "leave it out"),
        (small_resnet(), {"placement": "between"}, "placement must be one of"),
        (relu_is_used_twice, {"after": lambda name, module: name == "layer2.0.relu"}, r"\[128, 512\] channels"),
        (dense, {"after": lambda name, module: name == "features.denseblock1"}, "runs its children itself"),
        (add_squeeze_excitation(small_resnet()), {}, "already"),
        (nn.Linear(3, 3), {"after": lambda name, module: True}, "no module"),
    ]
    for model, options, message in cases:
        before = len(list(model.modules()))
        with pytest.raises(ValueError, match=message):
            add_squeeze_excitation(model, **options)
        assert len(list(model.modules())) == before
