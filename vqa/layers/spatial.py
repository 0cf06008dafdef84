"""Spatial attention (Woo et al. 2018, "CBAM: Convolutional Block Attention Module", section 3.1)."""

import torch
from torch import Tensor, nn

from vqa.layers.functional import check_features


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
