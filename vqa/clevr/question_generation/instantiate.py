"""Filling a question template on a scene: choices for its nodes, the checks on them, and their program."""

import operator
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from vqa.clevr.programs import Program, Step
from vqa.clevr.question_generation.templates import Node, Template
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ATTRIBUTES, RELATIONS

_NAMES = tuple(ATTRIBUTES)
_ANYTHING: tuple[str | None, ...] = (None,) * len(_NAMES)

Key = tuple[str | None, ...]
"""A description: one value or None for each attribute, in the order of ATTRIBUTES."""


def _key(attribute: str, value: str) -> Key:
    return tuple(value if name == attribute else None for name in _NAMES)


@dataclass(slots=True)
class FilledNode:
    """A node with its choices made. Sets of objects are bit masks: object i is bit i."""

    objects: int = 0
    output: Any = None
    key: Key = _ANYTHING
    matching: int = 0
    reference: tuple[str, int] | None = None
    passed: int = 0


class SceneIndex:
    """A scene's sets as bit masks, and what each description denotes. Lists are made when first asked for."""

    def __init__(self, scene: Scene) -> None:
        objects = scene.objects
        self.scene = scene
        self.everything = (1 << len(objects)) - 1
        self.options: dict[Key, int] = {_ANYTHING: self.everything}
        for i, item in enumerate(objects):
            for key in product(*((None, getattr(item, name)) for name in _NAMES)):
                self.options[key] = self.options.get(key, 0) | 1 << i
        self.relations = {name: [sum(1 << j for j in row) for row in scene.relationships[name]] for name in RELATIONS}
        self._options: dict[frozenset[str], list[tuple[Key, int]]] = {}
        self._related: dict[tuple, list[tuple[str, Key, int]]] = {}
        self._unique: dict[frozenset[str], list[tuple[Key, int]]] = {}

    def values_of(self, attribute: str, value: str) -> int:
        """The objects with this value."""
        return self.options.get(_key(attribute, value), 0)

    def descriptions(self, unsaid: frozenset[str]) -> list[tuple[Key, int]]:
        """All that some object answers to, without the attributes that must stay unsaid."""
        found = self._options.get(unsaid)
        if found is None:
            hidden = [i for i, name in enumerate(_NAMES) if name in unsaid]
            found = [(k, mask) for k, mask in self.options.items() if all(k[i] is None for i in hidden)]
            self._options[unsaid] = found
        return found

    def unique(self, unsaid: frozenset[str]) -> list[tuple[Key, int]]:
        """The descriptions that fit one object only."""
        found = self._unique.get(unsaid)
        if found is None:
            found = [option for option in self.descriptions(unsaid) if option[1] and not option[1] & (option[1] - 1)]
            self._unique[unsaid] = found
        return found

    def related(self, item: int, terminal: str, unsaid: frozenset[str]) -> list[tuple[str, Key, int]]:
        """(relation, description, what both find) around an object, where the relation narrows the description."""
        found = self._related.get((item, terminal, unsaid))
        if found is None:
            found = []
            options = self.descriptions(unsaid)
            for relation in RELATIONS:
                there = self.relations[relation][item]
                for key, mask in options:
                    both = mask & there
                    if both == mask or (both & (both - 1) or not both if terminal == "unique" else False):
                        continue
                    if both or terminal in ("count", "exist"):
                        found.append((relation, key, both))
            self._related[item, terminal, unsaid] = found
        return found


def fill(template: Template, index: SceneIndex, rng: random.Random) -> list[FilledNode] | None:
    """Choose values for every node at random; None if the choices reach a dead end."""
    filled: list[FilledNode] = []
    for node in template.nodes:
        inputs = [filled[j] for j in node.inputs]
        item = FilledNode()
        for read in inputs:
            item.passed |= read.passed
        if node.operation.startswith("query"):
            item.output = getattr(index.scene.objects[inputs[0].output], node.attribute)
        elif node.operation in _COMPARE:
            item.output = _COMPARE[node.operation](inputs[0].output, inputs[1].output)
        elif not _fill_set(node, item, inputs, index, rng):
            return None
        filled.append(item)
        for i, j in template.unequal:
            if max(i, j) == len(filled) - 1 and filled[i].output == filled[j].output:
                return None
    return filled


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    **{f"equal_{name}": operator.eq for name in (*_NAMES, "integer")},
    "less_than": operator.lt,
    "greater_than": operator.gt,
}


def _fill_set(node: Node, item: FilledNode, inputs: list[FilledNode], index: SceneIndex, rng: random.Random) -> bool:
    operation = node.operation
    if operation == "scene":
        base = index.everything
    elif operation == "union":
        base = inputs[0].output | inputs[1].output
    elif operation == "intersect":
        base = inputs[0].output & inputs[1].output
    elif operation == "relate":
        origin = inputs[0].output
        if node.filters:
            options = index.related(origin, node.terminal, node.unsaid)
            if not options:
                return False
            relation, item.key, base = options[int(rng.random() * len(options))]
        else:
            relation = RELATIONS[int(rng.random() * len(RELATIONS))]
            base = index.relations[relation][origin]
        item.reference = (relation, origin)
    elif operation:
        origin = inputs[0].output
        value = getattr(index.scene.objects[origin], node.attribute)
        base = index.values_of(node.attribute, value) & ~(1 << origin)
        item.reference = (operation, origin)
    else:
        base = inputs[0].objects
        item.reference = inputs[0].reference
    if node.filters and operation != "relate":
        key = _describe(node, base, index, rng)
        if key is None:
            return False
        item.key = key
        base &= index.options.get(key, 0)
    item.matching = index.options.get(item.key, 0)
    item.objects = item.output = base
    if node.terminal == "unique":
        if not base or base & (base - 1) or base & item.passed:
            return False
        item.output = base.bit_length() - 1
        item.passed |= base
    elif node.terminal == "count":
        item.output = base.bit_count()
    elif node.terminal == "exist":
        item.output = base != 0
    return True


