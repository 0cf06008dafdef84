"""A second reading: the question's program, executed on the scenes that the model's readings of an image allow."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vqa.clevr.language.describe import describe
from vqa.clevr.programs import Program, Step, reasoning_steps
from vqa.clevr.scenes import DIRECTIONS
from vqa.clevr.vocabulary import ATTRIBUTES, MAX_OBJECTS
from vqa.errors import InputError
from vqa.inference import further_functions
from vqa.inference.predicted_scene import PredictedScene

MOST_WORLDS = 200
UNSURE = 0.1
"""A presupposition is said to fail where it holds with less than this probability: chosen on images held out in
training, where it flags 0.8 % of 2,850 valid questions and misses 1.7 % of the others. What the blocks attend to adds
nothing to it there (docs/results.md)."""

SURE = 0.6
"""The second reading is taken before the network's answer where it is at least so sure: chosen on the same images."""

_OF_NUMBERS = ("equal", "less", "greater", "negate", "exactly", "at", "parity")
"""The functions that read numbers, booleans or values; all others read sets."""

_LEAST = 1e-4
_DOUBT = 0.002
"""An object's presence is never held for surer than this."""

Sets = list[Any]


@dataclass(frozen=True)
class Worlds:
    """Up to `MOST_WORLDS` scenes that an image may show, the most probable first.

    Args:
        weights: their probabilities, (S,).
        present: which of the N candidate objects are there, (S, N).
        values: attribute -> the index of each object's value, (S, N).
        relations: relation -> whether object j is so of object i, (N, N) at [i, j].
        ground: each object's place along "right" and "front", in Blender units, (N, 2).
        center: where it lies in the image, x and y as fractions of its width and height, (N, 2).
    """

    weights: np.ndarray
    present: np.ndarray
    values: dict[str, np.ndarray]
    relations: dict[str, np.ndarray]
    ground: np.ndarray
    center: np.ndarray

    @classmethod
    def of(cls, seen: PredictedScene) -> "Worlds":
        """The most probable scenes, in each of which every object is there or not and has one value an attribute."""
        objects = seen.candidates
        factors = [np.clip([item.presence, 1 - item.presence], _DOUBT, 1 - _DOUBT) for item in objects]
        factors += [item.attributes[name] for name in ATTRIBUTES for item in objects]
        weights, chosen = np.ones(1), np.zeros((1, 0), int)
        for factor in factors:
            # factors are independent: the best products of some are among the best of all
            usual = np.nonzero(factor >= _LEAST * factor.max())[0]
            products = np.outer(weights, factor[usual])
            rows, columns = np.nonzero(products >= _LEAST * products.max())
            order = np.argsort(-products[rows, columns], kind="stable")[:MOST_WORLDS]
            weights = products[rows, columns][order]
            chosen = np.concatenate([chosen[rows[order]], usual[columns[order], None]], 1)
        present, *values = np.split(chosen, len(ATTRIBUTES) + 1, 1) if objects else [chosen] * (len(ATTRIBUTES) + 1)
        ground, center = (np.array([getattr(item, n) for item in objects]).reshape(-1, 2) for n in ("ground", "center"))
        along = {"right": ground[:, 0], "front": ground[:, 1], "left": -ground[:, 0], "behind": -ground[:, 1]}
        relations = {name: value[None] > value[:, None] for name, value in along.items() if name in DIRECTIONS}
        named = dict(zip(ATTRIBUTES, values, strict=True))
        return cls(weights / weights.sum(), present == 0, named, relations, ground, center)


@dataclass(frozen=True)
class Outcome:
    """What a program yields in each of S worlds.

    Args:
        answers: (S,), None where the program has no answer.
        failed: (S,), the `unique` step that did not find exactly one object; -1 where all did.
        found: (S,), how many objects that step found.
        sets: for each step the objects that it leaves, (S, N); None for steps that yield no objects.
    """

    answers: list[str | None]
    failed: np.ndarray
    found: np.ndarray
    sets: list[np.ndarray | None]


def execute_softly(program: Program, worlds: Worlds) -> Outcome:
    """The program in all worlds at once; see `vqa.clevr.programs.execute` for one scene.

    It knows the functions of people's questions too (`vqa.inference.further_functions`). Raises InputError for a
    program whose steps do not fit.
    """
    size = len(worlds.weights)
    failed, found = np.full(size, -1), np.zeros(size, int)
    outputs: list[np.ndarray] = []
    sets: list[np.ndarray | None] = []
    for i, step in enumerate(program):
        try:
            inputs = [outputs[j] for j in step.inputs]
            if step.function == "unique":
                count = inputs[0].sum(1)
                now = (count != 1) & (failed < 0)
                failed[now], found[now] = i, count[now]
                outputs.append(inputs[0])
            else:
                outputs.append(_run(step.function, step.value, inputs, worlds))
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(f"program[{i}]: {step.function} cannot read the steps {list(step.inputs)}") from error
        sets.append(outputs[-1] if outputs[-1].ndim == 2 else None)
    answers = [
        None if bad >= 0 else _name(program[-1], int(value)) for bad, value in zip(failed, outputs[-1], strict=True)
    ]
    return Outcome(answers, failed, found, sets)


