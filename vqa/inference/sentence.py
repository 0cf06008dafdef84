"""Why an answer was given, in one sentence: the sets of objects that the blocks attended to, in the program's order."""

from collections.abc import Sequence

import numpy as np

from vqa.clevr.language.describe import RELATIONS, describe, head_of
from vqa.clevr.programs import Program, reasoning_steps
from vqa.inference.predicted_scene import SeenObject
from vqa.inference.second_reading import Check

MOST_WORDS = 25

Objects = tuple[int, ...]


def attended_objects(
    program: Program, attention: Sequence[np.ndarray | None], objects: Sequence[SeenObject], check: Check
) -> list[Objects | None]:
    """For each reasoning step of a program the objects that the network attended to; see `Answer.attended`.

    The last reasoning step is the last block's. `attention` has each block's map (h, w); an object is attended to where
    at least half of it is, summed over its cells. Where the check agrees with the answer, a step that no block attended
    to as it finds is None: what its block did there is not known.
    """
    found = [
        None if amount is None else tuple(i for i, item in enumerate(objects) if _mass(amount, item) >= 0.5)
        for amount in attention
    ]
    again = check.reasoning_objects
    own = [None] * max(0, len(again) - len(found)) + found[max(0, len(found) - len(again)) :]
    return [
        there if here is None or (check.agrees and there in found) else None if check.agrees else here
        for here, there in zip(own, again, strict=True)
    ]


def _mass(attention: np.ndarray, item: SeenObject) -> float:
    return float(sum(attention[cell] for cell in item.cells))


def because(program: Program, sets: Sequence[Objects | None], objects: Sequence[SeenObject], answer: str) -> str:
    """The sentence for a program whose reasoning steps left these sets of objects, and the network's answer.

    It tells the steps with a set, and what follows from them; where that is not the network's answer, it says both. Of
    a long program it tells the last steps, in at most `MOST_WORDS` words.
    """
    steps, readers = reasoning_steps(program)
    told, follows = _conclusion(program, [sets[k] for k in readers], objects)
    asked = program[-1].function
    so = "so" if not asked.startswith("query_") else "it is a" if asked == "query_shape" else "it is"
    end = f"{so} {answer}" if follows == answer else f"{so} {follows}, yet the network says {answer}"
    if follows is None:
        end = f"the network says {answer}"
    for start in range(len(steps)):
        clauses = [
            _clause(program, k, found, told_before=k > start and sets[k - 1] is not None)
            for k, found in enumerate(sets)
            if k >= start and found is not None
        ]
        text = _sentence([*clauses, *told, end])
        if len(text.split()) <= MOST_WORDS:
            return text
    if sets[-1] is None:
        return _sentence([end])
    head, _ = head_of(program, steps[-1].program_index, len(sets[-1]) != 1)
    return _sentence([f"the last step finds {len(sets[-1]) or 'no'} {head}", *told, end])


def _sentence(clauses: Sequence[str]) -> str:
    text = "; ".join(clauses)
    return text[0].upper() + text[1:] + "."


def _clause(program: Program, k: int, found: Objects, told_before: bool) -> str:
    """What reasoning step k found: "2 metal things are left of it"."""
    steps, _ = reasoning_steps(program)
    count = len(found)
    head, base = head_of(program, steps[k].program_index, plural=count > 1)
    some, verb = (f"{count or 'no'} {head}", "are" if count > 1 else "is")
    operation, _, attribute = program[base].function.partition("_")
    if operation in ("relate", "same"):
        of = program[base].inputs[0]
        near = told_before and steps[k].inputs == (k - 1,)
        if operation == "relate":
            the = "it" if near else f"the {describe(program, of)}"
            return f"{some} {verb} {RELATIONS[str(program[base].value)]} {the}"
        owner = f"its {attribute}" if near else f"the {attribute} of the {describe(program, of)}"
        return f"{some} {'have' if count > 1 else 'has'} {owner}"
    if operation == "intersect":
        return f"{some} {verb} both"
    if operation == "union":
        return f"together {count or 'none'}"
    return f"there {verb} {some}"


def _conclusion(
    program: Program, found_last: Sequence[Objects | None], objects: Sequence[SeenObject]
) -> tuple[list[str], str | None]:
    """What the answer is read from, in words where the sets alone do not say it, and the answer that follows."""
    function = program[-1].function
    operation, _, attribute = function.partition("_")
    read = [found for found in found_last if found is not None]
    if len(read) < len(found_last):
        return [], None
    counts = [len(found) for found in read]
    counts += counts[: 2 - len(counts)]
    if operation == "count":
        return [], str(counts[0])
    if operation == "exist":
        return [], "yes" if counts[0] else "no"
    if attribute in ("integer", "than"):
        holds = {"equal": counts[0] == counts[1], "less": counts[0] < counts[1], "greater": counts[0] > counts[1]}
        return [], "yes" if holds[operation] else "no"
    if any(len(found) != 1 for found in read):
        return [], None
    values = [objects[found[0]].value(attribute) for found in read]
    if operation == "query":
        return [], values[0]
    one, other = values[0], values[-1]
    told = f"both are {one}" if one == other else f"one is {one}, the other {other}"
    return [told], "yes" if one == other else "no"


def because_of_program(program: Program, found: Objects | None, answer: str) -> str:
    """The sentence for an answer that the program gave, whose last step reads the objects `found`."""
    operation = program[-1].function.partition("_")[0]
    words = describe(program, program[-1].inputs[0], plural=found is not None and len(found) > 1)
    text = ""
    if found is not None and operation in ("count", "exist"):
        text = f"There {'are' if len(found) > 1 else 'is'} {len(found) or 'no'} {words}; so {answer}."
    elif operation == "query":
        text = f"The {words} is {'a ' * program[-1].function.endswith('shape')}{answer}."
    return text if 0 < len(text.split()) <= MOST_WORDS else f"The program, executed on the scene, gives {answer}."
