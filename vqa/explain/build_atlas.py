"""Builds a channel atlas: runs a model over a sample of questions and measures what its channels do.

A channel's map is what its block adds to the skip connection, after the gate (y in `vqa.explain.interventions`): what
the gate governs, and what an intervention switches off.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from vqa.clevr.dataset.loading import open_data
from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.explain.anova import variance_shares
from vqa.explain.atlas import Atlas, BlockAtlas, ExampleImage, WeightStatistics, weight_kinds
from vqa.explain.concepts import PERCENTILE, PERMUTATIONS, Regions, Units, concept_areas, find_regions
from vqa.explain.faithfulness import Experiment
from vqa.explain.interventions import Watch
from vqa.explain.object_regions import find_referents, grid_points
from vqa.explain.probe_set import ProbeSet, gather_probe_set
from vqa.model.configuration import FilmSEConfig
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import FilmSEProcessor
from vqa.utils.resources import shipped

IMAGES, PER_IMAGE = 400, 5
"""Images that are studied by default, and questions about each."""

EXAMPLES = 3
_SILENCE = 1e-6
_EXAMPLE_SPLITS = ("train", "val")

Progress = Callable[[str, int], Callable[[int], object]]
"""Begins a stage, by its name and number of steps; gives a callback for the steps done."""


def build_atlas(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    data: PackedDataset,
    *,
    images: int = IMAGES,
    seed: int = 0,
    about: dict[str, Any] | None = None,
    progress: Progress = lambda stage, steps: lambda number: None,
) -> Atlas:
    """The atlas of a model on held-out images.

    Args:
        data: a split with scenes and programs.
        images: how many of them, each with up to five questions of different types.
        about: further entries of the atlas's `source`.

    Raises InputError for data without scenes or programs.
    """
    on_progress = progress("pictures", min(images, len(data)))
    probes = gather_probe_set(
        model, processor, data, images=images, per_image=PER_IMAGE, seed=seed, on_image=on_progress
    )
    rows, columns = probes.features.shape[2:]
    regions = find_regions(probes.scenes, probes.boxes, rows, columns)
    on_progress = progress("questions", len(probes.questions))
    seen = _look(model, processor, probes, regions, on_progress)
    crossing = probes.crossing(seed)
    on_progress = progress("questions about other images", len(crossing.questions))
    plain = Experiment(model, processor, crossing, on_progress).plain
    crossed = {"channel_weights": plain.weights, "film_gamma": plain.gammas, "film_beta": plain.betas}
    examples = _examples(model, processor, seed, progress)
    on_progress = progress("permutations", model.config.num_blocks)
    blocks = []
    for k in range(model.config.num_blocks):
        areas, by_chance = concept_areas(seen.units(k), regions, permutations=PERMUTATIONS, seed=seed)
        baseline = np.percentile(by_chance, PERCENTILE, axis=0)
        weights = {
            kind: _statistics(values[k], probes.types, cast(np.ndarray, crossed[kind])[k], crossing)
            for kind, values in seen.weights.items()
        }
        blocks.append(BlockAtlas(areas, baseline, seen.active[k].mean(0), seen.activation[k], weights, examples[k]))
        on_progress(1)
    source = {
        "pictures": len(probes.scenes),
        "questions": len(probes.questions),
        "objects": len(regions.labels),
        "permutations": PERMUTATIONS,
        "crossed": [len(np.unique(crossing.images)), len(crossing.questions) // len(np.unique(crossing.images))],
        "seed": seed,
        **(about or {}),
    }
    return Atlas(source, blocks)


@dataclass
class _Seen:
    """What the blocks did: per block the values (units, C) of objects and of decoys, and whether its step is about an
    object; the object of each unit and the questions of both kinds; `active` (blocks, Q, C); `weights`, kind ->
    (blocks, Q, C); `activation` (blocks, C)."""

    objects: list[np.ndarray]
    decoys: list[np.ndarray]
    asked: np.ndarray
    owner: np.ndarray
    question: np.ndarray
    active: np.ndarray
    weights: dict[str, np.ndarray]
    activation: np.ndarray

    def units(self, block: int) -> Units:
        values = np.concatenate([self.objects[block], self.decoys[block]])
        return Units(values, self.question, self.active[block], self.owner, self.asked[block])


def _look(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    probes: ProbeSet,
    regions: Regions,
    on_progress: Callable[[int], object],
) -> _Seen:
    blocks, total = model.config.num_blocks, len(probes.questions)
    watch = Watch(model)
    objects: list[list[np.ndarray]] = [[] for _ in range(blocks)]
    decoys: list[list[np.ndarray]] = [[] for _ in range(blocks)]
    owner, asked, own_question, decoy_question = [], [], [], []
    shape = (blocks, total, model.config.trunk_width)
    weights = {kind: np.zeros(shape, np.float32) for kind in weight_kinds(cast(FilmSEConfig, model.config))}
    active = np.zeros(shape, bool)
    activation = np.zeros((blocks, model.config.trunk_width))
    with torch.inference_mode():
        for numbers, inputs in probes.batches(processor):
            output = watch(**inputs)
            for kind, values in weights.items():
                values[:, numbers] = torch.stack(getattr(output, kind)).float().cpu().numpy()
            flat = [y.flatten(2).transpose(1, 2).float().cpu().numpy() for y in watch.maps]
            for k in range(blocks):
                activation[k] += flat[k].mean(1).sum(0) / total
                active[k, numbers] = np.ptp(flat[k], 1) > _SILENCE
            for i, number in enumerate(numbers.tolist()):
                image = int(probes.images[number])
                mine, mask = regions.objects[image], regions.masks[image]
                for k in range(blocks):
                    values = mask @ flat[k][i]
                    objects[k].append(values[: len(mine)])
                    decoys[k].append(values[len(mine) :])
                owner.append(np.arange(regions.first[image], regions.first[image + 1]))
                asked.append(_asked(probes, number, mine, blocks))
                own_question.append(np.full(len(mine), number))
                decoy_question.append(np.full(len(mask) - len(mine), number))
            on_progress(len(numbers))
    return _Seen(
        [np.concatenate(values) for values in objects],
        [np.concatenate(values) for values in decoys],
        np.concatenate(asked, 1),
        np.concatenate(owner),
        np.concatenate([*own_question, *decoy_question]),
        active,
        weights,
        activation,
    )


def _asked(probes: ProbeSet, number: int, objects: np.ndarray, blocks: int) -> np.ndarray:
    """Whether each block's step is about each of these objects: 1, 0, or -1 without a step; (blocks, M)."""
    question = probes.questions[number]
    assert question.program is not None
    found = find_referents(question.program, probes.scenes[probes.images[number]], blocks)
    out = np.full((blocks, len(objects)), -1)
    for k, chosen in enumerate(found.blocks if found else ()):
        if chosen is not None:
            out[k] = np.isin(objects, chosen)
    return out


