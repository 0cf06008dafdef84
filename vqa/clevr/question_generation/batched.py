"""Questions about many scenes at once, for training, which takes more of them than `generate_questions` makes.

Templates, checks and balance are the same; but a node is filled for hundreds of scenes by a few calls of numpy, and
what would make a question degenerate is never a choice in the first place. What is drawn differs, so that a seed
gives other questions than `generate_questions` does.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqa.clevr.question_generation.generate_questions import ATTEMPTS, Balance
from vqa.clevr.question_generation.scene_arrays import BITS, DIGITS, NAMES, STRIDES, VALUES, SceneArrays
from vqa.clevr.question_generation.templates import Node, Template
from vqa.clevr.question_generation.wording import texts_of
from vqa.clevr.vocabulary import MAX_OBJECTS, RELATIONS

_COUNT = np.array([i.bit_count() for i in range(1 << MAX_OBJECTS)], np.int8)
_INDEX = np.array([max(0, i.bit_length() - 1) for i in range(1 << MAX_OBJECTS)], np.int8)
_VALUES = VALUES | {"relation": np.array([None, *RELATIONS], object)}
_COMPARE = {"less_than": np.less, "greater_than": np.greater}
_CANDIDATES = 2048
"""Filled at a time, at most."""


@dataclass
class Asked:
    """Questions of one family, each about a scene.

    Args:
        rows: the scenes, (Q,).
        keys: for each node its descriptions, (Q,), 0 where nothing is said.
        relations: for each node 1 + the number of the relation, (Q,), 0 where there is none.
        objects: for each node the masks of the objects found, (Q,).
        answers: one for each.
    """

    template: Template
    rows: np.ndarray
    keys: list[np.ndarray]
    relations: list[np.ndarray]
    objects: list[np.ndarray]
    answers: list[str]

    def numbers(self) -> dict[str, np.ndarray]:
        """The number of the value, or of the relation, that each of the template's slots has in the questions, (Q,)."""
        found = {}
        for node, key, relation in zip(self.template.nodes, self.keys, self.relations, strict=True):
            if node.relation:
                found[node.relation] = relation
            found |= {slot: DIGITS[key, NAMES.index(name)] for name, slot in node.filters}
        return found

    def values(self) -> list[tuple[str | None, ...]]:
        """What each question says, as `instantiate.values_of`."""
        kinds = self.template.parameters
        columns = [_VALUES[kinds[slot]][numbers].tolist() for slot, numbers in self.numbers().items()]
        return list(zip(*columns, strict=True)) if columns else [()] * len(self.rows)

    def texts(self, rng: np.random.Generator) -> list[str]:
        """The questions in words."""
        return texts_of(self.template, self.numbers(), len(self.rows), rng)


