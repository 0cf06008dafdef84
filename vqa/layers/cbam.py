"""CBAM (Woo et al. 2018, "CBAM: Convolutional Block Attention Module"): which channels, then which places."""

import torch
from torch import Tensor, nn

from vqa.layers.functional import SQUEEZES, check_features, check_positive, film_modulate
from vqa.layers.spatial import SpatialAttention


class ChannelAttention(nn.Module):
    """y = x * sigmoid(MLP(mean(x)) + MLP(max(x))), one MLP without biases for both (section 3.1, equation 2).

    Args:
        channels: channels C of the features.
        reduction: r; the hidden layer has max(1, C // r) units.

    Costs about 2 * C^2 / r parameters. Raises ValueError for x that is not (B, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        check_positive(channels=channels, reduction=reduction)
        self.channels = channels
        hidden = max(1, channels // reduction)
        self.reduce = nn.Linear(channels, hidden, bias=False)
        self.expand = nn.Linear(hidden, channels, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        """The channel weights (B, C) for x (B, C, H, W)."""
        check_features(x, self.channels)
        mean, largest = (torch.relu(self.reduce(SQUEEZES[squeeze](x))) for squeeze in ("mean", "max"))
        return torch.sigmoid(self.expand(mean + largest))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) with every channel scaled by its weight."""
        return film_modulate(x, self.weights(x))


class CBAM(nn.Module):
    """`ChannelAttention`, then `SpatialAttention` on what it lets through (section 3).

    Args:
        channels: channels C of the features.
        reduction: r of the channel part.
        kernel_size: of the spatial part.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W), scaled by channel and by place."""
        return self.spatial(self.channel(x))
