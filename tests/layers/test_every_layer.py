"""What every layer promises: shapes, gradients, precisions, memory formats, export, and errors that name the shapes."""

import shutil
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vqa.layers import (
    CBAM,
    EfficientChannelAttention,
    FiLM,
    MBConv,
    PathwayBank,
    QueryConditionedSE,
    SpatialAttention,
    SqueezeExcitation,
)
from vqa.layers.mbconv import MBConvEncoder

C, Q = 16, 6


class Case(NamedTuple):
    make: Callable[[], nn.Module]
    vectors: tuple[int, ...] = ()
    """sizes of the vectors (B, size) that the layer takes after x"""
    channels: int = C
    out_channels: int = C
    stride: int = 1


CASES = {
    "se": Case(lambda: SqueezeExcitation(C, 4)),
    "se-max-tanh": Case(lambda: SqueezeExcitation(C, 4, squeeze="max", gate="tanh", bias=False)),
    "se-relu-silu": Case(lambda: SqueezeExcitation(C, 4, gate="relu", activation="silu")),
    "film": Case(lambda: FiLM(Q, C), (Q,)),
    "film-tanh": Case(lambda: FiLM(Q, C, gamma="tanh", beta="fixed"), (Q,)),
    "qcse": Case(lambda: QueryConditionedSE(C, Q, 4), (Q,)),
    "qcse-shift": Case(lambda: QueryConditionedSE(C, Q, 4, squeeze="max", join="multiply", shift=True), (Q,)),
    "eca": Case(lambda: EfficientChannelAttention(C)),
    "spatial": Case(lambda: SpatialAttention()),
    "cbam": Case(lambda: CBAM(C, 4)),
    "mbconv": Case(lambda: MBConv(C, C, expansion=2, reduction=4)),
    "mbconv-inside": Case(lambda: MBConv(C, 8, stride=2, expansion=2, excite="inside"), out_channels=8, stride=2),
    "mbconv-encoder": Case(lambda: MBConvEncoder((8, C), expansion=2), channels=3, stride=4),
    "pathways": Case(lambda: PathwayBank(C, 8, Q, pathways=3, reduction=4), (Q,), out_channels=8),
}
EXPORT_CASES = ["se", "film", "qcse-shift", "eca", "cbam", "mbconv-inside", "pathways"]


