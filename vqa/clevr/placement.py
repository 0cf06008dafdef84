"""CLEVR's rules of placement, for scenes that were not sampled (Johnson et al. 2017, supplementary A)."""

from collections.abc import Sequence
from itertools import combinations

from vqa.clevr.camera import CAMERA_LOCATION, RADIUS, Vector, visible_pixels
from vqa.clevr.sampling import MIN_GAP, MIN_MARGIN, MIN_PIXELS, REACH
from vqa.clevr.scenes import DIRECTIONS, SceneObject
from vqa.clevr.vocabulary import MAX_OBJECTS


def placement_faults(objects: Sequence[SceneObject], camera: Vector = CAMERA_LOCATION) -> list[tuple[str, set[int]]]:
    """What CLEVR would not allow, as phrases, each with the objects it is about; empty for a scene that it allows.

    More than ten objects, a centre more than `REACH` from the middle, circles on the ground nearer than `MIN_GAP`,
    centres so level along a direction that a relation is in doubt (`MIN_MARGIN`), fewer than `MIN_PIXELS` in sight.
    """
    faults: list[tuple[str, set[int]]] = []
    if len(objects) > MAX_OBJECTS:
        faults.append((f"there are {len(objects)} objects; CLEVR has at most {MAX_OBJECTS}", set(range(len(objects)))))
    for i, item in enumerate(objects):
        if max(abs(item.coords[0]), abs(item.coords[1])) > REACH:
            faults.append(("is off the ground", {i}))
    for (i, one), (j, other) in combinations(enumerate(objects), 2):
        dx, dy = one.coords[0] - other.coords[0], one.coords[1] - other.coords[1]
        if (dx * dx + dy * dy) ** 0.5 - RADIUS[one.size] - RADIUS[other.size] < MIN_GAP:
            faults.append(("are too close to each other", {i, j}))
        else:
            for name, toward in (("left or right", DIRECTIONS["right"]), ("in front or behind", DIRECTIONS["front"])):
                if abs(dx * toward[0] + dy * toward[1]) < MIN_MARGIN:
                    faults.append((f"are level: neither is clearly {name}", {i, j}))
    if not faults:
        for i, pixels in enumerate(visible_pixels(objects, camera)):
            if pixels < MIN_PIXELS:
                faults.append(("can hardly be seen", {i}))
    return faults
