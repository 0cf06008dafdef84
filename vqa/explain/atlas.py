"""The channel atlas of a checkpoint: what its channels track, and what moves their weights.

It is a JSON file beside the weights, tied to them by their SHA-256, and read as data only.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from pydantic import Field, PlainSerializer, PlainValidator

from vqa.clevr.vocabulary import ATTRIBUTES, QUESTION_TYPES
from vqa.errors import InputError
from vqa.explain.anova import SOURCES
from vqa.explain.channel_weights import CHANNEL_WEIGHTS
from vqa.explain.concepts import CONCEPTS, KINDS
from vqa.inference.checkpoints import read_config, weights_sha256
from vqa.model.configuration import FilmSEConfig
from vqa.utils.files import read_limited, write_file
from vqa.utils.records import Number, from_json, to_json

FILENAME = "atlas.json"

_MAX_BYTES = 4_000_000


def _read_array(values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, OverflowError) as error:
        raise ValueError("must be finite numbers") from error
    if not np.isfinite(array).all():
        raise ValueError("must be finite numbers")
    return array


def _write_array(array: np.ndarray) -> Any:
    return np.round(array.astype(float), 4).tolist()


Array = Annotated[np.ndarray, PlainValidator(_read_array), PlainSerializer(_write_array)]
ShortText = Annotated[str, Field(max_length=1000)]


@dataclass(frozen=True)
class ExampleImage:
    """A shipped image that makes a channel loud under one of its questions, and where in the image: x and y as
    fractions, and the channel's value there."""

    split: ShortText
    filename: ShortText
    question: ShortText
    x: Number
    y: Number
    value: Number


@dataclass(frozen=True, eq=False)
class WeightStatistics:
    """One kind of weight of a block's C channels over many questions.

    `mean` and `deviation` (standard deviation), (C,); `by_type` (question types, C), means; `shares`, how much of the
    variance on crossed images and questions each of `SOURCES` explains, summed over channels; `spread`, the square
    root of the mean variance there.
    """

    mean: Array
    deviation: Array
    by_type: Array
    shares: dict[str, Number]
    spread: Number


@dataclass(frozen=True, eq=False)
class BlockAtlas:
    """One block's C channels.

    `areas` (C, concepts) under the ROC curve; `baseline` (C,), the 99th percentile of the best area with permuted
    labels; `active` (C,), the share of questions under which the channel is not silent all over the image;
    `activation` (C,), the mean of its map; `weights`, for each kind that the model has; `examples`, for each
    channel the images that make it loudest, loudest first.
    """

    areas: Array
    baseline: Array
    active: Array
    activation: Array
    weights: dict[str, WeightStatistics]
    examples: list[Annotated[list[ExampleImage], Field(max_length=16)]]

    @property
    def best(self) -> np.ndarray:
        """The concept (C,) of the largest area, tracked or not."""
        return self.areas.argmax(1)

    def concept(self, channel: int) -> str | None:
        """The concept that the channel tracks; None if its best area does not exceed the baseline."""
        best = int(self.best[channel])
        return CONCEPTS[best] if self.areas[channel, best] > self.baseline[channel] else None


@dataclass(frozen=True, eq=False)
class Atlas:
    """The atlas of one checkpoint.

    `source` says what it was computed on: data, split, images, questions, objects, permutations, seed, crossed
    (images and questions of the analysis of variance), and weights_sha256, the checkpoint's.
    """

    source: dict[str, Any]
    blocks: Annotated[list[BlockAtlas], Field(min_length=1)]
    format: Literal["vqa-channel-atlas-1"] = "vqa-channel-atlas-1"
    concepts: tuple[str, ...] = CONCEPTS
    types: tuple[str, ...] = QUESTION_TYPES

    def misfit(self) -> str | None:
        """What does not fit each other, if anything."""
        if self.concepts != CONCEPTS or self.types != QUESTION_TYPES:
            return "concepts or types: other ones than this version's"
        for k, block in enumerate(self.blocks):
            width = len(self.blocks[0].baseline)
            arrays = {name: getattr(block, name).shape == (width,) for name in ("baseline", "active", "activation")}
            arrays |= {"areas": block.areas.shape == (width, len(CONCEPTS)), "examples": len(block.examples) == width}
            for kind, found in block.weights.items():
                shapes = (found.mean.shape, found.deviation.shape, found.by_type.shape)
                whole = shapes == ((width,), (width,), (len(QUESTION_TYPES), width)) and set(found.shares) == {*SOURCES}
                arrays[f"weights.{kind}"] = whole
            if wrong := [name for name, fits in arrays.items() if not fits]:
                return f"blocks[{k}].{wrong[0]}: not of the block's {width} channels"
        return None


def weight_kinds(config: FilmSEConfig) -> list[str]:
    """Those of `CHANNEL_WEIGHTS` that weigh the channels of a model's blocks; an input gate weighs what they read."""
    gated = config.channel_attention != "none" and config.gate_placement == "output"
    return [kind for kind in CHANNEL_WEIGHTS if (gated if kind == "channel_weights" else config.film)]


