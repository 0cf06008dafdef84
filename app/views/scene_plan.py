"""A scene as a plan: seen from above, the viewer at the bottom, so that left and right are those of the image."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vqa.clevr.image_generation.camera import RADIUS
from vqa.clevr.image_generation.sample_scenes import REACH
from vqa.clevr.scenes import DIRECTIONS, SceneObject
from vqa.explain.drawing import escape

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


def to_plan(item: SceneObject) -> tuple[float, float]:
    """Where an object stands on the plan: to the right of the middle and towards the viewer, in Blender units."""
    right, front = (_AXES @ np.array(item.coords[:2])).tolist()
    return right, front


def placed(item: SceneObject, right: float, front: float) -> SceneObject:
    """The object at another place of the plan, on the ground."""
    x, y = (np.array([right, front]) @ _AXES).tolist()
    return replace(item, coords=(x, y, RADIUS[item.size]))


def name_of(item: SceneObject) -> str:
    """An object in words."""
    return f"{item.size} {item.color} {item.material} {item.shape}"


def draw_plan(objects: Sequence[SceneObject], chosen: int, faulty: set[int]) -> str:
    """The plan as SVG: every object can be chosen by pointer or Tab, and moved by the pointer or the arrow keys."""
    corners = " ".join(f"{x:.3f},{y:.3f}" for x, y in (_AXES @ (np.array([p, q]) * REACH) for p, q in _CORNERS))
    order = sorted(range(len(objects)), key=lambda i: -RADIUS[objects[i].size])
    marks = "".join(_mark(objects[i], i, i == chosen, i in faulty) for i in order)
    edge = _HALF + 0.55
    return (
        f'<svg class="plan" viewBox="{-edge:.2f} {-edge:.2f} {2 * edge:.2f} {2 * edge:.2f}" role="group" '
        f'aria-label="Plan of the scene from above, {len(objects)} objects">'
        f'<polygon class="ground" points="{corners}"/>'
        f'<text class="side" x="0" y="{-edge + 0.35:.2f}">behind</text>'
        f'<text class="side" x="0" y="{edge - 0.12:.2f}">front</text>'
        f'<text class="side" x="{-edge + 0.5:.2f}" y="0">left</text>'
        f'<text class="side" x="{edge - 0.5:.2f}" y="0">right</text>'
        f"{marks}</svg>"
    )


_CORNERS = ((-1, -1), (-1, 1), (1, 1), (1, -1))


def _mark(item: SceneObject, index: int, chosen: bool, faulty: bool) -> str:
    x, y = to_plan(item)
    radius = RADIUS[item.size]
    fill = COLORS[item.color]
    if item.shape == "cube":
        angle = math.degrees(item.rotation)  # CLEVR writes 0 to 360 and applies it as radians
        towards = math.degrees(math.atan2(_AXES[1][0], _AXES[0][0]))
        body = (
            f'<rect x="{-radius}" y="{-radius}" width="{2 * radius}" height="{2 * radius}" rx=".06" fill="{fill}" '
            f'transform="rotate({(towards - angle) % 90:.1f})"/>'
        )
    else:
        body = f'<circle r="{radius}" fill="{fill}"/>'
        if item.shape == "cylinder":
            body += (
                f'<circle r="{radius * 0.72:.3f}" fill="none" stroke="#fff" stroke-opacity=".45" stroke-width=".06"/>'
            )
    if item.material == "metal":
        at = f"{-radius * 0.35:.3f}"
        body += f'<circle cx="{at}" cy="{at}" r="{radius * 0.22:.3f}" fill="#fff" opacity=".8"/>'
    state = " chosen" * chosen + " faulty" * faulty
    label = f"{index + 1}: {name_of(item)}" + (", breaks a rule" if faulty else "")
    ink = "#000" if item.color in ("cyan", "yellow") else "#fff"
    return (
        f'<g class="thing{state}" data-index="{index}" transform="translate({x:.3f} {y:.3f})" tabindex="0" '
        f'role="button" aria-pressed="{str(chosen).lower()}" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>{body}"
        f'<circle class="ring" r="{radius * (1.42 if item.shape == "cube" else 1) + 0.09:.3f}"/>'
        f'<text y=".13" fill="{ink}">{index + 1}</text></g>'
    )
