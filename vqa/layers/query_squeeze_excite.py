"""Query-conditioned squeeze-and-excitation: which channels pass depends on the question.

Joins the gate of Hu et al. 2018 with the conditioning of Perez et al. 2018.
"""

from typing import Literal

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


class QueryConditionedSE(nn.Module):
    """y = x * gate(W2 relu(W1 [squeeze(x); Wq q])), optionally + shift.

    Args:
        channels: channels C of the features.
        query_features: size of the query vector q.
        reduction: r; the hidden layer has max(1, C // r) units.
        squeeze: "mean" or "max" over all places.
        gate: "sigmoid", "tanh", "relu", or "hard": exactly 0 or 1, trained by the straight-through estimator (see
            `vqa.layers.functional.hard_gate`).
        join: what W1 reads. "concat": [squeeze(x); Wq q]; "query": Wq q, so that the question alone decides;
            "features": squeeze(x), which is `SqueezeExcitation` and ignores the query; "multiply": squeeze(x) * Wq q.
        shift: W2 also yields, without a gate, a (B, C) vector that is added at every place, so that what is seen in one
            place can be told to all places within one layer.

    `forward` returns the features; `weights` the channel weights, which `forward` takes back so that they need not be
    computed twice, or can be replaced. `logits` are what the gate decides by, for losses on hard gates. Raises
    ValueError for an unknown option and for shapes that do not agree.
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

    def logits(self, x: Tensor | None, query: Tensor) -> Tensor:
        """The gate's logits (B, C), for x (B, C, H, W) (not read, and may be None, with join="query")."""
        return self._excite(x, query)[:, : self.channels]

    def weights(self, x: Tensor | None, query: Tensor | None = None) -> Tensor:
        """The channel weights (B, C) for x (B, C, H, W) and query (B, query_features)."""
        return GATES[self.gate](self.logits(x, self._given(query)))

    def forward(self, x: Tensor, query: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """x (B, C, H, W), every channel scaled by its weight (or the `weights` given), and shifted where `shift`."""
        if self.shift:
            logits, shift = self._excite(x, self._given(query)).chunk(2, dim=1)
            return film_modulate(x, GATES[self.gate](logits) if weights is None else weights, shift)
        return film_modulate(x, self.weights(x, query) if weights is None else weights)

    def _given(self, query: Tensor | None) -> Tensor:
        if query is None:
            raise ValueError(f"query must be (B, {self.query_features}); this gate depends on it")
        return query

    def _excite(self, x: Tensor | None, query: Tensor) -> Tensor:
        if x is not None:
            check_features(x, self.channels)
        check_vectors("query", query, self.query_features, batch=None if x is None else x.shape[0])
        return self.expand(torch.relu(self.reduce(self._joined(x, query))))

    def _joined(self, x: Tensor | None, query: Tensor) -> Tensor:
        if self.join == "query":
            assert self.project is not None
            return self.project(query)
        if x is None:
            raise ValueError(f"features are needed with join={self.join}")
        seen = SQUEEZES[self.squeeze](x)
        if self.project is None:
            return seen
        asked = self.project(query)
        return seen * asked if self.join == "multiply" else torch.cat([seen, asked], dim=1)

    def extra_repr(self) -> str:
        return f"squeeze={self.squeeze}, gate={self.gate}, join={self.join}, shift={self.shift}"
