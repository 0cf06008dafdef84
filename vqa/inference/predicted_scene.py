"""The scene that a model reads from an image, as CLEVR writes scenes, with how sure it is of each object."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from vqa.clevr.scenes import DIRECTIONS, Scene, SceneObject, compute_relationships
from vqa.clevr.vocabulary import ATTRIBUTES, MAX_OBJECTS
from vqa.model.processing import ImageLike, encode_pixels
from vqa.model.scene import ATTRIBUTE_SIZES, POSITION_SCALE, SceneMaps

if TYPE_CHECKING:
    from vqa.inference.answerer import VisualQuestionAnswerer

FAINTEST = 0.02
"""Cells below this objectness belong to no object, nor do objects below it exist at all."""

MOST_CANDIDATES = 20

_NEAR = 0.6
"""Neighboring cells whose ground positions are this close, in Blender units, hold one object: CLEVR's stand apart."""

_HEIGHT = {"large": 0.7, "small": 0.35}
_TOWARDS = np.array([DIRECTIONS["right"], DIRECTIONS["front"]])
_DEPTH = (11.04, -0.88)
"""CLEVR's depth of an object in front of the camera: of the middle, and by how much it falls with "front"."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class SeenObject:
    """An object that the model sees.

    Args:
        presence: probability that it is there.
        attributes: attribute -> the probabilities of its values, in the order of `ATTRIBUTES`.
        ground: its place along "right" and "front", in Blender units.
        center: where it lies in the image, x and y as fractions of width and height.
        cells: the (row, column) of the model's grid that hold it.
    """

    presence: float
    attributes: dict[str, np.ndarray]
    ground: tuple[float, float]
    center: tuple[float, float]
    cells: tuple[tuple[int, int], ...]

    def value(self, attribute: str) -> str:
        """The most probable value of an attribute."""
        return ATTRIBUTES[attribute][int(self.attributes[attribute].argmax())]

    def as_object(self) -> SceneObject:
        """The object as CLEVR's scenes have it, with the most probable values."""
        size, color, material, shape = (self.value(name) for name in ATTRIBUTES)
        x, y, _ = (np.array(self.ground) @ _TOWARDS).tolist()
        pixel = (480 * self.center[0], 320 * self.center[1], _DEPTH[0] + _DEPTH[1] * self.ground[1])
        return SceneObject(shape, color, size, material, (x, y, _HEIGHT[size]), pixel_coords=pixel)


@dataclass(frozen=True, eq=False)
class PredictedScene:
    """The objects that a model sees in an image, the surest first, those it doubts among them.

    `unfamiliar` says that the image is out of distribution, where the model is calibrated.
    """

    candidates: tuple[SeenObject, ...]
    unfamiliar: bool = False

    @property
    def objects(self) -> tuple[SeenObject, ...]:
        """Those that are rather there than not, up to CLEVR's ten."""
        return tuple(item for item in self.candidates if item.presence >= 0.5)[:MAX_OBJECTS]

    @property
    def scene(self) -> Scene:
        """The most probable scene; relations by the sign of the difference."""
        return scene_with([item.as_object() for item in self.objects])

    def to_json(self) -> dict[str, Any]:
        """CLEVR's scene JSON, where every object has its `confidence` too: "object", and of each attribute."""
        record = self.scene.to_json()
        for item, seen in zip(record["objects"], self.objects, strict=True):
            sure = {name: float(values.max()) for name, values in seen.attributes.items()}
            item["confidence"] = {"object": seen.presence, **sure}
        return record


def scene_with(objects: Sequence[SceneObject]) -> Scene:
    """A scene of these objects; the sign tells relations, for CLEVR keeps objects 0.4 apart along each direction."""
    return Scene(tuple(objects), compute_relationships(objects, margin=0.0))


def predict_scene(answerer: "VisualQuestionAnswerer", image: ImageLike) -> PredictedScene | None:
    """The scene that the model sees in an image; None for a model without object attention.

    Raises InputError for what is not a sound image.
    """
    if answerer.model.scene is None:
        return None
    prepared = answerer.processor.image_processor.prepare(image)
    with torch.inference_mode():
        features = encode_pixels(answerer.model, answerer.processor, prepared.pixels[None])
        maps = answerer.model.scene(features)
    detector = answerer.detector
    strange = detector is not None and bool(detector.image_scores(maps)[0] > detector.picture_limit)
    return replace(decode(maps, prepared.box), unfamiliar=strange)


def decode(maps: SceneMaps, box: Box = (0.0, 0.0, 1.0, 1.0)) -> PredictedScene:
    """The objects in the readings of one image (N = 1), which lies at `box` of the grid.

    From the cell with the highest objectness on, a cell and those around it that agree on the ground position are one
    object: its presence is the sum of theirs, and all else their mean, weighed by objectness.
    """
    presence = maps.objectness[0].float().sigmoid().cpu().numpy()
    ground = POSITION_SCALE * maps.position[0].float().cpu().numpy()
    parts = [part.softmax(0).cpu().numpy() for part in maps.attributes[0].float().split(ATTRIBUTE_SIZES)]
    centers = _cell_centers(*presence.shape) if maps.center is None else maps.center[0].float().cpu().numpy()
    order = [(row, column) for row, column in np.argwhere(presence >= FAINTEST / 2).tolist()]
    left, found = set(order), []
    for peak in sorted(order, key=lambda cell: -presence[cell]):
        if peak not in left:
            continue
        around = ((peak[0] + down, peak[1] + right) for down in range(-2, 3) for right in range(-2, 3))
        cells = [
            cell
            for cell in around
            if cell in left and np.abs(ground[(slice(None), *cell)] - ground[(slice(None), *peak)]).max() <= _NEAR
        ]
        left.difference_update(cells)
        rows, columns = np.array(sorted(cells, key=lambda cell: -presence[cell])).T
        weights = presence[rows, columns]
        mean = [values[:, rows, columns] @ weights / weights.sum() for values in (ground, centers, *parts)]
        if weights.sum() >= FAINTEST:
            x, y = mean[1]
            place = ((x - box[0]) / (box[2] - box[0]), (y - box[1]) / (box[3] - box[1]))
            found.append(
                SeenObject(
                    min(float(weights.sum()), 1.0),
                    dict(zip(ATTRIBUTES, mean[2:], strict=True)),
                    (float(mean[0][0]), float(mean[0][1])),
                    (float(place[0]), float(place[1])),
                    tuple(zip(rows.tolist(), columns.tolist(), strict=True)),
                )
            )
    return PredictedScene(tuple(sorted(found, key=lambda item: -item.presence)[:MOST_CANDIDATES]))


def _cell_centers(rows: int, columns: int) -> np.ndarray:
    """(2, rows, columns): x and y of the middle of every cell, as fractions."""
    y, x = np.mgrid[:rows, :columns]
    return np.stack([(x + 0.5) / columns, (y + 0.5) / rows])


def draw(image: Image.Image, seen: PredictedScene) -> Image.Image:
    """A copy of the image with a number at every object, as `vqa scene` lists them."""
    drawn = image.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    size = max(10, drawn.height // 20)
    for number, item in enumerate(seen.objects, 1):
        x, y = item.center[0] * drawn.width, item.center[1] * drawn.height
        pen.ellipse((x - size * 0.7, y - size * 0.7, x + size * 0.7, y + size * 0.7), fill="black", outline="white")
        pen.text((x, y), str(number), fill="white", anchor="mm", font_size=size)
    return drawn
