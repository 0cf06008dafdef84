"""The functions that people's questions need beyond CLEVR's (`vqa.clevr.language.free_grammar`), on likely scenes.

Sets are (S, N) booleans, of N objects in S scenes; an object is a set of one, all else is (S,) integers, -1 where there
is no answer.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vqa.clevr.vocabulary import ATTRIBUTES

if TYPE_CHECKING:
    from vqa.inference.second_reading import Worlds

NEAR = 2.0
"""Objects whose middles are at most this many Blender units apart on the ground stand next to each other: CLEVR's
stand up to 7 apart, and two large ones at least 1.65."""

ASIDE = 1.0
"""An object this far from the line between two others, in Blender units, still stands between them."""

_HALF = {"large": 0.7, "small": 0.35}
_HIDDEN = 0.1
"""Share of an object's disc in the image that nearer discs cover, from which on it is partially hidden."""


def run(function: str, value: str | None, inputs: Sequence[np.ndarray], worlds: "Worlds") -> np.ndarray:
    """What a step yields in all worlds; see the module. Raises KeyError for an unknown function."""
    name, _, attribute = function.rpartition("_")
    if attribute in ATTRIBUTES:
        return _OF_ATTRIBUTE[name](inputs, worlds.values[attribute], len(ATTRIBUTES[attribute]), value)
    return _FUNCTIONS[function](value, inputs, worlds)


def answer_of(function: str, value: str | None, number: int) -> str | None:
    """The answer that a further function's number stands for."""
    name, _, attribute = function.rpartition("_")
    if number < 0:
        return None
    if function in ("more_of", "fewer_of"):
        return str(value).split("|")[number]
    if name in ("common", "rare", "times", "shared"):
        return ATTRIBUTES[attribute][number]
    return str(number) if name == "distinct" or function == "difference" else ("no", "yes")[number]


def _pick(members: np.ndarray, scores: np.ndarray, place: int = 1) -> np.ndarray:
    """The member of each set with the `place`-th highest score, as a set."""
    order = np.argsort(np.where(members, -scores, np.inf), 1, kind="stable")
    picked = np.zeros_like(members)
    if members.shape[1] >= place:
        np.put_along_axis(picked, order[:, [place - 1]], True, 1)
    return picked & members


def _scores(side: str, worlds: "Worlds") -> np.ndarray:
    """(S, N) or (N,): how far objects are to a side of the image, or how large they look."""
    (x, _), (_, front) = worlds.center.T, worlds.ground.T
    if side in ("largest", "smallest"):
        size = np.where(worlds.values["size"] == 0, 2.0, 1.0) + 0.01 * front
        return size if side == "largest" else -size
    if side == "apart":  # far from all others
        return np.where(np.eye(len(x), dtype=bool), np.inf, _distances_between(worlds, worlds.present)).min(
            2, initial=99
        )
    if side == "middle":
        return -np.abs(x - 0.5) - 0.1 * np.abs(worlds.center[:, 1] - 0.5)
    return {"left": -x, "right": x, "front": front, "behind": -front}[side]


def _ordinal(value: str | None, inputs: Sequence[np.ndarray], worlds: "Worlds") -> np.ndarray:
    place, side = str(value).split()
    return _pick(inputs[0], _scores(side, worlds), int(place))


def _distances_between(worlds: "Worlds", to: np.ndarray) -> np.ndarray:
    """(S, N, N): how far each object stands from each of a set, infinitely from others."""
    apart = np.linalg.norm(worlds.ground[:, None] - worlds.ground[None], axis=-1)
    return np.where(to[:, None, :], apart[None], np.inf)


def _distances(to: np.ndarray, worlds: "Worlds") -> np.ndarray:
    """(S, N): how far objects stand from the nearest of a set."""
    return _distances_between(worlds, to).min(2, initial=np.inf)