def _run(function: str, value: str | None, inputs: Sets, worlds: Worlds) -> np.ndarray:
    """A step other than `unique`: sets are (S, N) booleans, an object is a set of one, all else is (S,) integers."""
    operation, _, attribute = function.partition("_")
    if any(one.ndim != (1 if operation in _OF_NUMBERS else 2) for one in inputs):
        raise TypeError(function)
    match operation:
        case "scene":
            return worlds.present
        case "filter":
            return inputs[0] & (worlds.values[attribute] == ATTRIBUTES[attribute].index(str(value)))
        case "except":
            return inputs[0] & (worlds.values[attribute] != ATTRIBUTES[attribute].index(str(value)))
        case "relate":
            return (inputs[0].astype(int) @ worlds.relations[str(value)].astype(int) > 0) & worlds.present
        case "same":
            same = worlds.values[attribute] == _only(inputs[0], worlds.values[attribute])[:, None]
            return same & worlds.present & ~inputs[0]
        case "union":
            return inputs[0] | inputs[1]
        case "intersect":
            return inputs[0] & inputs[1]
        case "count":
            return inputs[0].sum(1)
        case "exist":
            return inputs[0].any(1).astype(int)
        case "query":
            return _only(inputs[0], worlds.values[attribute])
        case "equal":
            return (inputs[0] == inputs[1]).astype(int)
        case "less":
            return (inputs[0] < inputs[1]).astype(int)
        case "greater":
            return (inputs[0] > inputs[1]).astype(int)
        case _:
            return further_functions.run(function, value, inputs, worlds)


def _only(members: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of the object that each set holds, (S,)."""
    return (members * values).sum(1) if members.shape[1] else np.zeros(len(members), int)


def _name(step: Step, value: int) -> str | None:
    operation, _, attribute = step.function.partition("_")
    if operation == "query":
        return ATTRIBUTES[attribute][min(value, len(ATTRIBUTES[attribute]) - 1)]
    if operation == "count":
        return str(min(value, MAX_OBJECTS))
    return further_functions.answer_of(step.function, step.value, value)


@dataclass(frozen=True)
class Check:
    """The second reading of a question.

    Args:
        program: the question's.
        objects: for each step of the program the indices, in `Answer.scene`, of the objects that it leaves in the most
            probable scene with the answer; None for steps that yield no objects.
        answer: the most probable answer, given that the question has one; None where no likely scene affords it.
        confidence: its probability under that condition.
        agrees: whether it is the network's answer.
        outcomes: the probability that the question's presuppositions hold, and of each way in which they do not: the
            `unique` step and whether nothing ("absent") or too much ("ambiguous") is there.
        votes: the probability of the scenes with each answer.
    """

    program: Program
    objects: tuple[tuple[int, ...] | None, ...]
    answer: str | None
    confidence: float
    agrees: bool
    outcomes: dict[tuple[int, str], float]
    votes: dict[str, float]

    @property
    def holds(self) -> float:
        """The probability that everything that the question speaks of as "the" is there once."""
        return self.outcomes.get((-1, "holds"), 0.0)

    @property
    def reasoning_objects(self) -> list[tuple[int, ...]]:
        """The objects of each of the program's reasoning steps, which are what blocks attend to."""
        return [self.objects[step.program_index] or () for step in reasoning_steps(self.program)[0]]

    def to_json(self) -> dict[str, Any]:
        """The program as CLEVR has it with each step's objects, the answer, and whether the network agrees."""
        steps = [
            step.to_json() | {"objects": objects} for step, objects in zip(self.program, self.objects, strict=True)
        ]
        return {"program": steps, **{name: getattr(self, name) for name in ("answer", "confidence", "agrees", "holds")}}


def check(program: Program, seen: PredictedScene, network: str, worlds: Worlds | None = None) -> Check:
    """The second reading of a program on what is seen, beside the network's answer."""
    worlds = Worlds.of(seen) if worlds is None else worlds
    outcome = execute_softly(program, worlds)
    votes: dict[str, float] = {}
    outcomes: dict[tuple[int, str], float] = {}
    for answer, step, count, weight in zip(
        outcome.answers, outcome.failed.tolist(), outcome.found.tolist(), worlds.weights.tolist(), strict=True
    ):
        if answer is not None:
            votes[answer] = votes.get(answer, 0.0) + weight
        kind = "holds" if step < 0 else "ambiguous" if count else "absent"
        outcomes[step, kind] = outcomes.get((step, kind), 0.0) + weight
    best = max(votes, key=lambda name: votes[name]) if votes else None
    holds = outcomes.get((-1, "holds"), 0.0) >= UNSURE
    world = outcome.answers.index(best) if holds else 0
    shown = len(seen.objects)
    objects = tuple(
        None if found is None else tuple(np.nonzero(found[world, :shown])[0].tolist()) for found in outcome.sets
    )
    confidence = votes[best] / sum(votes.values()) if best is not None else 0.0
    return Check(program, objects, best, confidence, best == network, outcomes, votes)


def together(network: str, found: Check | None) -> str:
    """The answer of network and second reading together: that of the second where it is `SURE`."""
    return found.answer if found is not None and found.answer and found.confidence >= SURE else network


@dataclass(frozen=True)
class Premise:
    """Whether what a question presupposes holds.

    Args:
        status: "holds", "absent", "ambiguous", or "cannot tell".
        phrase: what is absent or ambiguous, such as "red cube left of the sphere"; None for others.
        text: the same as a sentence for readers; None where it holds.
    """

    status: str
    phrase: str | None = None
    text: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """The same in plain values."""
        return dict(vars(self))


def premise(found: Check | None) -> Premise:
    """Whether a question's presuppositions hold, by its second reading."""
    if found is None:
        return Premise("cannot tell", None, "What the question takes for granted cannot be checked.")
    if found.holds >= UNSURE:
        return Premise("holds")
    step, kind = max((key for key in found.outcomes if key[0] >= 0), key=lambda key: found.outcomes[key])
    phrase = describe(found.program, step)
    if kind == "absent":
        return Premise(kind, phrase, f"There is no {phrase}.")
    count = len(found.objects[found.program[step].inputs[0]] or ())
    several = describe(found.program, step, plural=True)
    return Premise(kind, phrase, f"There are {count if count > 1 else 'several'} {several}.")
