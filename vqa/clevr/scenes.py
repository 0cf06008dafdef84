"""Scenes: objects with attributes and places, and the relations between them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vqa.clevr.vocabulary import ATTRIBUTES, RELATIONS
from vqa.errors import InputError

DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "behind": (-0.754490315914154, 0.6563112735748291, 0.0),
    "front": (0.754490315914154, -0.6563112735748291, -0.0),
    "left": (-0.6563112735748291, -0.7544902563095093, 0.0),
    "right": (0.6563112735748291, 0.7544902563095093, -0.0),
    "above": (0.0, 0.0, 1.0),
    "below": (-0.0, -0.0, -1.0),
}
"""Unit vectors of CLEVR's relations on the ground: the same in every genuine scene, whatever the camera's jitter."""

RELATION_MARGIN = 0.2
"""Object j is "left" of i when (coords_j - coords_i) . direction exceeds this many Blender units."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object: values, centre `coords` in Blender units, `pixel_coords` (x, y in 480x320 pixels, depth)."""

    shape: str
    color: str
    size: str
    material: str
    coords: tuple[float, float, float]
    rotation: float = 0.0
    pixel_coords: tuple[float, float, float] | None = None


Relationships = Mapping[str, Sequence[Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Scene:
    """The objects of one image; `relationships[relation][i]` lists, ascending, those that are `relation` of i."""

    objects: tuple[SceneObject, ...]
    relationships: Relationships
    image_index: int = 0
    image_filename: str = ""
    split: str = ""
    directions: Mapping[str, Sequence[float]] | None = None

    @classmethod
    def from_json(cls, record: Any, where: str = "scene") -> "Scene":
        """Read one scene of a CLEVR scene file. Raises InputError naming `where`, the object and the field."""
        record = _expect(record, dict, where)
        items = enumerate(_field(record, "objects", list, where))
        objects = tuple(_object_from_json(item, f"{where}.objects[{i}]") for i, item in items)
        directions = _directions_from_json(record.get("directions"), f"{where}.directions")
        relationships = record.get("relationships")
        if relationships is None:
            relationships = compute_relationships(objects, directions)
        else:
            _check_relationships(relationships, len(objects), f"{where}.relationships")
        return cls(
            objects,
            relationships,
            _expect(record.get("image_index", 0), int, f"{where}.image_index"),
            _expect(record.get("image_filename", ""), str, f"{where}.image_filename"),
            _expect(record.get("split", ""), str, f"{where}.split"),
            directions,
        )

    def to_json(self) -> dict[str, Any]:
        """The scene as CLEVR's scene files store it."""
        return {
            "split": self.split,
            "image_index": self.image_index,
            "image_filename": self.image_filename,
            "objects": [
                {
                    "shape": item.shape,
                    "size": item.size,
                    "material": item.material,
                    "color": item.color,
                    "3d_coords": list(item.coords),
                    "rotation": item.rotation,
                    **({"pixel_coords": list(item.pixel_coords)} if item.pixel_coords else {}),
                }
                for item in self.objects
            ],
            "relationships": {name: [list(row) for row in rows] for name, rows in self.relationships.items()},
            "directions": {name: list(vector) for name, vector in (self.directions or DIRECTIONS).items()},
        }


def compute_relationships(
    objects: Sequence[SceneObject],
    directions: Mapping[str, Sequence[float]] = DIRECTIONS,
    margin: float = RELATION_MARGIN,
) -> dict[str, list[list[int]]]:
    """Relations from coordinates: j is `relation` of i when it lies more than `margin` along the direction."""
    relationships: dict[str, list[list[int]]] = {}
    for relation in RELATIONS:
        along = [math.fsum(a * b for a, b in zip(item.coords, directions[relation], strict=True)) for item in objects]
        relationships[relation] = [
            [j for j, there in enumerate(along) if j != i and there - here > margin] for i, here in enumerate(along)
        ]
    return relationships


def _object_from_json(record: Any, where: str) -> SceneObject:
    record = _expect(record, dict, where)
    values = {name: _field(record, name, str, where) for name in ATTRIBUTES}
    for name, value in values.items():
        if value not in ATTRIBUTES[name]:
            raise InputError(f"{where}.{name}: {value!r} is not one of {', '.join(ATTRIBUTES[name])}")
    pixels = record.get("pixel_coords")
    return SceneObject(
        **values,
        coords=_triple(_field(record, "3d_coords", list, where), f"{where}.3d_coords"),
        rotation=_number(record.get("rotation", 0.0), f"{where}.rotation"),
        pixel_coords=None if pixels is None else _triple(pixels, f"{where}.pixel_coords"),
    )


def _directions_from_json(record: Any, where: str) -> Mapping[str, Sequence[float]]:
    if not record:
        return DIRECTIONS
    record = _expect(record, dict, where)
    for relation in RELATIONS:
        _field(record, relation, list, where)
    return {name: _triple(vector, f"{where}.{name}") for name, vector in record.items()}


def _triple(value: Any, where: str) -> tuple[float, float, float]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise InputError(f"{where}: expected three numbers, got {value!r:.80}")
    x, y, z = (_number(number, where) for number in value)
    return (x, y, z)


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not abs(value) < 1e9:
        raise InputError(f"{where}: expected a finite number, got {value!r:.80}")
    return value


def _check_relationships(value: Any, count: int, where: str) -> None:
    value = _expect(value, dict, where)
    for relation in RELATIONS:
        rows = _field(value, relation, list, where)
        if len(rows) != count:
            raise InputError(f"{where}.{relation}: {len(rows)} rows for {count} objects")
        for i, row in enumerate(rows):
            here = f"{where}.{relation}[{i}]"
            for j in _expect(row, list, here):
                if type(j) is not int or not 0 <= j < count:
                    raise InputError(f"{here}: {j!r} is not an object of this scene (0 to {count - 1})")
            if len({*row, i}) <= len(row):
                raise InputError(f"{here}: {row!r:.80} names an object twice, or object {i} itself")


def _field(record: dict, name: str, kind: type, where: str) -> Any:
    if name not in record:
        raise InputError(f"{where}: the field {name!r} is missing")
    return _expect(record[name], kind, f"{where}.{name}")


def _expect(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{where}: expected {kind.__name__}, got {value!r:.80}")
    return value
