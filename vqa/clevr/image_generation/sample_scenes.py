"""Random CLEVR scenes: attributes, placement, visibility, jitter (Johnson et al. 2017, supplementary A).

Each image has a generator of its own, seeded from (seed, split, index), so that any share of a dataset, made on any
machine in any order, holds the same scenes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from vqa.clevr.image_generation.camera import (
    CAMERA_LOCATION,
    RADIUS,
    Vector,
    pixel_coords,
    recover_location,
    visible_pixels,
)
from vqa.clevr.scenes import DIRECTIONS, Scene, SceneObject, compute_relationships
from vqa.clevr.vocabulary import COGENT_COLORS, COLORS, MATERIALS, MAX_OBJECTS, RELATIONS, SHAPES, SIZES

CONDITIONS = ("none", *COGENT_COLORS)
"""Which colors a shape may have: any, or those of CoGenT's condition A or B."""

LAMP_LOCATIONS: dict[str, Vector] = {
    "key": (6.4467101, -2.9051747, 4.2583981),
    "fill": (-4.6711245, -4.0135975, 3.0112245),
    "back": (-1.1685014, 2.6460245, 5.8157368),
}
"""Where the three area lamps stand before their jitter; the sun never moves."""

OBJECT_RANGE = (3, MAX_OBJECTS)
"""Least and greatest number of objects of CLEVR's scenes."""

MIN_GAP = 0.25
"""Least distance between two objects' circles on the ground, Blender units."""

MIN_MARGIN = 0.4
"""Least distance between two centres along each ground direction, so that no relation is ambiguous."""

MIN_PIXELS = 200
"""Least visible pixels of an object in the 480x320 frame."""

REACH = 3.0
"""Greatest distance of a centre from the middle along each axis, Blender units."""

_CAMERA_JITTER, _LAMP_JITTER = 0.5, 1.0

_TRIES = 50


@dataclass(frozen=True, slots=True)
class Layout:
    """One image to render: a scene, places of camera and area lamps (all look at the origin), the noise's seed.

    `mask`: its instance mask instead (see `vqa.clevr.masks`).
    """

    scene: Scene
    camera: Vector = CAMERA_LOCATION
    lamps: dict[str, Vector] = field(default_factory=lambda: dict(LAMP_LOCATIONS))
    render_seed: int = 0
    mask: bool = False

    @classmethod
    def of_scene(cls, scene: Scene, mask: bool = False) -> "Layout":
        """The layout of a given scene: camera as its `pixel_coords` tell, else unjittered; lamps unjittered."""
        return cls(scene, camera=recover_location(scene.objects), mask=mask)


def annotate(
    objects: Sequence[SceneObject],
    camera: Vector = CAMERA_LOCATION,
    *,
    image_index: int = 0,
    image_filename: str = "",
    split: str = "",
) -> Scene:
    """A scene of these objects as CLEVR annotates it: `pixel_coords` seen from `camera`, and the relationships."""
    placed = tuple(replace(item, pixel_coords=pixel_coords(item.coords, camera)) for item in objects)
    return Scene(placed, compute_relationships(placed), image_index, image_filename, split, DIRECTIONS)


def sample_layout(
    seed: int,
    split: str,
    index: int,
    condition: str = "none",
    image_filename: str | None = None,
    *,
    objects: tuple[int, int] = OBJECT_RANGE,
    half_hidden: bool = False,
) -> Layout:
    """The scene, camera and lamps of image `index` of `split`; the same arguments give the same layout.

    Every object has at least `MIN_PIXELS` visible pixels, no two are nearer than `MIN_GAP`, and no relation
    is ambiguous (`MIN_MARGIN`).

    Args:
        condition: one of `CONDITIONS`.
        objects: the least and the greatest number of objects.
        half_hidden: whether at least one object must be hidden by more than half; takes two objects or more.
    """
    draw = random.Random(f"{seed}/{split}/{index}")
    camera = _jitter(draw, CAMERA_LOCATION, _CAMERA_JITTER)
    lamps = {name: _jitter(draw, location, _LAMP_JITTER) for name, location in LAMP_LOCATIONS.items()}
    count = draw.randint(*objects)
    while True:
        placed = _place_objects(draw, count, condition)
        if placed and _is_in_sight(placed, camera, half_hidden):
            break
    scene = annotate(
        placed,
        camera,
        image_index=index,
        image_filename=image_filename or f"CLEVR_{split}_{index:06d}.png",
        split=split,
    )
    return Layout(scene, camera, lamps, render_seed=draw.getrandbits(31))


