"""What the layers share: the squeeze, the gates, the modulation of channels, and the checks of shapes and options."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

Squeeze = Literal["mean", "max"]
"""How a map becomes one number a channel."""

Gate = Literal["sigmoid", "tanh", "relu", "hard"]
"""The range of the channel weights: (0, 1), (-1, 1), [0, inf), or exactly 0 and 1."""

SQUEEZES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean((2, 3)),
    "max": lambda x: x.amax((2, 3)),
}


def hard_gate(logits: Tensor) -> Tensor:
    """1 where the logit is positive and exactly 0 elsewhere, with the gradient of the sigmoid.

    The straight-through estimator of Bengio et al. 2013 ("Estimating or Propagating Gradients Through Stochastic
    Neurons"), without noise: the same logits always give the same gate.
    """
    soft = torch.sigmoid(logits)
    return (logits > 0).to(soft.dtype) + (soft - soft.detach())


GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "hard": hard_gate,
}


def film_modulate(x: Tensor, gamma: Tensor, beta: Tensor | None = None) -> Tensor:
    """Scale and shift every channel: gamma * x + beta (Perez et al. 2018, equation 2).

    x is (B, C, ...), gamma and beta are (B, C); without beta nothing is added. The result has the shape and memory
    format of x. Raises ValueError where the shapes do not agree.
    """
    expected = tuple(x.shape[:2])
    if x.ndim < 2 or tuple(gamma.shape) != expected or (beta is not None and tuple(beta.shape) != expected):
        given = f"gamma {_shape(gamma)}" + ("" if beta is None else f", beta {_shape(beta)}")
        raise ValueError(f"features {_shape(x)} need gamma and beta of shape (B, C) = {expected}, got {given}")
    broadcast = (*expected, *[1] * (x.ndim - 2))
    scaled = x * gamma.reshape(broadcast)
    return scaled if beta is None else scaled + beta.reshape(broadcast)


def coordinate_maps(features: Tensor) -> Tensor:
    """x and y of every cell, from -1 to 1, for features (N, C, H, W): (1, 2, H, W), as FiLM and CoordConv use."""
    height, width = features.shape[-2:]
    y = torch.linspace(-1, 1, height, device=features.device, dtype=features.dtype)
    x = torch.linspace(-1, 1, width, device=features.device, dtype=features.dtype)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])[None]


def check_features(x: Tensor, channels: int | None = None) -> None:
    """Raise ValueError unless x is a feature map (B, C, H, W) of `channels` channels, where given, and of some size."""
    if x.ndim != 4 or 0 in x.shape[1:] or (channels is not None and x.shape[1] != channels):
        wanted = "C" if channels is None else channels
        raise ValueError(f"features must be (B, {wanted}, H, W) with H and W of at least 1, got {_shape(x)}")


def check_vectors(name: str, vectors: Tensor, features: int, batch: int | None = None) -> None:
    """Raise ValueError unless `vectors` is (B, features), with B = `batch` where that is given."""
    if vectors.ndim != 2 or vectors.shape[1] != features or (batch is not None and vectors.shape[0] != batch):
        rows = "B" if batch is None else batch
        raise ValueError(f"{name} must be ({rows}, {features}), got {_shape(vectors)}")


def check_option(name: str, value: object, options: Iterable[object]) -> None:
    """Raise ValueError, naming what can be chosen, unless `value` is among `options`."""
    options = list(options)
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(str, options))}, got {value!r}")


def check_positive(**sizes: int) -> None:
    """Raise ValueError, naming the first that is not, unless every size is at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
