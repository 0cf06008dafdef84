"""A second look at each object: size, material and shape read again from a crop of the luminance around its centre.

The scene head reads an object from features at an eighth of the resolution, where a small half-hidden cube and cylinder
look alike. Here the pixels around the cells that most probably hold an object are cut out and classified by a small CNN
of their own, and its logits are added to the head's. The crops show luminance alone, and the CNN is not told the color,
so that shape cannot be read off color.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqa.clevr.vocabulary import ATTRIBUTES

REREAD = tuple(name for name in ATTRIBUTES if name != "color")
"""The attributes that are read again, in the order of their logits."""
REREAD_SIZES = tuple(len(ATTRIBUTES[name]) for name in REREAD)

_CELLS = 16
"""Cells that are looked at, the most probable first: ten objects, some of them split over two cells."""
_CROP, _REACH = 32, 28.0
"""Side of a crop in samples, and the pixels of a 128x192 image that it spans."""


class SecondLook(nn.Module):
    """Classifies crops around the most probable objects; the result lies at their cells, zero elsewhere."""

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 96)) -> None:
        super().__init__()
        first, second, third = widths
        layers: list[nn.Module] = []
        channels = 2
        for width, stride in ((first, 1), (second, 2), (second, 1), (third, 2), (third, 1)):
            layers += [
                nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.classify = nn.Linear(third * (_CROP // 4) ** 2, sum(REREAD_SIZES))

    def forward(self, luminance: Tensor, objectness: Tensor, center: Tensor) -> Tensor:
        """Logits to add to the scene head's, (N, 7, h, w).

        Args:
            luminance: (N, 2, H, W), see `TwoStreamEncoder.luminance`.
            objectness: logits (N, h, w).
            center: (N, 2, h, w), where in the image, in fractions of its width and height, each cell's object lies.
        """
        number, height, width = objectness.shape
        cells = objectness.flatten(1).topk(min(_CELLS, height * width), dim=1).indices
        centers = center.flatten(2).gather(2, cells[:, None].expand(-1, 2, -1)).transpose(1, 2).detach()
        crops = crop_around(luminance, centers.float())
        found = self.classify(self.layers(crops.contiguous(memory_format=torch.channels_last)).flatten(1))
        found = found.view(number, -1, sum(REREAD_SIZES)).transpose(1, 2)
        empty = found.new_zeros(number, sum(REREAD_SIZES), height * width)
        return empty.scatter(2, cells[:, None].expand(-1, sum(REREAD_SIZES), -1), found).unflatten(2, (height, width))


def crop_around(images: Tensor, centers: Tensor) -> Tensor:
    """Crops (N * M, C, 32, 32) of images (N, C, H, W) around centers (N, M, 2), x and y in fractions of the image."""
    steps = ((torch.arange(_CROP, device=images.device) + 0.5) / _CROP - 0.5).expand(_CROP, _CROP)
    offsets = torch.stack([steps * (_REACH / 192), steps.T * (_REACH / 128)], -1)
    grid = 2 * (centers[:, :, None, None] + offsets) - 1
    number, count = centers.shape[:2]
    crops = F.grid_sample(images, grid.flatten(1, 2).to(images.dtype), padding_mode="border", align_corners=False)
    return crops.unflatten(2, (count, _CROP)).transpose(1, 2).reshape(number * count, images.shape[1], _CROP, _CROP)
