"""The channel attention at the end of a block, by the name that the configuration gives it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from vqa.layers import CBAM, EfficientChannelAttention, QueryConditionedSE
from vqa.layers.functional import film_modulate
from vqa.model.configuration import FilmSEConfig


class Mechanism(NamedTuple):
    """How to build a gate, and how to apply it.

    `apply` takes the gate, features (B, C, H, W) and the question (B, D), and gives the gated features and the channel
    weights (B, C), None without a gate.
    """

    build: Callable[[FilmSEConfig], nn.Module | None]
    apply: Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor | None]]


def _squeeze_excite(config: FilmSEConfig, join: str) -> QueryConditionedSE:
    return QueryConditionedSE(
        config.width,
        config.text_dim,
        config.reduction,
        squeeze=config.squeeze,  # type: ignore[arg-type]
        gate=config.gate,  # type: ignore[arg-type]
        join=join,  # type: ignore[arg-type]
        shift=config.gate_shift,
    )


def _apply_squeeze_excite(gate: QueryConditionedSE, x: Tensor, question: Tensor) -> tuple[Tensor, Tensor]:
    excitation = gate.excite(x, question)
    return film_modulate(x, *excitation), excitation.weights


def _apply_eca(gate: EfficientChannelAttention, x: Tensor, question: Tensor) -> tuple[Tensor, Tensor]:
    weights = gate.weights(x)
    return film_modulate(x, weights), weights


def _apply_cbam(gate: CBAM, x: Tensor, question: Tensor) -> tuple[Tensor, Tensor]:
    weights = gate.channel.weights(x)
    return gate.spatial(film_modulate(x, weights)), weights


MECHANISMS = {
    "none": Mechanism(lambda config: None, lambda gate, x, question: (x, None)),
    "query_se": Mechanism(lambda config: _squeeze_excite(config, config.gate_join), _apply_squeeze_excite),
    "se": Mechanism(lambda config: _squeeze_excite(config, "features"), _apply_squeeze_excite),
    "eca": Mechanism(lambda config: EfficientChannelAttention(config.width), _apply_eca),
    "cbam": Mechanism(lambda config: CBAM(config.width, config.reduction), _apply_cbam),
}
"""`config.channel_attention` -> mechanism."""
