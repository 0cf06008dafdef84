"""Many scenes as arrays: which objects each description denotes, and which lie where, as bit masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ATTRIBUTES, MAX_OBJECTS, RELATIONS

NAMES = tuple(ATTRIBUTES)
VALUES = {name: np.array([None, *values], object) for name, values in ATTRIBUTES.items()}
"""Attribute -> its values by number; number 0 is "any"."""

_SIZES = tuple(map(len, VALUES.values()))
DIGITS = np.stack(np.unravel_index(np.arange(np.prod(_SIZES)), _SIZES), 1).astype(np.int8)
"""Description -> its values' numbers, (D, 4). Description 0 is "any thing"."""

STRIDES = {name: int(np.prod(_SIZES[i + 1 :])) for i, name in enumerate(NAMES)}
"""Attribute -> what one step of its value's number adds to the description's."""

BITS = (1 << np.arange(MAX_OBJECTS)).astype(np.uint16)
"""Object -> its bit in a mask."""

_NUMBER = {name: {value: i for i, value in enumerate(values)} for name, values in VALUES.items()}


@dataclass(frozen=True)
class SceneArrays:
    """S scenes of up to `MAX_OBJECTS` objects.

    Args:
        everything: the mask of all objects, (S,).
        values: the numbers of each object's values, (S, MAX_OBJECTS, 4); 0 for objects that are not there.
        relations: for each of `RELATIONS` and each object the mask of those that are so of it, (S, 4, MAX_OBJECTS).
    """

    everything: np.ndarray
    values: np.ndarray
    relations: np.ndarray
    _described: dict[frozenset[str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def empty(cls, number: int) -> "SceneArrays":
        """Scenes without objects, to be filled by `put`."""
        values = np.zeros((number, MAX_OBJECTS, len(NAMES)), np.int8)
        return cls(np.zeros(number, np.uint16), values, np.zeros((number, len(RELATIONS), MAX_OBJECTS), np.uint16))

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> "SceneArrays":
        """The arrays of scenes, none of which has more than `MAX_OBJECTS` objects."""
        arrays = cls.empty(len(scenes))
        for i, scene in enumerate(scenes):
            arrays.put(i, scene)
        return arrays

    def put(self, i: int, scene: Scene) -> None:
        """Put a scene at `i`."""
        number = len(scene.objects)
        self.everything[i] = (1 << number) - 1
        if number:
            self.values[i, :number] = [[_NUMBER[name][getattr(item, name)] for name in NAMES] for item in scene.objects]
            masks = [[sum(1 << j for j in row) for row in scene.relationships[name]] for name in RELATIONS]
            self.relations[i, :, :number] = masks

    def take(self, rows: np.ndarray) -> "SceneArrays":
        """The scenes at these rows."""
        return SceneArrays(self.everything[rows], self.values[rows], self.relations[rows])

    def __len__(self) -> int:
        return len(self.everything)

    @cached_property
    def all_described(self) -> np.ndarray:
        """The objects that answer to each of the D descriptions, (S, D)."""
        found = np.full((len(self), 1), 0xFFFF, np.uint16)
        for i, values in enumerate(VALUES.values()):
            is_so = self.values[:, :, i, None] == np.arange(len(values))
            masks = (is_so * BITS[:, None]).sum(1, dtype=np.uint16)
            masks[:, 0] = self.everything
            found = (found[:, :, None] & masks[:, None]).reshape(len(self), -1)
        return found

    def described(self, unsaid: frozenset[str]) -> tuple[np.ndarray, np.ndarray]:
        """The descriptions, without some attributes, that some object answers to, and the objects that do, (S, K) each.

        The first is "any thing"; scenes that have fewer than others are filled up with the mask 0.
        """
        if unsaid not in self._described:
            columns = np.flatnonzero((DIGITS[:, [NAMES.index(name) for name in unsaid]] == 0).all(1))
            found = self.all_described[:, columns]
            most = int(np.count_nonzero(found, 1).max(initial=1))
            order = np.argsort(found == 0, 1, kind="stable")[:, :most]
            self._described[unsaid] = columns[order].astype(np.int16), np.take_along_axis(found, order, 1)
        return self._described[unsaid]
