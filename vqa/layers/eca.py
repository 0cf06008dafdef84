"""Efficient channel attention (Wang et al. 2020, "ECA-Net: Efficient Channel Attention for Deep CNNs")."""

import math

import torch
from torch import Tensor, nn

from vqa.layers.functional import SQUEEZES, check_features, check_positive, film_modulate


def adaptive_kernel_size(channels: int) -> int:
    """How many neighbouring channels weigh one: (log2 C + 1) / 2, made odd, at least 3 (section 3.2)."""
    size = int((math.log2(channels) + 1) / 2)
    return max(3, size if size % 2 else size + 1)


class EfficientChannelAttention(nn.Module):
    """y = x * sigmoid(conv1d(mean(x))): a short convolution along the channels, without a bottleneck (section 3.2).

    Args:
        channels: channels C of the features.
        kernel_size: odd; by default `adaptive_kernel_size(channels)`.

    Costs `kernel_size` parameters. Raises ValueError for an even kernel and, in `forward`, for x that is not
    (B, C, H, W).
    """

    def __init__(self, channels: int, kernel_size: int | None = None) -> None:
        super().__init__()
        check_positive(channels=channels)
        kernel_size = adaptive_kernel_size(channels) if kernel_size is None else kernel_size
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.channels = channels
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def weights(self, x: Tensor, query: Tensor | None = None) -> Tensor:
        """The channel weights (B, C) for x (B, C, H, W); the query is not read."""
        check_features(x, self.channels)
        return torch.sigmoid(self.conv(SQUEEZES["mean"](x).unsqueeze(1)).squeeze(1))

    def forward(self, x: Tensor, query: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """x (B, C, H, W) with every channel scaled by its weight, or by the `weights` (B, C) given instead."""
        return film_modulate(x, self.weights(x) if weights is None else weights)
