"""Builds the channel attention that the configuration names."""

from torch import nn

from vqa.layers import CBAM, EfficientChannelAttention, QueryConditionedSE
from vqa.model.configuration import FilmSEConfig


def build_gate(config: FilmSEConfig, channels: int) -> nn.Module | None:
    """A channel attention for `channels` channels, None for `channel_attention=none`.

    Every gate has `forward(x, query=None, weights=None)` and `weights(x, query=None)`, see `vqa.layers`.
    """
    if config.channel_attention == "eca":
        return EfficientChannelAttention(channels)
    if config.channel_attention == "cbam":
        return CBAM(channels, config.reduction)
    if config.channel_attention == "none":
        return None
    return QueryConditionedSE(
        channels,
        config.text_dim,
        config.reduction,
        squeeze=config.squeeze,  # type: ignore[arg-type]
        gate=config.gate,  # type: ignore[arg-type]
        join="features" if config.channel_attention == "se" else config.gate_join,  # type: ignore[arg-type]
        shift=config.gate_shift,
    )