def _describe(node: Node, base: int, index: SceneIndex, rng: random.Random) -> Key | None:
    """A description for a filter node: one that fits one object for unique, else also some that fit nothing."""
    if len(node.filters) == 1:
        attribute = node.filters[0][0]
        values = [getattr(item, attribute) for i, item in enumerate(index.scene.objects) if base >> i & 1]
        value = rng.choice(values) if values and rng.random() < 0.5 else rng.choice(ATTRIBUTES[attribute])
        return _key(attribute, value)
    if node.terminal == "unique":
        if base == index.everything:
            options = index.unique(node.unsaid)
        else:
            described = index.descriptions(node.unsaid)
            options = [option for option in described if (both := option[1] & base) and not both & (both - 1)]
        return options[int(rng.random() * len(options))][0] if options else None
    options = index.descriptions(node.unsaid)
    if base == index.everything:
        single = len(index.unique(node.unsaid))
        absent = len(options) if node.terminal == "exist" else single
        if rng.random() * (len(options) + absent) < absent:
            key = tuple(None if name in node.unsaid else rng.choice((None, *ATTRIBUTES[name])) for name in _NAMES)
            return None if key in index.options else key
    key = options[int(rng.random() * len(options))][0]
    return None if key == _ANYTHING and base == index.everything and node.terminal != "count" else key


def is_degenerate(template: Template, filled: list[FilledNode], index: SceneIndex) -> bool:
    """Whether a relation does nothing, or the words alone tell how two sets compare (see `generate_questions`).

    A model could answer such a question without the step that it is meant to test: "the cube left of the ball" where
    there is one cube, or "more cubes than red cubes".
    """
    for i, node in enumerate(template.nodes):
        if node.operation in ("relate", "same_size", "same_color", "same_material", "same_shape"):
            if _is_idle(i, template, filled, index):
                return True
        elif node.operation in ("union", "equal_integer", "less_than", "greater_than"):
            one, other = (filled[j] for j in node.inputs)
            if _implies(one, other) or _implies(other, one):
                return True
    return False


def _is_idle(start: int, template: Template, filled: list[FilledNode], index: SceneIndex) -> bool:
    """Whether the set that reaches the next unique, count or exist is the same without the relation of a node.

    Only as far as that: what comes after reads one object, or a number, which the set alone decides.
    """
    item = filled[start]
    _, origin = item.reference or ("", 0)
    # "same ... as" never yields its own object, so leaving it out would alone change the set: it stays out
    without = index.everything if template.nodes[start].operation == "relate" else index.everything & ~(1 << origin)
    changed = {start: without & item.matching}
    for i in range(start, len(filled)):
        node = template.nodes[i]
        if i > start:
            if not any(j in changed for j in node.inputs):
                continue
            sets = [changed.get(j, filled[j].objects) for j in node.inputs]
            if node.operation == "union":
                changed[i] = sets[0] | sets[1]
            else:
                changed[i] = (sets[0] & sets[-1]) & filled[i].matching
        if node.terminal:
            return changed[i] == filled[i].objects
    return False


def _implies(one: FilledNode, other: FilledNode) -> bool:
    """Whether the words alone say that the first set lies in the second."""
    if other.reference is not None and other.reference != one.reference:
        return False
    return all(wide is None or wide == narrow for narrow, wide in zip(one.key, other.key, strict=True))


def values_of(template: Template, filled: list[FilledNode]) -> list[str | None]:
    """What a filled template says: for each node its relation, if it has one, and the values of its filters."""
    values: list[str | None] = []
    for node, item in zip(template.nodes, filled, strict=True):
        if node.relation:
            values.append(item.reference[0] if item.reference else None)
        values += [item.key[_NAMES.index(attribute)] for attribute, _ in node.filters]
    return values


def program_of(template: Template, values: Iterable[str | None]) -> Program:
    """The program of a template that says these values, its composite nodes spelt out."""
    steps: list[Step] = []
    last: list[int] = []
    said = iter(values)
    for node in template.nodes:
        inputs = tuple(last[j] for j in node.inputs)
        if node.operation:
            steps.append(Step(node.operation, inputs, next(said) if node.relation else None))
            inputs = (len(steps) - 1,)
        for attribute, _ in node.filters:
            value = next(said)
            if value is not None:
                steps.append(Step(f"filter_{attribute}", inputs, value))
                inputs = (len(steps) - 1,)
        if node.terminal:
            steps.append(Step(node.terminal, inputs))
            inputs = (len(steps) - 1,)
        last.append(inputs[0])
    return tuple(steps)
