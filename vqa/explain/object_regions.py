"""Where a scene's objects lie in a model's grid, and which of them a question refers to."""

from dataclasses import dataclass

import numpy as np

from vqa.clevr.image_generation.camera import PIXEL_FRAME, object_disc
from vqa.clevr.programs import IllPosedError, Program, execute, reasoning_steps, step_objects
from vqa.clevr.scenes import Scene

Box = tuple[float, float, float, float]
"""Left, top, right, bottom of the image within the grid, each from 0 to 1; see `Answer.picture_box`."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

_FINE = 4
"""Points sampled along each side of a cell, to measure how much of it a disc covers."""


def discs_of(scene: Scene) -> np.ndarray:
    """The objects' discs (M, 4): x, y and radius as fractions of the image's width, height and width, and depth."""
    rows = []
    for item in scene.objects:
        x, y, radius = object_disc(item)
        depth = item.pixel_coords[2] if item.pixel_coords else 0.0
        rows.append((x / PIXEL_FRAME[0], y / PIXEL_FRAME[1], radius / PIXEL_FRAME[0], depth))
    return np.array(rows, float).reshape(-1, 4)


def contains(discs: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which discs (M, 4) hold the points (x, y) of any shape S, in fractions of the image: boolean mask (M, *S)."""
    flat = (x.ravel() - discs[:, :1]) ** 2 + ((y.ravel() - discs[:, 1:2]) * PIXEL_FRAME[1] / PIXEL_FRAME[0]) ** 2
    return (flat <= discs[:, 2:3] ** 2).reshape(len(discs), *np.shape(x))


def grid_points(rows: int, columns: int, box: Box = WHOLE) -> tuple[np.ndarray, np.ndarray]:
    """The centres of a grid's cells as fractions of the image: x and y, each (rows, columns)."""
    left, top, right, bottom = box
    x = ((np.arange(columns) + 0.5) / columns - left) / (right - left)
    y = ((np.arange(rows) + 0.5) / rows - top) / (bottom - top)
    return np.broadcast_to(x, (rows, columns)), np.broadcast_to(y[:, None], (rows, columns))


def coverage(discs: np.ndarray, rows: int, columns: int, box: Box = WHOLE) -> np.ndarray:
    """The share of each cell that each disc covers, hidden parts left out: (M, rows, columns).

    A point belongs to the nearest of the discs (M, 4) that hold it.
    """
    inside = contains(discs, *grid_points(rows * _FINE, columns * _FINE, box))
    taken = np.zeros(inside.shape[1:], bool)
    for i in np.argsort(discs[:, 3], kind="stable"):
        inside[i] &= ~taken
        taken |= inside[i]
    return inside.reshape(len(discs), rows, _FINE, columns, _FINE).mean((2, 4))


def overlap(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether discs (M, 4) and discs (N, 4) touch: boolean mask (M, N)."""
    dx = ones[:, None, 0] - others[None, :, 0]
    dy = (ones[:, None, 1] - others[None, :, 1]) * PIXEL_FRAME[1] / PIXEL_FRAME[0]
    return dx**2 + dy**2 < (ones[:, None, 2] + others[None, :, 2]) ** 2


@dataclass(frozen=True)
class Referents:
    """The objects of a scene that a question refers to, by their index.

    Attributes: `blocks`, for each block the objects that its reasoning step selects, None for one without a step;
    `answer`, those that the answer is read from.
    """

    blocks: tuple[tuple[int, ...] | None, ...]
    answer: tuple[int, ...]


def find_referents(program: Program, scene: Scene, blocks: int) -> Referents | None:
    """The objects that a question refers to; None if it has no answer on the scene, or more steps than blocks.

    The last reasoning step stands at the last block, as training aligns them (`vqa.training.targets`).
    """
    steps, readers = reasoning_steps(program)
    if len(steps) > blocks:
        return None
    try:
        sets = step_objects(steps, execute(program, scene))
    except IllPosedError:
        return None
    unused: list[tuple[int, ...] | None] = [None] * (blocks - len(steps))
    read = sorted({item for reader in readers for item in sets[reader]})
    return Referents((*unused, *sets), tuple(read))