def _statistics(values: np.ndarray, types: np.ndarray, crossed: np.ndarray, crossing: ProbeSet) -> WeightStatistics:
    """Of one kind in one block: values (Q, C) and on the crossed questions (P * Q', C)."""
    images = len(np.unique(crossing.images))
    table = crossed.reshape(images, -1, crossed.shape[1])
    mean = values.mean(0)
    by_type = [values[types == i].mean(0) if (types == i).any() else mean for i in range(len(QUESTION_TYPES))]
    return WeightStatistics(
        mean,
        values.std(0),
        np.stack(by_type),
        variance_shares(table, crossing.types[: table.shape[1]]),
        float(np.sqrt(table.reshape(-1, crossed.shape[1]).var(0).mean())),
    )


def _examples(
    model: FilmSEForVisualQuestionAnswering, processor: FilmSEProcessor, seed: int, progress: Progress
) -> list[list[list[ExampleImage]]]:
    """For each block and channel the shipped images that make it loudest; empty if they are not installed."""
    blocks, width = range(model.config.num_blocks), range(model.config.trunk_width)
    peaks: list[np.ndarray] = []
    places: list[tuple[str, ProbeSet, int, np.ndarray]] = []
    for split in _EXAMPLE_SPLITS:
        try:
            data = open_data(shipped("data/clevr-mini"), split)
        except InputError:
            continue
        probes = gather_probe_set(model, processor, data, images=len(data), per_image=PER_IMAGE, seed=seed)
        on_progress = progress(f"example images, {split}", len(probes.questions))
        for number, highest, cells in _peaks(model, processor, probes, on_progress):
            peaks.append(highest)
            places.append((split, probes, number, cells))
    if not places:
        return [[[] for _ in width] for _ in blocks]
    values = np.stack(peaks)
    loudest = np.argsort(-values, axis=0, kind="stable")
    x, y = grid_points(*places[0][1].features.shape[2:])

    def best(k: int, c: int) -> list[ExampleImage]:
        found: dict[str, ExampleImage] = {}
        for i in loudest[:, k, c].tolist():
            split, probes, number, cells = places[i]
            image = int(probes.images[number])
            name = probes.filenames[image]
            if values[i, k, c] <= 0 or len(found) == EXAMPLES:
                break
            if name not in found:
                left, top, right, bottom = probes.boxes[image]
                at = np.unravel_index(cells[k, c], x.shape)
                fractions = (float(x[at]) - left) / (right - left), (float(y[at]) - top) / (bottom - top)
                question = probes.questions[number].question
                found[name] = ExampleImage(split, name, question, *fractions, float(values[i, k, c]))
        return list(found.values())

    return [[best(k, c) for c in width] for k in blocks]


def _peaks(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    probes: ProbeSet,
    on_progress: Callable[[int], object],
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each question its number, the highest value of every channel (blocks, C), and the cell that has it."""
    watch = Watch(model)
    with torch.inference_mode():
        for numbers, inputs in probes.batches(processor):
            watch(**inputs)
            highest = torch.stack([y.flatten(2).max(2).values for y in watch.maps], 1).float().cpu().numpy()
            cells = torch.stack([y.flatten(2).argmax(2) for y in watch.maps], 1).cpu().numpy()
            yield from zip(numbers.tolist(), highest, cells, strict=True)
            on_progress(len(numbers))