def write_atlas(atlas: Atlas, path: str | os.PathLike) -> None:
    """Writes the atlas to a file, atomically."""
    write_file(path, orjson.dumps(to_json(atlas)) + b"\n")


def read_atlas(folder: str | os.PathLike, path: str | os.PathLike | None = None) -> Atlas:
    """The atlas in a checkpoint's folder, or in another file.

    Raises InputError if it is missing or made for other weights, and one that names the field that is wrong.
    """
    folder = Path(folder)
    file = folder / FILENAME if path is None else Path(path)
    named = "" if path is None else f" --out {file}"
    remedy = f"make it with `vqa explain atlas --data DIR --checkpoint {folder}{named}`"
    try:
        text = read_limited(file, _MAX_BYTES, remedy)
    except FileNotFoundError as error:
        raise InputError(f"{file}: this checkpoint has no channel atlas yet; {remedy}") from error
    try:
        atlas = from_json(Atlas, text, file)
    except InputError as error:
        raise InputError(f"{error}; {remedy}") from error
    if wrong := atlas.misfit():
        raise InputError(f"{file}: {wrong}; {remedy}")
    config = read_config(folder)
    fits = len(atlas.blocks) == config.num_blocks and all(
        len(block.baseline) == config.trunk_width and sorted(block.weights) == sorted(weight_kinds(config))
        for block in atlas.blocks
    )
    if not fits or atlas.source.get("weights_sha256") != weights_sha256(folder):
        raise InputError(f"{file}: made for other weights than those in {folder}; {remedy}")
    return atlas


def format_atlas(atlas: Atlas) -> str:
    """Block by block: how many channels track which kind of concept, and what moves their weights."""
    source, kinds = atlas.source, [*ATTRIBUTES, "position", "question", "object", "none"]
    lines = [
        f"{source['pictures']} images, {source['questions']} questions, {source['objects']} objects",
        "",
        "Channels by the kind of concept they track; median ROC area of those that track one, and by chance; "
        "share of questions under which a channel is not silent",
        _row("block", [*kinds, "median", "chance"]),
    ]
    for k, block in enumerate(atlas.blocks, 1):
        counts, areas = kind_counts(block)
        cells = [str(counts.get(kind, 0)) for kind in kinds]
        median = f"{np.median(areas):.3f}" if len(areas) else "-"
        lines.append(_row(str(k), [*cells, median, f"{np.median(block.baseline):.3f}", f"{block.active.mean():.0%}"]))
    images, questions = source["crossed"]
    for kind, weight in CHANNEL_WEIGHTS.items():
        if kind in atlas.blocks[0].weights:
            lines += [
                "",
                f"{weight.name}: its spread (standard deviation), and the share of its variance, in %, "
                f"that each source explains ({questions} questions x {images} images)",
                _row("block", ["mean", "spread", *SOURCES]),
            ]
            for k, block in enumerate(atlas.blocks, 1):
                found = block.weights[kind]
                shares = [f"{100 * found.shares[name]:.1f}" for name in SOURCES]
                lines.append(_row(str(k), [f"{found.mean.mean():.3f}", f"{found.spread:.4f}", *shares]))
    return "\n".join(lines)


def format_stability(one: Atlas, other: Atlas) -> str:
    """Block by block: how many channels track something in both of two atlases of a checkpoint, and how many the same.

    Beside the correlation, over channels and concepts, of the areas under the ROC curve, which needs no threshold.
    """
    sets = [f"{atlas.source.get('data', '')} {atlas.source.get('split', '')}".strip() for atlas in (one, other)]
    lines = [
        f"Do channels track the same in {sets[0]} and {sets[1]}?",
        _row("block", ["in both", "the same", "areas' r"]),
    ]
    for k, pair in enumerate(zip(one.blocks, other.blocks, strict=True), 1):
        concepts = [[block.concept(c) for c in range(len(block.baseline))] for block in pair]
        both = [(a, b) for a, b in zip(*concepts, strict=True) if a is not None and b is not None]
        related = np.corrcoef([block.areas.ravel() for block in pair])[0, 1]
        lines.append(_row(str(k), [str(len(both)), str(sum(a == b for a, b in both)), f"{related:.2f}"]))
    return "\n".join(lines)


def kind_counts(block: BlockAtlas) -> tuple[Counter[str], np.ndarray]:
    """How many channels track each kind of concept, "none" among them, and the areas of those that track one."""
    concepts = [block.concept(c) for c in range(len(block.baseline))]
    areas = [block.areas[c, CONCEPTS.index(name)] for c, name in enumerate(concepts) if name is not None]
    return Counter("none" if name is None else KINDS[name] for name in concepts), np.array(areas)


def _row(first: str, cells: list[str]) -> str:
    return f"{first:6}" + "".join(f"{cell:>10}" for cell in cells)
