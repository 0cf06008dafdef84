"""Augmentation of image batches on their device, keeping every question true: no flip, no change of hue."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vqa.training.tensors import constant, upload

MAX_SHIFT = 4
"""Pixels by which an image may move, its edge repeated."""

_BLURRED, _SMALLER, _JPEG = 0.3, 0.1, 0.25
"""Shares of the images that are blurred, shown smaller within a border, and compressed, at full strength."""

_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)

_CHROMINANCE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)

_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_FROM_YCBCR = tuple(map(tuple, torch.linalg.inv(torch.tensor(_TO_YCBCR)).tolist()))


class Motion(NamedTuple):
    """Where the content of images went: scale (N, 2) and shift (N, 2), along x and y, in fractions of the image."""

    scale: Tensor
    shift: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Where points (N, M, 2) of the images are now."""
        return points * self.scale[:, None] + self.shift[:, None]


def augment(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> tuple[Tensor, Motion]:
    """Brightness, contrast, saturation, blur, noise, borders, small shifts and JPEG for images (N, 3, H, W) in 0..1.

    Returns the images and where their content went. The generator lives on the CPU; a seed gives the same images on
    every device but for the noise, which each draws itself. At `strength` 0 nothing changes. What is drawn on the CPU
    is uploaded without a wait for the device.
    """
    number, _, height, width = images.shape
    device = images.device

    def draw() -> Tensor:
        return torch.rand(number, 1, 1, 1, generator=generator)

    def spread(size: float) -> Tensor:
        return upload((2 * draw() - 1) * size * strength, device)

    def some(share: float) -> Tensor:
        return torch.nonzero(draw().flatten() < share * strength).flatten()

    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * (1 + spread(0.2)) + mean * (1 + spread(0.15)) + spread(0.03)
    gray = images.mean(1, keepdim=True)
    images = gray + (images - gray) * (1 + spread(0.15))
    scale, shift = torch.ones(number, 2), torch.zeros(number, 2)
    for i in some(_SMALLER).tolist():
        part = 1 - 0.2 * strength * torch.rand((), generator=generator).item()
        size = round(part * height), round(part * width)
        top, left = (
            torch.randint(full - of + 1, (), generator=generator).item()
            for full, of in zip((height, width), size, strict=True)
        )
        inner = F.interpolate(images[i : i + 1], size, mode="bilinear", antialias=True)[0]
        images[i] = images[i].mean((1, 2), keepdim=True)
        images[i, :, top : top + size[0], left : left + size[1]] = inner
        scale[i] = torch.tensor([size[1] / width, size[0] / height])
        shift[i] = torch.tensor([left / width, top / height])
    soft, amount = some(_BLURRED), draw()
    if len(soft):
        chosen = upload(soft, device)
        sharp = images[chosen]
        blurred = F.avg_pool2d(F.pad(sharp, (1, 1, 1, 1), mode="replicate"), 3, 1)
        images[chosen] = sharp + upload(amount[soft], device) * (blurred - sharp)
    seed = int(torch.randint(2**31, (), generator=generator))
    noise = torch.randn(images.shape, generator=torch.Generator(device).manual_seed(seed), device=device)
    images = images + noise * upload(0.02 * strength * draw() ** 2, device)
    reach = round(MAX_SHIFT * strength)
    moves = torch.randint(-reach, reach + 1, (number, 2), generator=generator)
    if reach:
        padded = F.pad(images, (reach,) * 4, mode="replicate")
        crops = [
            image[:, reach - y : reach - y + height, reach - x : reach - x + width]
            for image, (x, y) in zip(padded, moves.tolist(), strict=True)
        ]
        images = torch.stack(crops)
    images = images.clamp(0, 1)
    coarse, quality = some(_JPEG), 20 + 70 * draw().flatten()
    if len(coarse):
        chosen = upload(coarse, device)
        images[chosen] = jpeg(images[chosen], upload(quality[coarse], device))
    shift += moves / torch.tensor([width, height])
    return images, Motion(upload(scale, device), upload(shift, device))


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """What JPEG leaves of images (N, 3, H, W) in 0..1 at qualities (N,) from 1 to 100, colors at half resolution.

    Tables and transform are those of ITU-T T.81 (1992), annexes K.1 and A.3.3, scaled to a quality as libjpeg does.
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (0, -width % 16, 0, -height % 16), mode="replicate")
    matrix, back, middle = (constant(values, images.device) for values in (_TO_YCBCR, _FROM_YCBCR, (128.0, 0.0, 0.0)))
    planes = 255 * torch.einsum("ij,njhw->nihw", matrix, padded) - middle[:, None, None]
    scaling = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None] / 100
    luminance = _quantised(planes[:, :1], _LUMINANCE, scaling)
    colors = _quantised(F.avg_pool2d(planes[:, 1:], 2), _CHROMINANCE, scaling)
    colors = F.interpolate(colors, scale_factor=2, mode="bilinear")
    found = torch.einsum("ij,njhw->nihw", back, torch.cat([luminance + 128, colors], 1)) / 255
    return found[..., :height, :width].clamp(0, 1)


def _quantised(planes: Tensor, table: tuple[int, ...], scaling: Tensor) -> Tensor:
    """Planes (N, C, H, W) after the cosine transform of 8x8 blocks, rounding, and back."""
    steps = constant(table, planes.device).to(planes.dtype).view(8, 8)
    steps = (steps * scaling + 0.5).floor().clamp(1, 255)[:, None, None, None]
    wave = torch.arange(8, dtype=planes.dtype, device=planes.device)
    cosine = torch.cos(math.pi / 16 * wave[:, None] * (2 * wave + 1)) / 2
    cosine[0] /= math.sqrt(2)
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    waves = cosine @ blocks @ cosine.T
    blocks = cosine.T @ ((waves / steps).round() * steps) @ cosine
    return blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)
