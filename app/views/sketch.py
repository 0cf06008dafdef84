"""A composed scene as a sketch from CLEVR's camera, in SVG, for want of Blender; the model never reads it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull

from app.views.render import render
from app.views.scene_plan import COLORS
from vqa.clevr.image_generation.camera import CAMERA_LOCATION, PIXEL_FRAME, RADIUS, object_disc, project
from vqa.clevr.scenes import SceneObject

_AROUND = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_RING = np.stack([np.cos(_AROUND), np.sin(_AROUND), np.ones(len(_AROUND))], 1)
_SQUARE = np.array([[-1, -1, 1], [-1, 1, 1], [1, 1, 1], [1, -1, 1]], float)
_LIGHT = np.array([0.5, -0.75, 0.45])
"""Where the light comes from: the key lamp's side."""


def sketch(objects: Sequence[SceneObject]) -> str:
    """The objects as shaded outlines, the farthest first."""
    far = sorted(objects, key=lambda item: -float(np.linalg.norm(np.subtract(item.coords, CAMERA_LOCATION))))
    return render("sketch", frame=PIXEL_FRAME, things=[_thing(item) for item in far])


def _thing(item: SceneObject) -> dict[str, Any]:
    disc = object_disc(item)
    found: dict[str, Any] = {"color": COLORS[item.color], "metal": item.material == "metal", "disc": disc, "faces": []}
    if item.shape == "sphere":
        return found
    radius, center = RADIUS[item.size], np.array(item.coords)
    top = _RING if item.shape == "cylinder" else _SQUARE
    if item.shape == "cube":  # CLEVR writes 0 to 360 and applies it as radians
        cos, sin = np.cos(item.rotation), np.sin(item.rotation)
        top = top @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    bottom = top * (1, 1, -1)
    if item.shape == "cylinder":
        body = _flat(center + radius * np.concatenate([top, bottom]))
        found["faces"] = [(body[ConvexHull(body).vertices], 0.8)]
    else:
        for k in range(4):
            side = np.stack([top[k], top[k - 1], bottom[k - 1], bottom[k]])
            normal = side.mean(0)
            if normal @ (np.array(CAMERA_LOCATION) - center - radius * normal) > 0:
                found["faces"].append((_flat(center + radius * side), 0.7 + 0.25 * float(normal @ _LIGHT)))
    found["faces"].append((_flat(center + radius * top), 1.12))
    return found


def _flat(points: np.ndarray) -> np.ndarray:
    return project(points, CAMERA_LOCATION)[:, :2]
