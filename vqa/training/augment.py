"""Augmentation of picture batches on their device, keeping every question true: no flip, no change of hue."""

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_SHIFT = 4
"""Pixels by which a picture may move, its edge repeated."""


def augment(pictures: Tensor, generator: torch.Generator, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """Brightness, contrast, saturation, blur, noise and small shifts for pictures (N, 3, H, W) in 0..1.

    Returns the pictures and how far each moved, (N, 2) as fractions (x, y) of its size. The generator lives on the CPU,
    so that a seed gives the same pictures on any device. At `strength` 0 nothing changes.
    """
    number, _, height, width = pictures.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(number, *shape, generator=generator).to(pictures.device, pictures.dtype)

    def spread(size: float) -> Tensor:
        return (2 * draw(1, 1, 1) - 1) * size * strength

    mean = pictures.mean((1, 2, 3), keepdim=True)
    pictures = (pictures - mean) * (1 + spread(0.2)) + mean * (1 + spread(0.15)) + spread(0.03)
    gray = pictures.mean(1, keepdim=True)
    pictures = gray + (pictures - gray) * (1 + spread(0.15))
    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    soft = (draw(1, 1, 1) < 0.3 * strength) * draw(1, 1, 1)
    pictures = pictures + soft * (blurred - pictures)
    noise = torch.randn(pictures.shape, generator=generator).to(pictures.device, pictures.dtype)
    pictures = pictures + noise * (0.02 * strength * draw(1, 1, 1) ** 2)
    reach = round(MAX_SHIFT * strength)
    shift = torch.randint(-reach, reach + 1, (number, 2), generator=generator)
    if reach:
        padded = F.pad(pictures, (reach,) * 4, mode="replicate")
        crops = [
            picture[:, reach - y : reach - y + height, reach - x : reach - x + width]
            for picture, (x, y) in zip(padded, shift.tolist(), strict=True)
        ]
        pictures = torch.stack(crops)
    return pictures.clamp(0, 1), (shift / torch.tensor([width, height])).to(pictures.device)
