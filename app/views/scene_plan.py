"""A scene as a plan: seen from above, the viewer at the bottom, so that left and right are those of the image."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.views.render import render
from app.views.seen import name_of
from vqa.clevr.image_generation.camera import RADIUS
from vqa.clevr.image_generation.sample_scenes import REACH
from vqa.clevr.scenes import DIRECTIONS, SceneObject

COLORS = {
    "gray": "#575757",
    "red": "#ad2323",
    "blue": "#2a4bd7",
    "green": "#1d6914",
    "brown": "#814a19",
    "purple": "#8126c0",
    "cyan": "#29d0d0",
    "yellow": "#ffee33",
}
"""CLEVR's colors."""

_AXES = np.array([DIRECTIONS["right"][:2], DIRECTIONS["front"][:2]])
_HALF = REACH * math.sqrt(2)
_CORNERS = ((-1, -1), (-1, 1), (1, 1), (1, -1))


def to_plan(item: SceneObject) -> tuple[float, float]:
    """Where an object stands on the plan: to the right of the middle and towards the viewer, in Blender units."""
    right, front = (_AXES @ np.array(item.coords[:2])).tolist()
    return right, front


def placed(item: SceneObject, right: float, front: float) -> SceneObject:
    """The object at another place of the plan, on the ground."""
    x, y = (np.array([right, front]) @ _AXES).tolist()
    return replace(item, coords=(x, y, RADIUS[item.size]))


def draw_plan(objects: Sequence[SceneObject], chosen: int, faulty: set[int]) -> str:
    """The plan as SVG: every object can be chosen by pointer or Tab, and moved by the pointer or the arrow keys."""
    order = sorted(range(len(objects)), key=lambda i: -RADIUS[objects[i].size])
    return render(
        "plan",
        edge=_HALF + 0.55,
        corners=[(_AXES @ (np.array(corner) * REACH)).tolist() for corner in _CORNERS],
        marks=[_mark(objects[i], i, i == chosen, i in faulty) for i in order],
    )


def _mark(item: SceneObject, index: int, chosen: bool, faulty: bool) -> dict[str, Any]:
    angle = math.degrees(item.rotation)  # CLEVR writes 0 to 360 and applies it as radians
    towards = math.degrees(math.atan2(_AXES[1][0], _AXES[0][0]))
    return {
        "item": item,
        "index": index,
        "place": to_plan(item),
        "radius": RADIUS[item.size],
        "fill": COLORS[item.color],
        "ink": "#000" if item.color in ("cyan", "yellow") else "#fff",
        "turn": (towards - angle) % 90,
        "chosen": chosen,
        "faulty": faulty,
        "label": f"{index + 1}: {name_of(item)}" + (", breaks a rule" if faulty else ""),
    }