def _between(inputs: Sequence[np.ndarray], worlds: "Worlds") -> np.ndarray:
    found = np.zeros_like(inputs[0])
    for i, ends in enumerate(inputs[1]):
        if ends.sum() == 2:
            one, other = worlds.ground[ends]
            way = other - one
            along = (worlds.ground - one) @ way / (way @ way)
            aside = np.linalg.norm(worlds.ground - one - along[:, None] * way, axis=1)
            found[i] = inputs[0][i] & ~ends & (along > 0) & (along < 1) & (aside <= ASIDE)
    return found


def _covers(worlds: "Worlds") -> np.ndarray:
    """(N, N): whether the disc of object j hides a part of that of object i in the image, at [i, j]."""
    sizes = np.array([list(_HALF.values())[int(size)] for size in worlds.values["size"][0]])
    depth = 11.04 - 0.88 * worlds.ground[:, 1]
    center = worlds.center * (480, 320)
    radius = sizes * 525 / depth
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 15), np.linspace(-1, 1, 15)), -1).reshape(-1, 2)
    disc = grid[(grid**2).sum(1) <= 1]
    points = center[:, None] + radius[:, None, None] * disc
    inside = np.linalg.norm(points[:, None] - center[None, :, None], axis=-1) <= radius[None, :, None]
    return (inside.mean(2) >= _HIDDEN) & (depth[None, :] < depth[:, None])


def _touched(members: np.ndarray, by: np.ndarray, covers: np.ndarray) -> np.ndarray:
    return members & ((by[:, None, :] & covers[None]).any(2))


def _is_size(inputs: Sequence[np.ndarray], worlds: "Worlds", sign: int) -> np.ndarray:
    """Those of a set that are larger (1) or smaller (-1) than an object."""
    sizes = worlds.values["size"]
    of = (inputs[1] * sizes).sum(1)[:, None]
    return inputs[0] & (sign * (of - sizes) > 0)


def _compare_counts(inputs: Sequence[np.ndarray], sign: int) -> np.ndarray:
    """0 where the first set has more (or, by sign, fewer) objects, 1 where the second; -1 where both have as many."""
    more = sign * (inputs[0].sum(1) - inputs[1].sum(1))
    return np.where(more > 0, 0, np.where(more < 0, 1, -1))


def _like(inputs: Sequence[np.ndarray], names: Sequence[str], worlds: "Worlds") -> np.ndarray:
    """Those of a set that share the named attributes with another object of the second."""
    same = np.logical_and.reduce([worlds.values[n][:, :, None] == worlds.values[n][:, None, :] for n in names])
    return inputs[0] & (same & inputs[1][:, None, :] & ~np.eye(same.shape[1], dtype=bool)).any(2)


def _half(side: str, worlds: "Worlds") -> np.ndarray:
    """(N,): which objects lie in a half of the image, or in the middle third."""
    (x, y) = worlds.center.T
    return {"left": x < 0.5, "right": x >= 0.5, "front": y >= 0.5, "behind": y < 0.5, "middle": abs(x - 0.5) < 1 / 6}[
        side
    ]


def _all_same(members: np.ndarray, names: Sequence[str], worlds: "Worlds") -> np.ndarray:
    same = [_OF_ATTRIBUTE["all_same"]([members], worlds.values[n], len(ATTRIBUTES[n]), None) for n in names]
    return np.logical_and.reduce(same).astype(int)


