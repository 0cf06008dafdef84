"""Squeeze-and-excitation that also hears the question: which channels matter depends on what is asked.

Our own joining of Hu et al. 2018 (the gate) with Perez et al. 2018 (the conditioning).
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vqa.layers.functional import (
    GATES,
    SQUEEZES,
    Gate,
    Squeeze,
    check_features,
    check_option,
    check_positive,
    check_vectors,
    film_modulate,
)

Join = Literal["concat", "query", "features", "multiply"]


class Excitation(NamedTuple):
    """What the gate decides: `weights` (B, C), and `shift` (B, C) or None."""

    weights: Tensor
    shift: Tensor | None


class QueryConditionedSE(nn.Module):
    """y = x * gate(W2 relu(W1 [squeeze(x); Wq q])), optionally + shift.

    Args:
        channels: channels C of the features.
        query_features: size of the query vector q.
        reduction: r; the hidden layer has max(1, C // r) units.
        squeeze: "mean" or "max" over all places.
        gate: "sigmoid", "tanh" or "relu".
        join: what W1 reads. "concat": [squeeze(x); Wq q]; "query": Wq q; "features": squeeze(x), which is
            `SqueezeExcitation` and ignores the query; "multiply": squeeze(x) * Wq q.
        shift: W2 also yields, without a gate, a (B, C) vector that is added everywhere, so that what is seen in one
            place can be told to all places within one layer.

    `forward` returns the features alone; `excite` gives the weights and the shift, for who wants to show them, and
    `film_modulate(x, *module.excite(x, query))` is `forward` without computing them twice. Raises ValueError for an
    unknown option and for shapes that do not agree.
    """

    def __init__(
        self,
        channels: int,
        query_features: int,
        reduction: int = 16,
        *,
        squeeze: Squeeze = "mean",
        gate: Gate = "sigmoid",
        join: Join = "concat",
        shift: bool = False,
    ) -> None:
        super().__init__()
        check_positive(channels=channels, query_features=query_features, reduction=reduction)
        check_option("squeeze", squeeze, SQUEEZES)
        check_option("gate", gate, GATES)
        check_option("join", join, ["concat", "query", "features", "multiply"])
        self.channels, self.query_features = channels, query_features
        self.squeeze, self.gate, self.join, self.shift = squeeze, gate, join, shift
        hidden = max(1, channels // reduction)
        self.project = None if join == "features" else nn.Linear(query_features, channels, bias=False)
        self.reduce = nn.Linear(channels * (2 if join == "concat" else 1), hidden)
        self.expand = nn.Linear(hidden, channels * (2 if shift else 1))

    def excite(self, x: Tensor, query: Tensor) -> Excitation:
        """The channel weights (B, C) and the shift (B, C) or None, for x (B, C, H, W) and query (B, query_features)."""
        check_features(x, self.channels)
        check_vectors("query", query, self.query_features, batch=x.shape[0])
        out = self.expand(torch.relu(self.reduce(self._joined(x, query))))
        if self.shift:
            logits, shift = out.chunk(2, dim=1)
            return Excitation(GATES[self.gate](logits), shift)
        return Excitation(GATES[self.gate](out), None)

    def weights(self, x: Tensor, query: Tensor) -> Tensor:
        """The channel weights (B, C) alone."""
        return self.excite(x, query).weights

    def forward(self, x: Tensor, query: Tensor) -> Tensor:
        """x (B, C, H, W) with every channel scaled by its weight, and shifted where `shift` is on."""
        return film_modulate(x, *self.excite(x, query))

    def _joined(self, x: Tensor, query: Tensor) -> Tensor:
        if self.project is None:
            return SQUEEZES[self.squeeze](x)
        asked = self.project(query)
        if self.join == "query":
            return asked
        seen = SQUEEZES[self.squeeze](x)
        return seen * asked if self.join == "multiply" else torch.cat([seen, asked], dim=1)

    def extra_repr(self) -> str:
        return f"squeeze={self.squeeze}, gate={self.gate}, join={self.join}, shift={self.shift}"
