"""Turned hues: what must stay, and what must be left out of the losses."""

import colorsys
from dataclasses import replace

import pytest
import torch

from vqa.clevr.vocabulary import ANSWERS, ATTRIBUTES
from vqa.resources import shipped
from vqa.training.loop import Trainer
from vqa.training.options import TrainingOptions
from vqa.training.recolor import leave_out_colors, turn_hues


def test_hues_turn_while_gray_and_luminance_stay() -> None:
    red, gray = torch.tensor([0.6, 0.4, 0.4]), torch.tensor([0.5, 0.5, 0.5])
    pictures = torch.stack([red, gray], 1)[None, :, :, None].expand(64, 3, 2, 1)
    found, turned = turn_hues(pictures, torch.Generator().manual_seed(0), 0.5)
    assert 15 < turned.sum() < 50
    assert torch.allclose(found[~turned], pictures[~turned], atol=1e-6)
    assert torch.allclose(found[:, :, 1], pictures[:, :, 1], atol=1e-5)
    luminance = torch.tensor([0.299, 0.587, 0.114])
    assert torch.allclose(
        torch.einsum("nchw,c->nhw", found, luminance), torch.einsum("nchw,c->nhw", pictures, luminance), atol=1e-5
    )
    hues = torch.tensor([colorsys.rgb_to_hsv(*color.tolist())[0] for color in found[turned, :, 0, 0]])
    away = torch.minimum(hues, 1 - hues)
    assert away.min() > 0.05
    assert hues.max() - hues.min() > 0.5


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
    return found, [texts.decode(ids[mask > 0]) for ids, mask in zip(found.input_ids, found.attention_mask, strict=True)]


def test_only_what_stays_true_is_learned_from_turned_pictures(batch) -> None:
    found, texts = batch
    colors = set(ATTRIBUTES["color"])
    labels = torch.tensor([ANSWERS.index(color) for color in colors])
    turned = torch.arange(len(found.pictures)) % 2 == 0
    kept = leave_out_colors(found, turned, labels)
    said = torch.tensor(
        [bool(colors & set(text.split())) or "what color" in text or "color of" in text for text in texts]
    )
    said |= torch.isin(found.labels, labels)
    assert (said & turned[found.image_index]).sum() > 0
    stay = ~(said & turned[found.image_index])
    for name in ("input_ids", "attention_mask", "image_index", "labels"):
        assert torch.equal(getattr(kept, name), getattr(found, name)[stay])
    assert all(torch.equal(after, before[stay]) for after, before in zip(kept.steps, found.steps, strict=True))
    assert (kept.scenes.attributes[turned, :, 1] == -100).all()
    assert torch.equal(kept.scenes.attributes[~turned], found.scenes.attributes[~turned])
    assert torch.equal(kept.scenes.attributes[turned][..., [0, 2, 3]], found.scenes.attributes[turned][..., [0, 2, 3]])


def test_where_all_questions_are_about_colors_one_stays_and_counts_for_nothing(batch) -> None:
    found, _ = batch
    blind = replace(found, steps=found.steps._replace(known=torch.zeros_like(found.steps.known)))
    kept = leave_out_colors(blind, torch.ones(len(found.pictures), dtype=torch.bool), torch.tensor([0]))
    assert kept.labels.tolist() == [-100]
    assert len(kept.input_ids) == 1
    assert not kept.steps.known.any()