_FUNCTIONS = {
    "minus": lambda value, x, worlds: x[0] & ~x[1],
    "negate": lambda value, x, worlds: 1 - x[0],
    "all": lambda value, x, worlds: (x[0].any(1) & ~(x[0] & ~x[1]).any(1)).astype(int),
    "all_same": lambda value, x, worlds: _all_same(x[0], value.split("|"), worlds),
    "most": lambda value, x, worlds: (2 * (x[0] & x[1]).sum(1) > x[0].sum(1)).astype(int),
    "parity": lambda value, x, worlds: (x[0] % 2 == ("even", "odd").index(value)).astype(int),
    "exactly": lambda value, x, worlds: (x[0] == int(value)).astype(int),
    "at_least": lambda value, x, worlds: (x[0] >= int(value)).astype(int),
    "at_most": lambda value, x, worlds: (x[0] <= int(value)).astype(int),
    "difference": lambda value, x, worlds: np.maximum(x[0].sum(1) - x[1].sum(1), 0),
    "more_of": lambda value, x, worlds: _compare_counts(x, 1),
    "fewer_of": lambda value, x, worlds: _compare_counts(x, -1),
    "extreme": lambda value, x, worlds: _pick(x[0], _scores(value, worlds)),
    "ordinal": _ordinal,
    "nearest": lambda value, x, worlds: _pick(x[0] & ~x[1], -_distances(x[1], worlds)),
    "farthest": lambda value, x, worlds: _pick(x[0] & ~x[1], np.nan_to_num(_distances(x[1], worlds), posinf=-1)),
    "near": lambda value, x, worlds: x[0] & ~x[1] & (_distances(x[1], worlds) <= NEAR),
    "half": lambda value, x, worlds: x[0] & _half(value, worlds),
    "like": lambda value, x, worlds: _like(x, value.split("|"), worlds),
    "between": lambda value, x, worlds: _between(x, worlds),
    "beyond": lambda value, x, worlds: (
        worlds.present & x[0] & ~x[1] & ~(x[1].astype(int) @ (~worlds.relations[value]).astype(int) > 0)
    ),
    "hidden": lambda value, x, worlds: _touched(x[0], worlds.present, _covers(worlds)),
    "hidden_by": lambda value, x, worlds: _touched(x[0], x[1], _covers(worlds)),
    "hides": lambda value, x, worlds: _touched(x[0], x[1], _covers(worlds).T),
    "larger": lambda value, x, worlds: _is_size(x, worlds, 1),
    "smaller": lambda value, x, worlds: _is_size(x, worlds, -1),
}


def _tally(members: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """How many of each set have each value, (S, values)."""
    return np.stack([(members & (values == k)).sum(1) for k in range(size)], 1)


def _sole(tally: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The value of those marked, -1 where they are none or several."""
    return np.where(of.sum(1) == 1, of.argmax(1), -1)


def _common(x: Sequence[np.ndarray], values: np.ndarray, size: int, value: str | None) -> np.ndarray:
    tally = _tally(x[0], values, size)
    return _sole(tally, (tally == tally.max(1, keepdims=True)) & (tally > 0))


def _rare(x: Sequence[np.ndarray], values: np.ndarray, size: int, value: str | None) -> np.ndarray:
    tally = _tally(x[0], values, size)
    least = np.where(tally > 0, tally, 99).min(1, keepdims=True)
    return _sole(tally, tally == least)


def _odd(x: Sequence[np.ndarray], values: np.ndarray, size: int, value: str | None) -> np.ndarray:
    once = np.take_along_axis(_tally(x[0], values, size), values, 1) == 1
    return x[0] & once


def _unlike(x: Sequence[np.ndarray], values: np.ndarray, size: int, value: str | None) -> np.ndarray:
    return x[0] & ~x[1] & (values != (x[1] * values).sum(1)[:, None])


_OF_ATTRIBUTE = {
    "common": _common,
    "rare": _rare,
    "times": lambda x, values, size, value: _sole(t := _tally(x[0], values, size), t == int(str(value))),
    "shared": lambda x, values, size, value: _sole(t := _tally(x[0], values, size), t > 0),
    "distinct": lambda x, values, size, value: (_tally(x[0], values, size) > 0).sum(1),
    "all_same": lambda x, values, size, value: ((_tally(x[0], values, size) > 0).sum(1) == 1).astype(int),
    "all_different": lambda x, values, size, value: (_tally(x[0], values, size).max(1) <= 1).astype(int),
    "odd": _odd,
    "different": _unlike,
}
