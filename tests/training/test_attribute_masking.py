"""Hidden colors and shapes: what must still show, and what must be left out of the losses."""

import math
from dataclasses import replace

import pytest
import torch

from vqa.clevr.vocabulary import ATTRIBUTES, COLORS
from vqa.errors import InputError
from vqa.training.attribute_masking import AttributeMasking, blobs, other_colors
from vqa.training.options import TrainingOptions
from vqa.training.setup import build_trainer
from vqa.utils.resources import shipped


def squares() -> torch.Tensor:
    """A red and a gray square on a dark ground, (3, 48, 48)."""
    image = torch.full((3, 48, 48), 0.2)
    image[:, 8:20, 8:20] = torch.tensor([0.7, 0.3, 0.3])[:, None, None]
    image[:, 28:40, 28:40] = 0.6
    return image


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


def test_blobs_keep_the_colors_and_lose_the_shapes() -> None:
    generator = torch.Generator().manual_seed(0)
    image, centres = squares(), torch.tensor([[14 / 48, 14 / 48], [34 / 48, 34 / 48]])
    sizes = []
    for _ in range(20):
        found = blobs(image, centres, generator)
        assert torch.allclose(found[:, 14, 14], image[:, 14, 14], atol=0.15)  # a small blob mixes with its ground
        assert torch.allclose(found[:, 34, 34], image[:, 34, 34], atol=0.15)
        sizes.append(int((found[0] - found[1] > 0.35).sum()))  # of the red one
    assert min(sizes) < 20
    assert max(sizes) > 50


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = {"width": 16, "text_dim": 32, "word_dim": 16, "stem_widths": "8,16,16", "image_size": "64x96"}
    overrides = [f"{name}={value}" for name, value in settings.items()]
    data = str(shipped("data/clevr-mini"))
    return build_trainer(
        TrainingOptions(data=data, out=str(folder), overrides=overrides, epochs=1, mixed_precision="no")
    )


@pytest.fixture(scope="module")
def batch(trainer):
    texts = trainer.processor.tokenizer
    found = trainer.data.epoch(0).batch(0, 8, 8)
    return found, [texts.decode(ids[mask > 0]) for ids, mask in zip(found.input_ids, found.attention_mask, strict=True)]


OTHER_WORDS = {
    *("cube", "cubes", "block", "blocks", "sphere", "spheres", "ball", "balls", "cylinder", "cylinders", "shape"),
    *("large", "big", "small", "tiny", "size", "rubber", "matte", "metal", "metallic", "shiny", "material", "made"),
}


def about(texts, words):
    return torch.tensor([bool(words & set(text.split())) for text in texts])


@pytest.mark.parametrize(("colors", "shapes"), [(0.5, 0.0), (0.0, 0.5), (0.3, 0.3)])
def test_only_what_shows_is_learned(trainer, batch, colors, shapes) -> None:
    found, texts = batch
    third = torch.arange(len(found.images)) % 3
    colorless, shapeless = (third == 0) & (colors > 0), (third == 1) & (shapes > 0)
    kept = AttributeMasking(colors, shapes, trainer.processor.encode_questions).learnable(found, colorless, shapeless)
    stay = ~(about(texts, {*COLORS, "color"}) & colorless[found.image_index])
    stay &= ~(about(texts, OTHER_WORDS) & shapeless[found.image_index])
    assert 0 < stay.sum() < len(stay)
    for name in ("input_ids", "attention_mask", "image_index", "labels"):
        assert torch.equal(getattr(kept, name), getattr(found, name)[stay])
    assert all(torch.equal(after, before[stay]) for after, before in zip(kept.steps, found.steps, strict=True))
    taught = {
        "color": ~colorless,
        "shape": colorless if colors else ~shapeless,
        "size": ~shapeless,
        "material": ~shapeless,
    }
    for j, name in enumerate(ATTRIBUTES):
        after, before, where = kept.scenes.attributes[..., j], found.scenes.attributes[..., j], taught[name]
        assert (after[~where] == -100).all()
        assert torch.equal(after[where], before[where])


def test_where_nothing_can_be_learned_one_question_stays_and_counts_for_nothing(trainer, batch) -> None:
    found, _ = batch
    red = trainer.processor.encode_questions(["red"])[0][0]
    colorful = replace(found, input_ids=torch.full_like(found.input_ids, red))
    everywhere = torch.ones(len(found.images), dtype=torch.bool)
    kept = AttributeMasking(1.0, 0.0, trainer.processor.encode_questions).learnable(colorful, everywhere, ~everywhere)
    assert kept.labels.tolist() == [-100]
    assert len(kept.input_ids) == 1
    assert not kept.steps.known.any()


@pytest.mark.parametrize(("colors", "shapes"), [(0.3, 0.0), (0.0, 0.2)])
def test_shares_are_kept_and_the_rest_is_untouched(trainer, batch, colors, shapes) -> None:
    found, _ = batch
    images = torch.rand(8, 3, 32, 48)
    changed = 0
    hiding = AttributeMasking(colors, shapes, trainer.processor.encode_questions)
    for seed in range(60):
        hidden, _ = hiding(images, found, torch.Generator().manual_seed(seed))
        changed += int((hidden != images).flatten(1).any(1).sum())
    assert abs(changed / 480 - colors - shapes) < 0.06


def test_a_run_hides_and_learns(trainer) -> None:
    options = replace(trainer.options, mask_colors=0.5, mask_shapes=0.5, out=trainer.options.out + "-hidden")
    run = build_trainer(options)
    assert run.masking is not None
    values = [run.step(run.load()) for _ in range(3)]
    run.data.close()
    assert all(math.isfinite(value) for step in values for value in step.values())
    shown = 3 * options.batch_size
    assert 0 < run.progress.questions_seen < 0.7 * shown


def test_answers_alone_teach_nothing_of_what_is_hidden(trainer) -> None:
    with pytest.raises(InputError, match="--supervision scenes"):
        build_trainer(replace(trainer.options, mask_colors=0.5, supervision="answers", out=trainer.options.out + "-a"))


def test_shares_beyond_one_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="--mask-colors"):
        TrainingOptions(data="x", out=str(tmp_path), mask_colors=0.7, mask_shapes=0.4)


def test_answers_do_not_teach_what_sees_the_image(trainer, batch) -> None:
    found, _ = batch
    model = trainer.model
    output = model(
        torch.rand(8, 3, 64, 96), found.input_ids, found.attention_mask, found.image_index, separate_vision=True
    )
    model.zero_grad()
    output.logits.sum().backward()
    seeing = [*model.vision.parameters(), *model.scene.parameters()]
    assert all(item.grad is None for item in seeing)
    assert any(item.grad is not None for item in model.text.parameters())
    model(
        torch.rand(8, 3, 64, 96), found.input_ids, found.attention_mask, found.image_index, separate_vision=True
    ).scene.attributes.sum().backward()
    assert any(item.grad is not None for item in model.vision.parameters())
