"""CBAM (Woo et al. 2018, "CBAM: Convolutional Block Attention Module"): which channels, then which places."""

import torch
from torch import Tensor, nn

from vqa.layers.functional import SQUEEZES, check_features, check_positive, film_modulate


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

    def weights(self, x: Tensor, query: Tensor | None = None) -> Tensor:
        """The channel weights (B, C) for x (B, C, H, W); the query is not read."""
        return self.channel.weights(x)

    def forward(self, x: Tensor, query: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """x (B, C, H, W), scaled by channel (by `weights` (B, C) where given) and then by place."""
        return self.spatial(film_modulate(x, self.weights(x) if weights is None else weights))


class SpatialAttention(nn.Module):
    """y = x * sigmoid(norm(conv([mean over channels; max over channels]))): one weight for each place.

    Args:
        kernel_size: odd; 7 in the paper. The convolution has no bias.

    The BatchNorm is in the authors' code, not in the paper's equation 3. Costs 2 * kernel_size^2 + 2 parameters.
    Raises ValueError for an even kernel and, in `forward`, for x that is not (B, C, H, W).
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def weights(self, x: Tensor) -> Tensor:
        """The weights of the places (B, H, W) for x (B, C, H, W), for any C of at least 1."""
        check_features(x)
        pooled = torch.stack([x.mean(1), x.amax(1)], dim=1)
        return torch.sigmoid(self.norm(self.conv(pooled))).squeeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) with every place scaled by its weight."""
        return x * self.weights(x).unsqueeze(1)
