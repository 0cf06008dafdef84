"""The channel-entropy guard: its values, its gradients, and a collapse with and without it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vqa.layers import SqueezeExcitation, channel_entropy
from vqa.layers.entropy import ENTROPY_FLOOR, entropy_penalties, gate_statistics

VECTORS = st.integers(1, 40).flatmap(lambda c: st.lists(st.floats(-100, 100), min_size=c, max_size=c))


def test_known_values() -> None:
    assert channel_entropy(torch.ones(2, 64)).tolist() == pytest.approx([math.log(64)] * 2)
    assert channel_entropy(torch.eye(5)).tolist() == [0] * 5
    weights = torch.tensor([[0.5, -0.25, 0.125, 0.125, 0.0]])
    assert channel_entropy(weights).item() == pytest.approx(1.75 * math.log(2))


@settings(deadline=None)
@given(VECTORS)
def test_bounds_scale_order_and_sign(values: list[float]) -> None:
    weights = torch.tensor([values], dtype=torch.float64)
    entropy = channel_entropy(weights)
    assert -1e-9 <= entropy.item() <= math.log(len(values)) + 1e-9
    torch.testing.assert_close(channel_entropy(-weights.flip(1)), entropy)
    if weights.abs().sum() > 1e-3:
        torch.testing.assert_close(channel_entropy(7 * weights), entropy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [0.0, 1e-30, 1.0, 3e4])
def test_zero_and_extreme_weights_have_finite_values_and_gradients(dtype: torch.dtype, value: float) -> None:
    weights = torch.zeros(3, 8, dtype=dtype)
    weights[1, 2] = value
    weights[2] = value
    weights.requires_grad_()
    entropy = channel_entropy(weights)
    (entropy.sum() + entropy_penalties(weights).mean()).backward()
    assert entropy.isfinite().all()
    assert weights.grad.isfinite().all()
    assert entropy[0] == 0
    assert entropy.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_gradients_equal_finite_differences() -> None:
    weights = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(channel_entropy, (weights,))
    peaked = torch.eye(3, 7, dtype=torch.float64) + 0.01
    assert torch.autograd.gradcheck(entropy_penalties, (peaked.requires_grad_(),))


def test_penalty_fires_only_below_the_floor() -> None:
    collapsed, even = torch.eye(4, 64), torch.ones(4, 64)
    floor = ENTROPY_FLOOR * math.log(64)
    assert (3.0 * entropy_penalties(collapsed).mean()).item() == pytest.approx(3 * floor)
    assert entropy_penalties(even).mean().item() == 0
    assert entropy_penalties(torch.cat([collapsed, even])).mean().item() == pytest.approx(floor / 2)
    assert entropy_penalties(torch.rand(4, 1)).mean().item() == 0


def test_statistics_see_collapse_by_entropy_and_saturation_by_spread() -> None:
    one_channel = torch.zeros(6, 32).index_fill(1, torch.tensor([3]), 0.9)
    saturated = torch.full((6, 32), 0.999)
    asked = torch.rand(6, 32, generator=torch.Generator().manual_seed(0))
    entropy, effective, fired, spread = (value.item() for value in gate_statistics(one_channel))
    assert (entropy, effective, fired, spread) == pytest.approx((0, 1, 1, 0))
    even = gate_statistics(saturated)
    assert even.effective_channels.item() == pytest.approx(32, rel=1e-4)
    assert even.fired == 0
    assert even.spread.item() == pytest.approx(0, abs=1e-6)
    assert gate_statistics(asked).spread > 0.2
    assert gate_statistics(asked[:1]).spread == 0


@pytest.mark.parametrize("shape", [(4,), (2, 0), (2, 3, 4)])
def test_wrong_shapes_are_named(shape: tuple[int, ...]) -> None:
    for function in (channel_entropy, entropy_penalties, gate_statistics):
        with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
            function(torch.zeros(shape))


def train_gate(strength: float) -> tuple[Tensor, float]:
    """Learn a label that one channel in 32 tells, the others being noise, from the weighted mean of the channels.

    The more of its weight the gate puts on that channel, the less noise there is: the loss itself asks for a collapse.
    Returns the weights (B, 32) and the accuracy on new samples.
    """
    channels, informed = 32, 5
    generator = torch.Generator().manual_seed(0)

    def sample(count: int) -> tuple[Tensor, Tensor]:
        label = torch.randint(0, 2, (count,), generator=generator)
        x = torch.randn(count, channels, 2, 2, generator=generator)
        x[:, informed] = 2.0 * label[:, None, None] - 1
        return x, label

    torch.manual_seed(0)
    gate = SqueezeExcitation(channels, reduction=2)
    optimizer = torch.optim.Adam(gate.parameters(), 0.02)

    def logits(x: Tensor, weights: Tensor) -> Tensor:
        return 4 * (weights * x.mean((2, 3))).sum(1) / weights.sum(1)

    for _ in range(300):
        x, label = sample(64)
        weights = gate.weights(x)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits(x, weights), label.float())
        optimizer.zero_grad()
        (loss + (strength * entropy_penalties(weights).mean())).backward()
        optimizer.step()
    x, label = sample(512)
    weights = gate.weights(x).detach()
    return weights, ((logits(x, weights) > 0) == label.bool()).float().mean().item()


def test_a_gate_collapses_without_the_guard_and_not_with_it() -> None:
    collapsed, accuracy = train_gate(strength=0)
    alone = gate_statistics(collapsed)
    assert alone.effective_channels < 2
    assert alone.fired > 0.9
    guarded, guarded_accuracy = train_gate(strength=10)
    held = gate_statistics(guarded)
    assert held.entropy > 0.9 * ENTROPY_FLOOR * math.log(32)
    assert held.effective_channels > 2.3 > alone.effective_channels
    assert min(accuracy, guarded_accuracy) > 0.9
