"""The channel-entropy regularizer: detects, and can penalize, a gate that lets only a few channels through."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

ENTROPY_FLOOR = 0.2734
"""The penalty starts below this fraction of ln C, the entropy of equal weights."""

_EMPTY = 1e-12


def channel_entropy(weights: Tensor) -> Tensor:
    """Shannon entropy, in nats, of how each sample's weight spreads over its channels.

    p = |w| / sum |w| and H = -sum p ln p, with 0 ln 0 = 0: from 0 (one channel) to ln C (all alike). Weights (B, C) of
    any sign give H (B,). A sample whose weights are all zero has H = 0, with finite gradients; so, smoothly, have those
    whose sizes sum to far less than 1e-12. bfloat16 and float16 are computed in float32. Raises ValueError unless
    `weights` is (B, C) with C of at least 1.
    """
    if weights.ndim != 2 or weights.shape[1] == 0:
        raise ValueError(f"channel weights must be (B, C) with C of at least 1, got {tuple(weights.shape)}")
    if weights.dtype in (torch.bfloat16, torch.float16):
        weights = weights.float()
    size = weights.abs()
    p = size / size.sum(dim=1, keepdim=True).clamp_min(_EMPTY)
    return (p * p.clamp_min(torch.finfo(p.dtype).tiny).log().neg()).sum(dim=1)


def entropy_penalties(weights: Tensor, floor: float = ENTROPY_FLOOR) -> Tensor:
    """relu(floor * ln C - H) of each sample: (B,) for channel weights (B, C). Raises ValueError unless they are so."""
    entropy = channel_entropy(weights)
    return torch.relu(floor * math.log(weights.shape[1]) - entropy)


class GateStatistics(NamedTuple):
    """What to log of one gate over a batch; every field is a scalar tensor."""

    entropy: Tensor
    """mean H, in nats"""
    effective_channels: Tensor
    """mean exp(H): of 1 to C channels"""
    fired: Tensor
    """fraction of the samples that `entropy_penalties` penalizes"""
    spread: Tensor
    """mean over the channels of a weight's standard deviation over the batch: near 0, the gate hears no question"""


@torch.no_grad()
def gate_statistics(weights: Tensor, floor: float = ENTROPY_FLOOR) -> GateStatistics:
    """Statistics of channel weights (B, C), B over questions.

    The entropy cannot see a gate that is saturated evenly, as equal weights have the highest entropy; the spread does.
    """
    entropy = channel_entropy(weights)
    below = entropy < floor * math.log(weights.shape[1])
    return GateStatistics(
        entropy.mean(), entropy.exp().mean(), below.float().mean(), weights.float().std(dim=0, correction=0).mean()
    )
