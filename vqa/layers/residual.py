"""The basic residual block (He et al. 2016, "Deep Residual Learning for Image Recognition")."""

import torch
from torch import Tensor, nn


class ResidualConv(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a skip (He et al. 2016, basic block)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return torch.relu(x + self.body(x))
