"""Augmentation: seeded, harmless, and honest about where the image went."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from vqa.training.augmentation import MAX_SHIFT, augment, jpeg
from vqa.utils.images import load_image
from vqa.utils.resources import shipped


def images(number: int = 4) -> torch.Tensor:
    return torch.rand(number, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def test_the_same_seed_gives_the_same_images() -> None:
    first, motion = augment(images(), torch.Generator().manual_seed(5))
    again, motion_again = augment(images(), torch.Generator().manual_seed(5))
    other, _ = augment(images(), torch.Generator().manual_seed(6))
    assert torch.equal(first, again)
    assert all(map(torch.equal, motion, motion_again))
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_strength_zero_changes_nothing() -> None:
    given = images(64)
    same, motion = augment(given, torch.Generator().manual_seed(5), 0.0)
    torch.testing.assert_close(same, given)
    points = torch.rand(64, 3, 2)
    assert torch.equal(motion(points), points)


def test_the_given_images_stay_as_they_are() -> None:
    given = images(64)
    augment(given, torch.Generator().manual_seed(5))
    assert torch.equal(given, images(64))


def test_points_go_where_the_image_went() -> None:
    number, height, width = 200, 64, 96
    dot = torch.full((number, 3, height, width), 0.2)
    dot[:, :, 20:24, 60:64] = 0.8
    moved, motion = augment(dot, torch.Generator().manual_seed(0))
    expected = motion(torch.tensor([62 / width, 22 / height]).expand(number, 1, 2))[:, 0]
    bright = moved.mean(1).flatten(1)
    bright = (bright - bright.mean(1, keepdim=True) - 0.15).clamp(min=0)
    bright /= bright.sum(1, keepdim=True)
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    found = torch.stack([bright @ columns.flatten() / width, bright @ rows.flatten() / height], 1)
    away = (found - expected).abs() * torch.tensor([width, height])
    assert away.max() < 1
    smaller = motion.scale[:, 0] < 1
    assert 5 <= smaller.sum() <= 40
    assert motion.scale.min() >= 0.79
    assert (motion.shift[~smaller] != 0).any()
    assert (motion.shift[~smaller] * torch.tensor([width, height])).abs().max() <= MAX_SHIFT + 1e-4


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_compression_is_that_of_a_jpeg_file(quality: int) -> None:
    folder = shipped("data/clevr-mini") / "images/val"
    image = load_image(next(iter(sorted(folder.iterdir())))).resize((200, 136))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    original, real = (torch.from_numpy(np.array(item)).permute(2, 0, 1) / 255 for item in (image, Image.open(file)))
    ours = jpeg(original[None], torch.tensor([float(quality)]))[0]
    assert ours.shape == original.shape
    loss = (real - original).square().mean().sqrt()
    assert (ours - real).square().mean().sqrt() < 0.5 * loss
    assert (ours - original).square().mean().sqrt() == pytest.approx(loss.item(), rel=0.1)
