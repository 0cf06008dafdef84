"""Squeeze-and-excitation (Hu et al. 2018, "Squeeze-and-Excitation Networks")."""

from collections.abc import Callable
from typing import Literal

import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from vqa.layers.functional import (
    GATES,
    SQUEEZES,
    Gate,
    Squeeze,
    check_features,
    check_option,
    check_positive,
    film_modulate,
)

for _name in ("check_features", "film_modulate"):
    torch.fx.wrap(_name)  # they look at shapes, which a symbolic trace has not

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "silu": F.silu}


class SqueezeExcitation(nn.Module):
    """y = x * gate(W2 relu(W1 squeeze(x))): one weight for each channel, read from all channels (section 3).

    Args:
        channels: channels C of the features.
        reduction: r; the hidden layer has max(1, C // r) units.
        squeeze: "mean" (the paper's) or "max" over all places.
        gate: "sigmoid" (the paper's), "tanh" or "relu".
        bias: whether the two linear layers have biases.
        activation: between the two layers, "relu" (the paper's) or "silu" (EfficientNet's).

    Costs about 2 * C^2 / r parameters, and for a map one read and one scaling. Raises ValueError for an unknown option
    and, in `forward`, for x that is not (B, C, H, W).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        *,
        squeeze: Squeeze = "mean",
        gate: Gate = "sigmoid",
        bias: bool = True,
        activation: Literal["relu", "silu"] = "relu",
    ) -> None:
        super().__init__()
        check_positive(channels=channels, reduction=reduction)
        check_option("squeeze", squeeze, SQUEEZES)
        check_option("gate", gate, GATES)
        check_option("activation", activation, _ACTIVATIONS)
        self.channels, self.squeeze, self.gate, self.activation = channels, squeeze, gate, activation
        hidden = max(1, channels // reduction)
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.expand = nn.Linear(hidden, channels, bias=bias)

    def weights(self, x: Tensor, query: Tensor | None = None) -> Tensor:
        """The channel weights (B, C) for x (B, C, H, W); the query is not read."""
        check_features(x, self.channels)
        hidden = _ACTIVATIONS[self.activation](self.reduce(SQUEEZES[self.squeeze](x)))
        return GATES[self.gate](self.expand(hidden))

    def forward(self, x: Tensor, query: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """x (B, C, H, W) with every channel scaled by its weight, or by the `weights` (B, C) given instead."""
        return film_modulate(x, self.weights(x) if weights is None else weights)

    def extra_repr(self) -> str:
        return f"squeeze={self.squeeze}, gate={self.gate}"