def _jitter(draw: random.Random, location: Vector, reach: float) -> Vector:
    x, y, z = (value + draw.uniform(-reach, reach) for value in location)
    return (x, y, z)


def _place_objects(draw: random.Random, count: int, condition: str) -> list[SceneObject] | None:
    """`count` objects with free places, or None where 50 tries found none for one of them."""
    objects: list[SceneObject] = []
    for _ in range(count):
        size = draw.choice(SIZES)
        place = free_place(draw, RADIUS[size], objects)
        if place is None:
            return None
        shape = draw.choice(SHAPES)
        color = draw.choice(COLORS if condition == "none" else COGENT_COLORS[condition][shape])
        rotation = draw.uniform(0, 360)
        material = draw.choice(MATERIALS)
        objects.append(SceneObject(shape, color, size, material, place, rotation))
    return objects


def free_place(draw: random.Random, radius: float, objects: Sequence[SceneObject]) -> Vector | None:
    """Where one more object may stand as CLEVR would place it, or None where 50 tries found nothing."""
    for _ in range(_TRIES):
        x, y = (_single(draw.uniform(-REACH, REACH)) for _ in range(2))
        if _is_free(x, y, radius, objects):
            return (x, y, _single(radius))
    return None


def _is_in_sight(objects: Sequence[SceneObject], camera: Vector, half_hidden: bool) -> bool:
    """Whether every object can be seen, and, if asked for, one of them by less than half."""
    visible = visible_pixels(objects, camera)
    if min(visible) < MIN_PIXELS:
        return False
    return not half_hidden or any(
        2 * seen < visible_pixels([item], camera)[0] for item, seen in zip(objects, visible, strict=True)
    )


def _is_free(x: float, y: float, radius: float, objects: Sequence[SceneObject]) -> bool:
    for item in objects:
        dx, dy = x - item.coords[0], y - item.coords[1]
        if (dx * dx + dy * dy) ** 0.5 - radius - RADIUS[item.size] < MIN_GAP:
            return False
        for name in RELATIONS:
            toward = DIRECTIONS[name]
            if 0 < dx * toward[0] + dy * toward[1] < MIN_MARGIN:
                return False
    return True


def _single(value: float) -> float:
    """The value in single precision, as Blender keeps coordinates and CLEVR's files show them."""
    return float(np.float32(value))


def placement_issues(objects: Sequence[SceneObject], camera: Vector = CAMERA_LOCATION) -> list[tuple[str, set[int]]]:
    """What CLEVR would not allow, as phrases, each with the objects it is about; empty for a scene that it allows.

    More than ten objects, a centre more than `REACH` from the middle, circles on the ground nearer than `MIN_GAP`,
    centres so level along a direction that a relation is ambiguous (`MIN_MARGIN`), fewer than `MIN_PIXELS` in sight.
    """
    issues: list[tuple[str, set[int]]] = []
    if len(objects) > MAX_OBJECTS:
        issues.append((f"there are {len(objects)} objects; CLEVR has at most {MAX_OBJECTS}", set(range(len(objects)))))
    for i, item in enumerate(objects):
        if max(abs(item.coords[0]), abs(item.coords[1])) > REACH:
            issues.append(("is off the ground", {i}))
    for (i, one), (j, other) in combinations(enumerate(objects), 2):
        dx, dy = one.coords[0] - other.coords[0], one.coords[1] - other.coords[1]
        if (dx * dx + dy * dy) ** 0.5 - RADIUS[one.size] - RADIUS[other.size] < MIN_GAP:
            issues.append(("are too close to each other", {i, j}))
        else:
            for name, toward in (("left or right", DIRECTIONS["right"]), ("in front or behind", DIRECTIONS["front"])):
                if abs(dx * toward[0] + dy * toward[1]) < MIN_MARGIN:
                    issues.append((f"are level: neither is clearly {name}", {i, j}))
    if not issues:
        for i, pixels in enumerate(visible_pixels(objects, camera)):
            if pixels < MIN_PIXELS:
                issues.append(("can hardly be seen", {i}))
    return issues