class BatchGenerator:
    """Makes questions for many scenes at once from templates."""

    def __init__(self, templates: Sequence[Template]) -> None:
        self.templates = tuple(templates)

    def generate(
        self,
        scenes: SceneArrays,
        counts: np.ndarray,
        rng: np.random.Generator,
        balance: Balance,
        seen: Sequence[set[int]],
    ) -> list[Asked]:
        """Up to `counts` (S,) different questions on each scene, fewer if the scene allows no more.

        Families are balanced as far as the scenes allow, and each is used once on a scene before any is used twice.
        `seen` has a number for each program that was asked of a scene; it is updated, as is `balance`.
        """
        left, asked = counts.copy(), []
        # those of many nodes are the hardest to fill, and choose first where all have their turn
        many = left.sum() >= 2 * len(self.templates)
        able = sorted(self.templates, key=lambda template: (-len(template.nodes) * many, rng.random()))
        least = max(1, int(left.sum()) // (8 * len(able)))
        while left.any() and able:
            quota = max(least, int(left.sum()) // len(able))
            whole = []
            for template in able:
                found, enough = _ask(template, scenes, left, quota, rng, balance, seen)
                asked += [found] if found.answers else []
                if enough:
                    whole.append(template)
            able = [whole[i] for i in rng.permutation(len(whole))]
        return asked


def _ask(
    template: Template,
    scenes: SceneArrays,
    left: np.ndarray,
    quota: int,
    rng: np.random.Generator,
    balance: Balance,
    seen: Sequence[set[int]],
) -> tuple[Asked, bool]:
    """Up to `quota` questions of a family on scenes that have some `left`, one a scene; and whether that many are made.

    `left` is updated.
    """
    pool = rng.permutation(np.flatnonzero(left))
    # those with most left come first, so that no scene has many left when few families are left
    pool = pool[np.argsort(-left[pool].astype(np.int16), kind="stable")]
    quota, name, tried = min(quota, len(pool)), template.name, 0
    answers: list[str] = []
    used: set[int] = set()
    parts: list[list[np.ndarray]] = []
    chance = 0.35
    while len(answers) < quota and tried < ATTEMPTS * quota:
        size = int(np.clip(1.1 * (quota - len(answers)) / chance, 16, _CANDIDATES))
        filling = _Filling(template, scenes, pool[np.arange(tried, tried + size) % len(pool)], rng)
        filling.fill()
        tried += size
        chosen: list[int] = []
        candidates = (filling.rows.tolist(), filling.programs().tolist(), filling.answers())
        for i, (row, program, answer) in enumerate(zip(*candidates, strict=True)):
            if row in used or program in seen[row] or not balance.accepts(name, answer):
                continue
            used.add(row)
            seen[row].add(program)
            balance.add(name, answer)
            chosen.append(i)
            answers.append(answer)
            if len(answers) == quota:
                break
        chance = max(0.02, len(answers) / tried)
        parts.append([item[chosen] for item in (filling.rows, *filling.keys, *filling.relations, *filling.objects)])
    rows, *columns = map(np.concatenate, zip(*parts, strict=True)) if parts else (pool,)
    left[rows] -= 1
    nodes = len(template.nodes)
    keys, relations, objects = (columns[i * nodes : (i + 1) * nodes] for i in range(3))
    return Asked(template, rows, keys, relations, objects, answers), len(answers) == quota


class _Filling:
    """A template filled for N scenes at once; lists have an entry (N,) for each node.

    `outputs` are masks, objects' numbers, counts, booleans or values' numbers; `references` a relation or "same" and
    its origin as one number, -1 for none; `passed` the objects that "the" has named so far; the others as in `Asked`.
    `without` has, for each relation whose effect is not yet known, the sets that would be found without it.
    """

    def __init__(self, template: Template, scenes: SceneArrays, rows: np.ndarray, rng: np.random.Generator) -> None:
        self.template, self.scenes, self.rows, self.rng = template, scenes, rows, rng
        self.keys: list[np.ndarray] = []
        self.relations: list[np.ndarray] = []
        self.objects: list[np.ndarray] = []
        self.outputs: list[np.ndarray] = []
        self.references: list[np.ndarray] = []
        self.passed: list[np.ndarray] = []
        self.without: dict[int, dict[int, np.ndarray]] = {}

    def fill(self) -> None:
        """Choose values for every node; scenes whose choices lead nowhere, or to a degenerate question, drop out.

        These are the rules of `instantiate.fill` and `instantiate.is_degenerate`.
        """
        for i, node in enumerate(self.template.nodes):
            reads = [self.outputs[j] for j in node.inputs]
            if node.operation.startswith("query"):
                self._add(self.scenes.values[self.rows, reads[0], NAMES.index(node.attribute)])
                good = np.ones(len(self.rows), bool)
            elif node.operation.startswith("equal") or node.operation in _COMPARE:
                self._add(_COMPARE.get(node.operation, np.equal)(*reads))
                good = np.ones(len(self.rows), bool)
            else:
                good = self._add_set(i, node)
            if node.operation in ("union", "equal_integer", *_COMPARE):
                good &= ~(self._implies(*node.inputs) | self._implies(*node.inputs[::-1]))
            for pair in self.template.unequal:
                if max(pair) == i:
                    good &= self.outputs[pair[0]] != self.outputs[pair[1]]
            self._keep(good)

    def answers(self) -> list[str]:
        """The answer of each candidate."""
        node, outputs = self.template.nodes[-1], self.outputs[-1]
        if node.operation.startswith("query"):
            return VALUES[node.attribute][outputs].tolist()
        return [str(n) if node.terminal == "count" else ("no", "yes")[n] for n in outputs.astype(int).tolist()]

    def programs(self) -> np.ndarray:
        """A number for each candidate's program; equal programs have equal ones, whatever their templates."""
        places: list[int] = []
        spelt: list[tuple[str, tuple[int, ...]]] = []
        number = np.zeros(len(self.rows), np.uint64)
        for node, key, relation in zip(self.template.nodes, self.keys, self.relations, strict=True):
            inputs = tuple(places[j] for j in node.inputs)
            if node.operation:
                spelt.append((node.operation, inputs))
                inputs = (len(spelt) - 1,)
            factor = pow(0x9E3779B97F4A7C15, 2 * inputs[0] + 1, 1 << 64)
            number += (key * 8 + relation).astype(np.uint64) * np.uint64(factor)
            if node.terminal:
                spelt.append((node.terminal, inputs))
                inputs = (len(spelt) - 1,)
            places.append(inputs[0])
        return number + np.uint64(zlib.crc32(repr(spelt).encode()))

    def _add(
        self,
        output: np.ndarray,
        objects: np.ndarray | None = None,
        key: np.ndarray | None = None,
        relation: np.ndarray | None = None,
        reference: np.ndarray | None = None,
        passed: np.ndarray | None = None,
    ) -> None:
        nothing = np.zeros(len(self.rows), int)
        self.outputs.append(output)
        self.objects.append(nothing if objects is None else objects)
        self.keys.append(nothing if key is None else key)
        self.relations.append(nothing if relation is None else relation)
        self.references.append(nothing - 1 if reference is None else reference)
        self.passed.append(nothing.astype(np.uint16) if passed is None else passed)

    def _keep(self, good: np.ndarray) -> None:
        """Drop all but the `good` candidates."""
        if good.all():
            return
        self.rows = self.rows[good]
        for items in (self.keys, self.relations, self.objects, self.outputs, self.references, self.passed):
            items[:] = [item[good] for item in items]
        for sets in self.without.values():
            sets.update({i: item[good] for i, item in sets.items()})

    def _add_set(self, i: int, node: Node) -> np.ndarray:
        """Fill a node that finds a set; which candidates are good so far."""
        base, relation, reference = self._base(node)
        passed = self.passed[node.inputs[0]] if node.inputs else np.zeros(len(self.rows), np.uint16)
        for j in node.inputs[1:]:
            passed = passed | self.passed[j]
        self._pass_on(i, node)
        good, key = np.ones(len(self.rows), bool), None
        if len(node.filters) == 1:
            key = self._value(node.filters[0][0], base)
        elif node.filters:
            key, good = self._description(i, node, base, passed)
        matching = self.scenes.everything[self.rows] if key is None else self.scenes.all_described[self.rows, key]
        objects = output = base & matching
        if node.operation == "relate" and node.filters and not node.terminal:
            good &= (objects != matching) & (objects != 0)
        if node.terminal == "unique":
            good &= _one(objects) & (objects & passed == 0)
            output, passed = _INDEX[objects], passed | objects
        elif node.terminal:
            output = _COUNT[objects] if node.terminal == "count" else objects != 0
        for start in [start for start, sets in self.without.items() if i in sets]:
            self.without[start][i] &= matching
            if node.terminal:
                good &= self.without.pop(start)[i] != objects
        self._add(output, objects, key, relation, reference, passed)
        return good

    def _base(self, node: Node) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """The set that a node filters, its relation and reference."""
        scenes, rows, reads = self.scenes, self.rows, [self.outputs[j] for j in node.inputs]
        match node.operation.partition("_")[0]:
            case "scene":
                return scenes.everything[rows], None, None
            case "union":
                return reads[0] | reads[1], None, None
            case "intersect":
                return reads[0] & reads[1], None, None
            case "relate":
                relation = self.rng.integers(len(RELATIONS), size=len(rows))
                return scenes.relations[rows, relation, reads[0]], relation + 1, relation * MAX_OBJECTS + reads[0]
            case "same":
                place = NAMES.index(node.attribute)
                key = scenes.values[rows, reads[0], place].astype(int) * STRIDES[node.attribute]
                base = scenes.all_described[rows, key] & ~BITS[reads[0]]
                return base, None, (len(RELATIONS) + place) * MAX_OBJECTS + reads[0]
            case _:
                return self.objects[node.inputs[0]], None, self.references[node.inputs[0]]

    def _pass_on(self, i: int, node: Node) -> None:
        """What node `i` would filter without the relations before it, and without its own."""
        for sets in self.without.values():
            if any(j in sets for j in node.inputs):
                reads = [sets.get(j, self.objects[j]) for j in node.inputs]
                sets[i] = reads[0] | reads[1] if node.operation == "union" else reads[0] & reads[-1]
        if node.operation == "relate":
            self.without[i] = {i: self.scenes.everything[self.rows]}
        elif node.operation.startswith("same"):
            # "same ... as" never yields its own object, so leaving it out would alone change the set: it stays out
            self.without[i] = {i: self.scenes.everything[self.rows] & ~BITS[self.outputs[node.inputs[0]]]}

    def _value(self, attribute: str, base: np.ndarray) -> np.ndarray:
        """A description by one attribute: of an object there, or any."""
        item, some = _choose((base[:, None] & BITS) != 0, self.rng)
        there = self.scenes.values[self.rows, item, NAMES.index(attribute)].astype(int)
        anything = self.rng.integers(1, len(VALUES[attribute]), len(base))
        return np.where(some & (self.rng.random(len(base)) < 0.5), there, anything) * STRIDES[attribute]

    def _description(self, i: int, node: Node, base: np.ndarray, passed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A description and whether it is good: for unique it fits one object, else it may also fit nothing."""
        keys, described = self.scenes.described(node.unsaid)
        masks = described[self.rows]
        found = masks & base[:, None]
        if node.terminal == "unique":
            fits = _one(found) & (found & passed[:, None] == 0)
            for pair in self.template.unequal:
                if i == max(pair):
                    fits &= found != self.objects[min(pair)][:, None]
        else:
            fits = masks != 0
            if node.operation != "relate" and node.terminal != "count":
                fits[:, 0] &= base != masks[:, 0]
        for sets in self.without.values():
            if i in sets and (node.terminal or i in self.without):
                fits &= masks & sets[i][:, None] != found
        if i == len(self.template.nodes) - 1 and node.terminal != "unique":
            # most descriptions have the same answer, of which the balance takes a part only: aim at each alike
            most = 1 if node.terminal == "exist" else 2
            aim = self.rng.integers(most + 1, size=len(masks))
            aimed = fits & (np.minimum(_COUNT[found], most) == aim[:, None])
            fits = np.where(aimed.any(1)[:, None], aimed, fits)
        chosen, good = _choose(fits, self.rng)
        key = keys[self.rows, chosen].astype(int)
        if node.terminal != "unique" and node.inputs and self._is_scene(node):
            # a description that nothing answers to, which asks of absent things
            options = np.count_nonzero(masks, 1)
            absent = options if node.terminal == "exist" else np.count_nonzero(_one(masks), 1)
            anew = self.rng.random(len(key)) * (options + absent) < absent
            said = [name for name in NAMES if name not in node.unsaid]
            drawn = sum(self.rng.integers(len(VALUES[name]), size=len(key)) * STRIDES[name] for name in said)
            key = np.where(anew, drawn, key)
            good = np.where(anew, self.scenes.all_described[self.rows, key] == 0, good)
        return key, good

    def _is_scene(self, node: Node) -> bool:
        return not node.operation and self.template.nodes[node.inputs[0]].operation == "scene"

    def _implies(self, one: int, other: int) -> np.ndarray:
        """Whether the words alone say that the set of node `one` lies in that of `other`."""
        narrow, wide = DIGITS[self.keys[one]], DIGITS[self.keys[other]]
        apart = (self.references[other] >= 0) & (self.references[other] != self.references[one])
        return ~apart & ((wide == 0) | (wide == narrow)).all(1)


def _one(masks: np.ndarray) -> np.ndarray:
    """Which masks hold one object."""
    return (masks != 0) & (masks & (masks - np.uint16(1)) == 0)


def _choose(fits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A column of each row of (N, K) booleans that is true, drawn at random; and whether there is one."""
    places = np.flatnonzero(fits)
    counts = np.bincount(places // fits.shape[1], minlength=len(fits))
    if not len(places):
        return counts, counts > 0
    picked = np.cumsum(counts) - counts + (rng.random(len(counts)) * counts).astype(int)
    return places[np.minimum(picked, len(places) - 1)] % fits.shape[1], counts > 0
