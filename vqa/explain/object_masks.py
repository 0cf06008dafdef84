"""Do maps lie on the objects that are meant? Measured on instance masks, as CLEVR-XAI does (Arras et al. 2022)."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.image_generation.camera import object_map, recover_location
from vqa.clevr.masks import load_mask, mask_path
from vqa.clevr.scenes import Scene
from vqa.errors import InputError
from vqa.evaluation.metrics import Contrast, ImageBootstrap
from vqa.explain.attribution import grad_cam, pixel_relevance
from vqa.explain.drawing import object_light
from vqa.explain.explanation import answer_map
from vqa.explain.faithfulness import mean_estimate
from vqa.explain.object_regions import WHOLE, find_referents
from vqa.explain.probe_set import ProbeSet, gather_probe_set
from vqa.inference.answer import read_step
from vqa.inference.checkpoints import read_beside
from vqa.inference.predicted_scene import decode
from vqa.model.modeling import FilmSEForVisualQuestionAnswering, FilmSEOutput
from vqa.model.processing import FilmSEProcessor
from vqa.utils.records import Count
from vqa.utils.tables import format_interval, text_table

TARGETS = {
    "answer": "objects that the answer is read from",
    "steps": "objects that any step selects",
    "all": "all objects",
}
"""Ground truth -> its name; about CLEVR-XAI's "unique first-non-empty", "union" and "all objects"."""

FILENAME = "masks.json"
IMAGES_PER_QUESTION = 0.1
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Relevance:
    """The share of a map's positive relevance inside the mask, and of its K strongest pixels in a mask of K pixels."""

    mass: Contrast
    rank: Contrast
    questions: Count


@dataclass(frozen=True, kw_only=True)
class MaskReport:
    """What `vqa explain masks --json` writes: map -> ground truth -> relevance, on questions answered correctly."""

    format: Literal["vqa-masks-1"] = "vqa-masks-1"
    command: str
    data: str
    split: str
    weights_sha256: str
    masks: Literal["rendered", "computed"]
    questions: Count
    correct: Count
    images: Annotated[Count, Field(alias="pictures")]
    maps: dict[str, dict[str, Relevance]]


def measure_masks(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    data: PackedDataset,
    *,
    masks: str | os.PathLike | None,
    questions: int,
    by_gradient: int,
    seed: int,
    about: Mapping[str, str],
    on_progress: Callable[[int], object] = lambda answers: None,
) -> MaskReport:
    """Relevance mass and rank accuracy of object attention, Grad-CAM and other general methods.

    Args:
        masks: a folder that `vqa data render --masks` wrote; None computes them from the scenes, as ideal shapes.
        questions: sample size; as many images as there are masks, or a tenth of it.
        by_gradient: questions for the slow methods, by gradients on pixels.
        about: command, data, split and weights_sha256.

    Raises InputError for data without scenes or programs, for images of another ratio than 3:2, and if there is no
    mask of any image.
    """
    probes = _sample(model, processor, data, masks, questions, seed)
    height, width = probes.pixels.shape[1:3]
    shown = [_shown(scene, masks, data.split, (width, height)) for scene in probes.scenes]
    slow = set(np.random.default_rng(seed).permutation(len(probes.questions))[:by_gradient].tolist())
    found: dict[str, dict[str, list[tuple[int, float, float]]]] = {}
    correct = 0
    for (number,), inputs in probes.batches(processor, 1):
        on_progress(1)
        image, question = int(probes.images[number]), probes.questions[number]
        referents = find_referents(question.program or (), probes.scenes[image], model.config.num_blocks)
        tokens = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            output = model(image_features=probes.features[image : image + 1], **tokens)
        answer = int(output.logits.argmax())
        if referents is None or model.config.answers[answer] != question.answer:
            continue
        correct += 1
        maps = attention_maps(output, width, height)
        if number in slow:
            maps |= gradient_maps(model, processor, probes, image, tokens, answer)
        selected = {item for chosen in referents.blocks for item in chosen or ()}
        for target, chosen in zip(
            TARGETS, (referents.answer, selected, range(len(probes.scenes[image].objects))), strict=True
        ):
            mask = np.isin(shown[image], list(chosen))
            if mask.any():
                scores = {name: relevance_scores(spatial, mask) for name, spatial in maps.items() if spatial.max() > 0}
                for name, (mass, rank) in (scores | {"chance": (mask.mean(), mask.mean())}).items():
                    found.setdefault(name, {}).setdefault(target, []).append((image, float(mass), float(rank)))
    return MaskReport(
        **about,  # type: ignore[arg-type]
        masks="computed" if masks is None else "rendered",
        questions=len(probes.questions),
        correct=correct,
        images=len(probes.scenes),
        maps={name: {target: _relevance(rows) for target, rows in by.items()} for name, by in found.items()},
    )


