"""CLEVR's camera: where scene points fall in the image, and which object each pixel shows.

The camera is a pinhole of 35 mm on a 32 mm sensor that always looks at the world's origin, upright (Johnson et al.
2017, supplementary A). Lengths are Blender units, world Z is up, pixels count from the top left.
"""

from collections.abc import Sequence

import numpy as np

from vqa.clevr.scenes import SceneObject

Vector = tuple[float, float, float]

CAMERA_LOCATION: Vector = (7.4811316, -6.5076399, 5.3436651)
"""Where the camera stands before its jitter."""

PIXEL_FRAME = (480, 320)
"""Width and height of the pixels in which `pixel_coords` count, whatever the size of the image."""

RADIUS = {"large": 0.7, "small": 0.35}
"""Size -> radius of a sphere, half edge of a cube, radius and half height of a cylinder."""

_FOCAL = 35 / 32
"""Focal length in image widths."""


def look_at_origin(location: Sequence[float] | np.ndarray) -> np.ndarray:
    """Axes of a camera or lamp that looks at the origin: rows right, up, back in world coordinates, (3, 3)."""
    back = np.asarray(location, float)
    back = back / np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back])


def pose(location: Sequence[float]) -> np.ndarray:
    """Object-to-world matrix (4, 4) of a camera or lamp at `location` that looks at the origin."""
    matrix = np.eye(4)
    matrix[:3, :3] = look_at_origin(location).T
    matrix[:3, 3] = location
    return matrix


def project(
    points: np.ndarray, location: Sequence[float] | np.ndarray, frame: tuple[int, int] = PIXEL_FRAME
) -> np.ndarray:
    """Image places of world points (N, 3): (N, 3) of x and y in pixels of `frame`, and depth along the view axis."""
    width, height = frame
    right, up, depth = (look_at_origin(location) @ (np.asarray(points, float) - location).T) * [[1], [1], [-1]]
    scale = _FOCAL * width / depth
    return np.stack([width / 2 + right * scale, height / 2 - up * scale, depth], axis=1)


def pixel_coords(center: Sequence[float], location: Sequence[float]) -> Vector:
    """CLEVR's annotation of an object's centre: whole x and y in the 480x320 frame, and the depth."""
    x, y, depth = project(np.asarray([center]), location)[0].tolist()
    return (round(x), round(y), depth)


def object_disc(item: SceneObject) -> Vector:
    """The disc that stands for an object in the image: x, y and radius in pixels of the 480x320 frame.

    Its centre is the annotated one, or that of the camera before jitter; its radius is `RADIUS`, projected at that
    depth.
    """
    x, y, depth = item.pixel_coords or pixel_coords(item.coords, CAMERA_LOCATION)
    return (x, y, RADIUS[item.size] * _FOCAL * PIXEL_FRAME[0] / max(depth, RADIUS["large"]))


def recover_location(objects: Sequence[SceneObject]) -> Vector:
    """The jittered camera of an annotated scene, fitted to its objects' depths (precise) and pixels (whole numbers).

    Without an annotated object it is the camera before jitter.
    """
    from scipy.optimize import least_squares

    known = [item for item in objects if item.pixel_coords is not None]
    if not known:
        return CAMERA_LOCATION
    centers = np.asarray([item.coords for item in known], float)
    target = np.asarray([item.pixel_coords for item in known], float)
    trust = np.asarray([1.0, 1.0, 1e5])  # a pixel is rounded to 1, a depth known to about 1e-6

    def residual(place: np.ndarray) -> np.ndarray:
        return ((project(centers, place) - target) * trust).ravel()

    x, y, z = least_squares(residual, CAMERA_LOCATION, method="lm", xtol=1e-12, ftol=1e-12).x.tolist()
    return (x, y, z)


def object_map(
    objects: Sequence[SceneObject], location: Sequence[float] = CAMERA_LOCATION, frame: tuple[int, int] = PIXEL_FRAME
) -> np.ndarray:
    """The index of the object that each pixel shows, -1 for none: int8 (height, width).

    A ray through each pixel's centre meets ideal spheres, boxes and cylinders: edges are hard, the ground is absent.
    """
    width, height = frame
    axes = look_at_origin(location)
    nearest = np.full((height, width), np.inf, np.float32)
    shown = np.full((height, width), -1, np.int8)
    for index, item in enumerate(objects):
        radius = RADIUS[item.size]
        turn = _turn(item.rotation) if item.shape == "cube" else np.eye(3)
        corners = (np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), -1).reshape(8, 3) * radius) @ turn + item.coords
        places = project(corners, location, frame)[:, :2]
        left, top = np.clip(np.floor(places.min(0)), 0, frame).astype(int)
        right, bottom = np.clip(np.ceil(places.max(0)), 0, frame).astype(int)
        x = ((np.arange(left, right) + 0.5 - width / 2) / (_FOCAL * width)).astype(np.float32)
        y = ((height / 2 - np.arange(top, bottom) - 0.5) / (_FOCAL * width)).astype(np.float32)
        local = (axes @ turn.T).astype(np.float32)
        rays = x[None, :, None] * local[0] + y[:, None, None] * local[1] - local[2]
        origin = (turn @ (np.asarray(location) - item.coords)).astype(np.float32)
        enter, leave = _crossings(item.shape, radius, origin, rays)
        window = np.s_[top:bottom, left:right]
        hit = (enter <= leave) & (enter < nearest[window])
        nearest[window][hit] = enter[hit]
        shown[window][hit] = index
    return shown


def visible_pixels(
    objects: Sequence[SceneObject], location: Sequence[float] = CAMERA_LOCATION, frame: tuple[int, int] = PIXEL_FRAME
) -> list[int]:
    """How many pixels of the image show each object."""
    shown = object_map(objects, location, frame)
    return np.bincount(shown.ravel() + 1, minlength=len(objects) + 1)[1:].tolist()


def _turn(angle: float) -> np.ndarray:
    """World-to-object rotation about Z. CLEVR writes 0 to 360 and applies it as radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def _crossings(shape: str, radius: float, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depths where rays (..., 3) from `origin` enter and leave a shape about 0; enter > leave where they miss."""
    if shape == "sphere":
        return _round_crossings(radius, origin, rays)
    if shape == "cylinder":
        sides = _round_crossings(radius, origin[:2], rays[..., :2])
        caps = _slab_crossings(radius, origin[2:], rays[..., 2:])
        return np.maximum(sides[0], caps[0]), np.minimum(sides[1], caps[1])
    return _slab_crossings(radius, origin, rays)


def _round_crossings(radius: float, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    square = np.einsum("...i,...i->...", rays, rays)
    along = rays @ origin
    inside = along**2 - square * (origin @ origin - radius**2)
    root = np.sqrt(np.maximum(inside, 0))
    miss = np.where(inside < 0, np.float32(np.inf), np.float32(0))
    return (-along - root) / square + miss, (-along + root) / square


def _slab_crossings(half: float, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-half - origin) / rays, (half - origin) / rays
    return np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
