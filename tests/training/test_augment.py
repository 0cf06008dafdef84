"""Augmentation: seeded, harmless, and honest about where the picture went."""

import torch

from vqa.training.augment import MAX_SHIFT, augment


def pictures(number: int = 4) -> torch.Tensor:
    return torch.rand(number, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def test_the_same_seed_gives_the_same_pictures() -> None:
    first, shift = augment(pictures(), torch.Generator().manual_seed(5))
    again, shift_again = augment(pictures(), torch.Generator().manual_seed(5))
    other, _ = augment(pictures(), torch.Generator().manual_seed(6))
    assert torch.equal(first, again)
    assert torch.equal(shift, shift_again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_strength_zero_changes_nothing() -> None:
    same, shift = augment(pictures(), torch.Generator().manual_seed(5), 0.0)
    torch.testing.assert_close(same, pictures())
    assert not shift.any()


def test_the_shift_is_where_the_picture_went() -> None:
    dot = torch.full((16, 3, 32, 48), 0.2)
    dot[:, :, 15:18, 23:26] = 0.6
    dot[:, :, 16, 24] = 0.8
    moved, shift = augment(dot, torch.Generator().manual_seed(0))
    assert (shift != 0).any()
    for picture, (x, y) in zip(moved, shift.tolist(), strict=True):
        place = picture.sum(0).flatten().argmax().item()
        assert (place // 48, place % 48) == (16 + round(y * 32), 24 + round(x * 48))
        assert max(abs(x * 48), abs(y * 32)) <= MAX_SHIFT + 1e-4