def _sample(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    data: PackedDataset,
    masks: str | os.PathLike | None,
    questions: int,
    seed: int,
) -> ProbeSet:
    rows = None
    if masks is not None:
        names = enumerate(data.filenames)
        rows = [row for row, name in names if mask_path(masks, data.split, name).exists()]
        if not rows:
            raise InputError(f"{masks}: no mask of split {data.split}; make them with `vqa data render --masks`")
    images = max(1, round(questions * IMAGES_PER_QUESTION)) if rows is None else len(rows)
    per_image = -(-questions // images)
    probes = gather_probe_set(model, processor, data, images=images, per_image=per_image, seed=seed, rows=rows)
    if any(not np.allclose(box, WHOLE, atol=0.01) for box in probes.boxes):
        raise InputError(
            f"split {data.split}: holds images that are not 3:2 as CLEVR's are; masks cannot be laid on them"
        )
    return probes


def _shown(scene: Scene, masks: str | os.PathLike | None, split: str, size: tuple[int, int]) -> np.ndarray:
    """The index of the object that each pixel shows, -1 for none, (height, width)."""
    if masks is None:
        return object_map(scene.objects, recover_location(scene.objects), size)
    mask = Image.fromarray(load_mask(masks, split, scene)).resize(size, Image.Resampling.NEAREST)
    return np.asarray(mask).astype(int) - 1


def _relevance(rows: list[tuple[int, float, float]]) -> Relevance:
    images, mass, rank = (np.array(column) for column in zip(*rows, strict=True))
    bootstrap = ImageBootstrap(images)
    return Relevance(mass=mean_estimate(mass, bootstrap), rank=mean_estimate(rank, bootstrap), questions=len(rows))


def attention_maps(output: FilmSEOutput, width: int, height: int) -> dict[str, np.ndarray]:
    """Object attention over the image, as it is drawn and as it is in the grid's cells: of the answer and of all blocks
    that have a step to do; empty for a model without any. `output` is that of one question."""
    answer = answer_map(output)
    if answer is None or output.spatial_weights is None or output.scene is None:
        return {}
    seen = decode(output.scene)
    working = [m for k, m in enumerate(output.spatial_weights) if read_step(output, k).operation != "none"]
    blocks = torch.stack(working or list(output.spatial_weights))[:, 0].amax(0).float().cpu().numpy()
    return {
        "object attention, answer": object_light(answer, seen, width, height),
        "object attention, all blocks": object_light(blocks, seen, width, height),
        "object attention, answer, in cells": _enlarged(answer, (height, width), "nearest"),
    }


def gradient_maps(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    probes: ProbeSet,
    image: int,
    tokens: dict[str, torch.Tensor],
    answer: int,
) -> dict[str, np.ndarray]:
    """The maps (H, W) of the general methods for an answer; those on pixels pooled over color in two ways, by the
    positive part of the sum and by the squared norm (Arras et al. 2022)."""
    size = probes.pixels.shape[1:3]
    heat = grad_cam(model, probes.features[image : image + 1], tokens, answer)
    pixels = torch.as_tensor(probes.pixels[image : image + 1]).to(model.device)
    relevance = pixel_relevance(model, processor.image_processor.normalize_pixels(pixels), tokens, answer)
    maps = {"Grad-CAM": _enlarged(heat, size, "bilinear")}
    for name, values in relevance.items():
        maps |= {f"{name}, sum": values.sum(0).clip(0), f"{name}, norm": (values**2).sum(0)}
    return maps


def _enlarged(spatial: np.ndarray, size: tuple[int, ...], mode: str) -> np.ndarray:
    aligned = None if mode == "nearest" else False
    values = torch.from_numpy(np.ascontiguousarray(spatial))[None, None]
    return F.interpolate(values, tuple(size), mode=mode, align_corners=aligned)[0, 0].numpy()


def relevance_scores(spatial: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Relevance mass and rank accuracy of a map (H, W) that is not zero everywhere on a boolean mask (H, W).

    Pixels of equal relevance are taken in random order: the expected value counts.
    """
    size = int(mask.sum())
    least = np.partition(spatial.ravel(), -size)[-size]
    above, equal = spatial > least, spatial == least
    hits = (mask & above).sum() + (size - above.sum()) * mask[equal].mean()
    return float(spatial[mask].sum() / spatial.sum()), float(hits / size)


def read_masks(folder: str | os.PathLike) -> MaskReport:
    """The report `masks.json` in a checkpoint's folder.

    Raises InputError if it is missing or made for other weights, and one that names the field that is wrong.
    """
    remedy = "make it with `vqa explain masks --data DIR --json FILE`"
    return read_beside(MaskReport, Path(folder) / FILENAME, _MAX_BYTES, "report on masks", remedy)


def format_masks(report: MaskReport) -> str:
    """The report as a table for the terminal."""
    head = f"{report.correct} of {report.questions} questions about {report.images} images, answered correctly; masks "
    return "\n".join([f"{head}{report.masks}; in %", *text_table(mask_table(report))])


def mask_table(report: MaskReport) -> list[list[str]]:
    """Header and rows: a map, its mass and rank on each ground truth, and the questions."""
    rows = [["map", *(f"{part}, {name}" for name in TARGETS for part in ("mass", "rank")), "questions"]]
    for name, by_target in report.maps.items():
        cells = [by_target.get(target) for target in TARGETS]
        estimates = [format_interval(e) for cell in cells for e in ((cell.mass, cell.rank) if cell else ())]
        rows.append([name, *estimates, str(cells[0].questions if cells[0] else 0)])
    return rows