def build(name: str, batch: int = 2, height: int = 5, width: int = 7, dtype=torch.float32) -> tuple[nn.Module, list]:
    case = CASES[name]
    torch.manual_seed(0)
    layer = case.make().to(dtype)
    shapes = [(batch, case.channels, height, width), *[(batch, size) for size in case.vectors]]
    return layer, [torch.randn(shape, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=8, deadline=None)
@given(batch=st.integers(1, 3), height=st.integers(1, 9), width=st.integers(1, 9))
def test_any_batch_and_any_map_size(name: str, batch: int, height: int, width: int) -> None:
    layer, inputs = build(name, batch, height, width)
    case = CASES[name]
    out = layer.eval()(*inputs)
    assert out.shape == (batch, case.out_channels, -(-height // case.stride), -(-width // case.stride))
    assert out.isfinite().all()


@pytest.mark.parametrize("name", CASES)
def test_training_on_a_batch_of_one_reaches_every_parameter(name: str) -> None:
    layer, inputs = build(name, batch=1)
    variables = {f"input {i}": tensor.requires_grad_() for i, tensor in enumerate(inputs)} | dict(
        layer.named_parameters()
    )
    layer.train()(*inputs).square().sum().backward()
    for key, variable in variables.items():
        assert variable.grad is not None, key
        assert variable.grad.isfinite().all(), key


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_finite_differences(name: str) -> None:
    layer, inputs = build(name, batch=2, height=3, width=2, dtype=torch.float64)
    names, parameters = zip(*layer.named_parameters(), strict=True) if list(layer.parameters()) else ((), ())
    inputs = [tensor.requires_grad_() for tensor in inputs]
    count = len(inputs)

    def call(*tensors: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, tensors[count:], strict=True)), tensors[:count])

    variables = (*inputs, *[parameter.detach().requires_grad_() for parameter in parameters])
    assert torch.autograd.gradcheck(call, variables, fast_mode=True)


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_autocast_is_near_float32(name: str) -> None:
    layer, inputs = build(name)
    layer.eval()
    expected = layer(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(inputs[0].bfloat16(), *inputs[1:])
        mixed = layer(*inputs)
    for out in (low, mixed):
        torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", CASES)
def test_channels_last_gives_the_same_values(name: str) -> None:
    layer, inputs = build(name)
    layer.eval()
    expected = layer(*inputs)
    out = layer.to(memory_format=torch.channels_last)(inputs[0].to(memory_format=torch.channels_last), *inputs[1:])
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", CASES)
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    layer, inputs = build(name, batch=3)
    layer.eval()
    torch.testing.assert_close(layer(*inputs)[1:2], layer(*[tensor[1:2] for tensor in inputs]))


@pytest.mark.parametrize("name", CASES)
def test_wrong_shapes_are_named(name: str) -> None:
    layer, (x, *vectors) = build(name)
    if name != "spatial":
        with pytest.raises(ValueError, match=r"\(2, 17, 5, 7\)|\(2, 16\)"):
            layer(x.new_zeros(2, 17, 5, 7), *vectors)
    with pytest.raises(ValueError, match=r"\(2,\)"):
        layer(x.new_zeros(2), *vectors)
    if vectors:
        with pytest.raises(ValueError, match=rf"\(2, {vectors[0].shape[1] + 1}\)"):
            layer(x, *[torch.cat([vector, vector[:, :1]], 1) for vector in vectors])
        with pytest.raises(ValueError, match=rf"\(1, ({Q}|{C})\)"):
            layer(x, *[vector[:1] for vector in vectors])


@pytest.mark.parametrize("name", EXPORT_CASES)
def test_export_with_free_batch_and_map_size(name: str) -> None:
    layer, inputs = build(name)
    auto = torch.export.Dim.AUTO
    free = [{0: auto, 2: auto, 3: auto}, *[{0: auto} for _ in inputs[1:]]]
    program = torch.export.export(layer.eval(), tuple(inputs), dynamic_shapes=tuple(free))
    _, others = build(name, batch=3, height=8, width=6)
    torch.testing.assert_close(program.module()(*others), layer(*others))


@pytest.mark.parametrize("name", CASES)
def test_one_graph_for_the_compiler(name: str) -> None:
    layer, inputs = build(name)
    layer.eval()
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), layer(*inputs))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("name", CASES)
def test_compiled_forward_and_backward(name: str) -> None:
    layer, inputs = build(name)
    x = inputs[0].requires_grad_()
    torch._dynamo.reset()
    expected = layer(*inputs)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    out = torch.compile(layer)(*inputs)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(out.square().sum(), x)[0], gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SqueezeExcitation(C, squeeze="sum"), "squeeze must be one of mean, max"),
        (lambda: SqueezeExcitation(C, reduction=0), "reduction must be at least 1"),
        (lambda: QueryConditionedSE(C, Q, gate="softmax"), "gate must be one of sigmoid, tanh, relu"),
        (lambda: QueryConditionedSE(C, Q, join="add"), "join must be one of concat"),
        (lambda: FiLM(Q, C, gamma="relu"), "gamma must be one of free"),
        (lambda: FiLM(Q, C, gamma="fixed", beta="fixed"), "both fixed"),
        (lambda: EfficientChannelAttention(C, 4), "kernel_size must be odd"),
        (lambda: SpatialAttention(6), "kernel_size must be odd"),
        (lambda: MBConv(C, C, stride=3), "stride must be one of 1, 2"),
        (lambda: MBConvEncoder(()), "at least one halving"),
        (lambda: MBConvEncoder((C, 0)), r"widths\[1\] must be at least 1"),
        (lambda: PathwayBank(C, C, Q, pathways=0), "pathways must be at least 1"),
    ],
)
def test_unknown_options_are_named(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
