"""Hidden colours and shapes: what must still show, and what must be left out of the losses."""

from dataclasses import replace

import pytest
import torch

from vqa.clevr.vocabulary import ANSWERS, ATTRIBUTES
from vqa.errors import InputError
from vqa.resources import shipped
from vqa.training.hiding import Hiding, blurred_spots, other_colors
from vqa.training.loop import Trainer
from vqa.training.options import TrainingOptions

COLOR, SHAPE = (list(ATTRIBUTES).index(name) for name in ("color", "shape"))


def squares() -> torch.Tensor:
    """A red and a gray square on a dark ground, (3, 48, 48)."""
    picture = torch.full((3, 48, 48), 0.2)
    picture[:, 8:20, 8:20] = torch.tensor([0.7, 0.3, 0.3])[:, None, None]
    picture[:, 28:40, 28:40] = 0.6
    return picture


def test_other_colors_tell_nothing_of_the_colors_and_keep_the_edges() -> None:
    generator = torch.Generator().manual_seed(0)
    found = torch.stack([other_colors(squares(), generator) for _ in range(200)])
    assert found.min() >= 0
    assert found.max() <= 1
    for place in (14, 34):  # in the red, and in the gray square
        strongest = found[:, :, place, place].argmax(1).bincount(minlength=3)
        assert strongest.min() > 30
    edges = (found[:, :, 14, 9:19].mean(2) - found[:, :, 2, 2:6].mean(2)).abs().amax(1)
    assert (edges > 0.03).float().mean() > 0.9


def test_blurred_spots_keep_the_colors_and_lose_the_edges() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = squares()
    for _ in range(20):
        found = blurred_spots(picture, generator)
        red, gray = found[:, 12:16, 12:16].mean((1, 2)), found[:, 32:36, 32:36].mean((1, 2))
        assert red[0] > red[1] + 0.15
        assert (gray - gray.mean()).abs().max() < 0.02
        steps = (found[:, :, 1:] - found[:, :, :-1]).mean((0, 1)).abs()
        assert steps.max() < 0.7 * (picture[:, :, 1:] - picture[:, :, :-1]).mean((0, 1)).abs().max()


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = {"width": 16, "text_dim": 32, "word_dim": 16, "stem_widths": "8,16,16", "image_size": "64x96"}
    overrides = [f"{name}={value}" for name, value in settings.items()]
    data = str(shipped("data/clevr-mini"))
    trainer = Trainer(
        TrainingOptions(data=data, output=str(folder), overrides=overrides, epochs=1, mixed_precision="no")
    )
    texts = trainer.processor.tokenizer
    found = trainer.data.epoch(0).batch(0, 8, 8)
    assert found.steps.known.all()
    return found, [texts.decode(ids[mask > 0]) for ids, mask in zip(found.input_ids, found.attention_mask, strict=True)]


def about(batch, texts, kind):
    words = set(ATTRIBUTES[kind]) | {f"{value}s" for value in ATTRIBUTES[kind]} | {"ball", "balls", "block", "blocks"}
    said = [bool((words if kind == "shape" else set(ATTRIBUTES[kind])) & set(text.split())) for text in texts]
    answers = torch.tensor([ANSWERS.index(value) for value in ATTRIBUTES[kind]])
    return torch.tensor(said) | (torch.isin(batch.labels, answers) if kind == "color" else False)


@pytest.mark.parametrize(("colors", "shapes"), [(0.5, 0.0), (0.0, 0.5), (0.3, 0.3)])
def test_only_what_shows_is_learned(batch, colors, shapes) -> None:
    found, texts = batch
    third = torch.arange(len(found.pictures)) % 3
    colorless, shapeless = (third == 0) & (colors > 0), (third == 1) & (shapes > 0)
    kept = Hiding(colors, shapes, ANSWERS).learnable(found, colorless, shapeless)
    stay = ~(about(found, texts, "color") & colorless[found.image_index])
    stay &= ~(about(found, texts, "shape") & shapeless[found.image_index])
    assert 0 < stay.sum() < len(stay)
    for name in ("input_ids", "attention_mask", "image_index", "labels"):
        assert torch.equal(getattr(kept, name), getattr(found, name)[stay])
    assert all(torch.equal(after, before[stay]) for after, before in zip(kept.steps, found.steps, strict=True))
    for attribute, where in (
        (COLOR, shapeless if shapes else ~colorless),
        (SHAPE, colorless if colors else ~shapeless),
    ):
        assert (kept.scenes.attributes[~where, :, attribute] == -100).all()
        assert torch.equal(kept.scenes.attributes[where, :, attribute], found.scenes.attributes[where, :, attribute])
    others = [j for j in range(len(ATTRIBUTES)) if j not in (COLOR, SHAPE)]
    assert torch.equal(kept.scenes.attributes[..., others], found.scenes.attributes[..., others])


def test_where_nothing_can_be_learned_one_question_stays_and_counts_for_nothing(batch) -> None:
    found, _ = batch
    blind = replace(found, steps=found.steps._replace(known=torch.zeros_like(found.steps.known)))
    everywhere = torch.ones(len(found.pictures), dtype=torch.bool)
    kept = Hiding(1.0, 0.0, ANSWERS).learnable(blind, everywhere, ~everywhere)
    assert kept.labels.tolist() == [-100]
    assert len(kept.input_ids) == 1
    assert not kept.steps.known.any()


def test_shares_are_kept_and_the_rest_is_untouched(batch) -> None:
    found, _ = batch
    pictures = torch.rand(8, 3, 32, 48)
    changed = 0
    for seed in range(30):
        hidden, _ = Hiding(0.3, 0.2, ANSWERS)(pictures, found, torch.Generator().manual_seed(seed))
        changed += int((hidden != pictures).flatten(1).any(1).sum())
    assert 90 < changed < 150


def test_shares_beyond_one_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="--hide-colors"):
        TrainingOptions(data="x", output=str(tmp_path), hide_colors=0.7, hide_shapes=0.4)
