"""Which concept a channel tracks: ROC areas of its maps on regions of objects, with permuted labels as baseline.

Matching each unit with the concept whose regions it selects is the idea of Network Dissection (Bau et al. 2017); with
few objects a ROC area is steadier than intersection over union, and needs no threshold.

A unit is one object under one question; a channel's value for it is the mean of the channel's map over the object's
disc. Questions under which a channel is silent all over the image say nothing about what it selects, and are left out
for that channel. A concept's area is the probability that a unit with it has a higher value than a unit without,
ties counting half (Mann and Whitney 1947). A channel's best area is compared with the best ones after objects exchange
their labels, which allows for the choice among concepts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.explain.object_regions import Box, coverage, discs_of, overlap

ASKED_FOR, OBJECT = "asked for", "object"
POSITIONS = ("left half", "right half", "back half", "front half")
CONCEPTS = (*(value for values in ATTRIBUTES.values() for value in values), *POSITIONS, ASKED_FOR, OBJECT)
"""What a channel may track: attribute values, the halves of the image (back is its upper half), the objects that the
block's step of the question is about, and any object rather than the empty ground."""

KINDS = {value: name for name, values in ATTRIBUTES.items() for value in values} | {
    **dict.fromkeys(POSITIONS, "position"),
    ASKED_FOR: "question",
    OBJECT: "object",
}
"""Concept -> its kind."""

PERMUTATIONS, PERCENTILE = 200, 99
"""Of a channel's best areas with permuted labels, this percentile is its baseline."""

_OWN = len(CONCEPTS) - 2
_SEEN = 0.05
"""Cells that an object must cover, in sum, to count as visible."""


@dataclass
class Regions:
    """The objects of P images, and decoys: discs of other images' objects where this image has none.

    Attributes: `masks`, for each image (M + D, h*w), each row's weights sum to 1; `objects`, for each image the
    indices in the scene of the M visible objects; `first` (P + 1,), where each image's objects begin among all N;
    `labels`, boolean (N, concepts of an object).
    """

    masks: list[np.ndarray]
    objects: list[np.ndarray]
    first: np.ndarray
    labels: np.ndarray


def find_regions(scenes: Sequence[Scene], boxes: Sequence[Box], rows: int, columns: int) -> Regions:
    """The regions of the images' objects, and as decoys those of the next image's that touch no object."""
    masks, objects, labels = [], [], []
    discs = [discs_of(scene) for scene in scenes]
    for i, (scene, mine) in enumerate(zip(scenes, discs, strict=True)):
        cells = coverage(mine, rows, columns, boxes[i]).reshape(len(mine), -1)
        seen = np.flatnonzero(cells.sum(1) > _SEEN)
        others = discs[(i + 1) % len(discs)]
        free = coverage(others, rows, columns, boxes[i]).reshape(len(others), -1)[~overlap(others, mine).any(1)]
        both = np.concatenate([cells[seen], free[free.sum(1) > _SEEN]])
        masks.append((both / both.sum(1, keepdims=True)).astype(np.float32))
        objects.append(seen)
        labels += [_labels(scene, mine, j) for j in seen.tolist()]
    first = np.cumsum([0, *map(len, objects)])
    return Regions(masks, objects, first, np.array(labels, bool).reshape(-1, _OWN))


def _labels(scene: Scene, discs: np.ndarray, index: int) -> list[bool]:
    item = scene.objects[index]
    x, y = discs[index, :2]
    values = [getattr(item, name) == value for name, values in ATTRIBUTES.items() for value in values]
    return [*values, x < 0.5, x >= 0.5, y < 0.5, y >= 0.5]


@dataclass
class Units:
    """A block's maps over U units, those of objects before those of decoys.

    Attributes: `values` (U, C); `question` (U,), that of each; `active` (Q, C), whether a channel is anything but
    constant under a question; of the objects only, `owner`, the object of each, and `asked`, whether the block's step
    of the question is about it: 1, 0, or -1 where the block has no step.
    """

    values: np.ndarray
    question: np.ndarray
    active: np.ndarray
    owner: np.ndarray
    asked: np.ndarray


class RocAreas:
    """Areas under the ROC curves of values (U, C), where only the units in `counted` (U, C) count for a channel."""

    def __init__(self, values: np.ndarray, counted: np.ndarray) -> None:
        self._counted = counted.T.astype(np.float32)
        self._excess = np.zeros(self._counted.shape, np.float32)
        for row, column, mask in zip(self._excess, values.T, counted.T, strict=True):
            row[mask] = rankdata(column[mask]) - (mask.sum() + 1) / 2

    def of(self, labels: np.ndarray) -> np.ndarray:
        """(C, K) for boolean labels (U, K); 0.5 if all or none of the units that count have a label."""
        labels = labels.astype(np.float32)
        positive = self._counted @ labels
        pairs = positive * (self._counted.sum(1, keepdims=True) - positive)
        return 0.5 + np.divide(self._excess @ labels, pairs, out=np.zeros(pairs.shape, np.float32), where=pairs > 0)


def concept_areas(units: Units, regions: Regions, *, permutations: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Areas (C, concepts) of a block's channels, and (permutations, C) the best ones with exchanged labels.

    Each permutation keeps what the real labels share with the maps by construction: an object's labels move to another
    object in all its questions at once, since its values under them are alike; "asked for" is exchanged within a
    question, since questions differ in how loud they make a channel; and objects exchange places with decoys.
    """
    rng = np.random.default_rng(seed)
    own = len(units.owner)
    counted = units.active[units.question]
    stepped = np.flatnonzero(units.asked >= 0)
    of_objects = RocAreas(units.values[:own], counted[:own])
    of_asked = RocAreas(units.values[stepped], counted[stepped])
    of_all = RocAreas(units.values, counted)
    question = units.question[stepped]
    by_question = np.argsort(question, kind="stable")

    def areas(labels: np.ndarray, asked: np.ndarray, is_object: np.ndarray) -> np.ndarray:
        parts = of_objects.of(labels[units.owner]), of_asked.of(asked[:, None]), of_all.of(is_object[:, None])
        return np.concatenate(parts, 1)

    asked, is_object = units.asked[stepped] == 1, np.arange(len(counted)) < own
    found = areas(regions.labels, asked, is_object)
    by_chance = np.empty((permutations, counted.shape[1]), np.float32)
    for i in range(permutations):
        shuffled = np.empty_like(asked)
        shuffled[by_question] = asked[np.lexsort((rng.random(len(question)), question))]
        by_chance[i] = areas(rng.permutation(regions.labels), shuffled, rng.permutation(is_object)).max(1)
    return found, by_chance
