"""What scenes and programs can teach: arrays of targets for the supervised losses."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from vqa.clevr.programs import (
    ANSWER_FUNCTIONS,
    OPERATIONS,
    IllPosedError,
    Program,
    asked_attribute,
    execute,
    reasoning_steps,
    step_objects,
)
from vqa.clevr.scenes import DIRECTIONS, Scene
from vqa.clevr.vocabulary import ATTRIBUTES, MAX_OBJECTS
from vqa.model.scene import POSITION_SCALE

Target = TypeVar("Target", "SceneTarget", "StepTarget")

_PIXELS = np.array([480.0, 320.0])
_OPERATION = {name: i for i, name in enumerate(OPERATIONS)}
_ASKED = {name: i for i, name in enumerate([None, *ATTRIBUTES])}
_VALUE = {name: {value: i for i, value in enumerate(values)} for name, values in ATTRIBUTES.items()}


@dataclass(slots=True)
class SceneTarget:
    """Per object, up to M = `MAX_OBJECTS` rows: centre (M, 2), x and y as fractions of the image; attributes (M, 4);
    ground position (M, 2) along "right" and "front"; and their number, -1 where the scene is unknown."""

    centre: np.ndarray
    attributes: np.ndarray
    position: np.ndarray
    number: np.ndarray


@dataclass(slots=True)
class StepTarget:
    """Per block, aligned so that the last reasoning step belongs to the last block.

    operation (K,), filters (K, 4) with 0 for any, pointers (K + 1,) with the head's last and 0 for none,
    members (K, MAX_OBJECTS): 1 where the object is in the step's set, 0 where it is not, -1 for blocks without a step;
    whether the question has such targets at all; which attribute the answer is read from: 0 for none, else 1 + its
    index; and which of `ANSWER_FUNCTIONS` gives it.
    """

    operation: np.ndarray
    filters: np.ndarray
    pointers: np.ndarray
    members: np.ndarray
    known: np.ndarray
    asked: np.ndarray
    kind: np.ndarray

    def __getitem__(self, chosen: slice | np.ndarray) -> "StepTarget":
        """Some of several stacked ones."""
        return StepTarget(*(getattr(self, item.name)[chosen] for item in fields(self)))


def stacked(targets: Sequence[Target]) -> Target:
    """Several targets, one at least, as one whose arrays have them along a new first axis."""
    kind = type(targets[0])
    return kind(*(np.stack([getattr(target, item.name) for target in targets]) for item in fields(kind)))


def scene_target(scene: Scene | None) -> SceneTarget:
    """Targets of one image; unknown where the scene lacks pixel coordinates or has more objects than CLEVR's ten."""
    centre = np.zeros((MAX_OBJECTS, 2), np.float32)
    attributes = np.zeros((MAX_OBJECTS, len(ATTRIBUTES)), np.int8)
    position = np.zeros((MAX_OBJECTS, 2), np.float32)
    objects = scene.objects if scene is not None else ()
    if scene is None or len(objects) > MAX_OBJECTS or any(item.pixel_coords is None for item in objects):
        return SceneTarget(centre, attributes, position, np.array(-1, np.int8))
    axes = np.array([(scene.directions or DIRECTIONS)[name] for name in ("right", "front")])
    for i, item in enumerate(objects):
        assert item.pixel_coords is not None
        centre[i] = np.array(item.pixel_coords[:2]) / _PIXELS
        attributes[i] = [_VALUE[name][getattr(item, name)] for name in ATTRIBUTES]
        position[i] = axes @ np.array(item.coords) / POSITION_SCALE
    return SceneTarget(centre, attributes, position, np.array(len(objects), np.int8))


def step_target(program: Program | None, scene: Scene | None, blocks: int) -> StepTarget:
    """Targets of one question; unknown without program or scene, for an ill-posed program, or one of too many steps."""
    operation = np.zeros(blocks, np.int8)
    filters = np.zeros((blocks, len(ATTRIBUTES)), np.int8)
    pointers = np.zeros(blocks + 1, np.int8)
    members = np.full((blocks, MAX_OBJECTS), -1, np.int8)
    unknown, none = np.array(False), np.array(0, np.int8)
    target = StepTarget(operation, filters, pointers, members, unknown, none, none)
    if program is None or scene is None or len(scene.objects) > MAX_OBJECTS:
        return target
    steps, readers = reasoning_steps(program)
    first = blocks - len(steps)
    try:
        found = step_objects(steps, execute(program, scene))
    except IllPosedError:
        return target
    if first < 0:
        return target
    for k, (step, objects) in enumerate(zip(steps, found, strict=True), start=first):
        operation[k] = _OPERATION[step.operation]
        for j, name in enumerate(ATTRIBUTES):
            if name in step.filters:
                filters[k, j] = 1 + _VALUE[name][step.filters[name]]
        pointers[k] = _second(step.inputs, first, k)
        members[k, : len(scene.objects)] = 0
        members[k, list(objects)] = 1
    pointers[blocks] = _second(readers, first, blocks)
    target.known = np.array(True)
    target.asked = np.array(_ASKED[asked_attribute(program)], np.int8)
    target.kind = np.array(ANSWER_FUNCTIONS.index(program[-1].function), np.int8)
    return target


def _second(inputs: Sequence[int], first: int, block: int) -> int:
    """The block beside the preceding one that `block` reads, counted from 1; 0 where that one is all it reads."""
    return 1 + first + min(inputs) if inputs and first + min(inputs) != block - 1 else 0


class SceneTargets(NamedTuple):
    """Batch of `SceneTarget`: centre (N, M, 2), attributes (N, M, 4), position (N, M, 2), number (N,), -1: unknown."""

    centre: Tensor
    attributes: Tensor
    position: Tensor
    number: Tensor

    @classmethod
    def of(cls, targets: Sequence[SceneTarget], device: torch.device) -> "SceneTargets":
        """Targets, one at least, on a device."""
        together = stacked(targets)
        return cls(*(torch.from_numpy(getattr(together, name)).to(device) for name in cls._fields))


class StepTargets(NamedTuple):
    """Batch of `StepTarget`: operation (B, K), filters (B, K, 4), pointers (B, K + 1), members (B, K, M), known (B),
    asked (B), kind (B).

    Numbers are int8 but for `known`, which is bool.
    """

    operation: Tensor
    filters: Tensor
    pointers: Tensor
    members: Tensor
    known: Tensor
    asked: Tensor
    kind: Tensor

    @classmethod
    def of(cls, targets: Sequence[StepTarget] | StepTarget, device: torch.device) -> "StepTargets":
        """Targets, one at least or several stacked already, on a device."""
        together = targets if isinstance(targets, StepTarget) else stacked(targets)
        return cls(*(torch.from_numpy(getattr(together, name)).to(device) for name in cls._fields))
