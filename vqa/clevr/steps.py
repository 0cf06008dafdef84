"""A program as reasoning steps: the object sets it passes through, in order, each with what to look for.

`filter_*` and `unique` only narrow the set before them, so a step is one of scene, relate, same_*, union, intersect
together with the filters that follow it. CLEVR and CLOSURE programs have one to five such steps, and all but the
combining ones read the step right before them. A network with a block for each step can be supervised, and explained,
step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vqa.clevr.programs import Output, Program
from vqa.clevr.vocabulary import ATTRIBUTES, RELATIONS

OPERATIONS = ("none", "scene", *RELATIONS, *(f"same_{name}" for name in ATTRIBUTES), "union", "intersect")
"""What a step does; "none" is for a block that a short program does not use."""

MAX_STEPS = 5
"""Most steps of any CLEVR or CLOSURE question."""


@dataclass(slots=True)
class ReasoningStep:
    """One object set: its operation, the filters on it, the earlier reasoning steps it reads, its last program step."""

    operation: str
    inputs: tuple[int, ...]
    filters: dict[str, str] = field(default_factory=dict)
    program_index: int = 0


def reasoning_steps(program: Program) -> tuple[list[ReasoningStep], tuple[int, ...]]:
    """The reasoning steps of a program, and the indices of those (one or two) from which the answer is read."""
    steps: list[ReasoningStep] = []
    owner: list[int] = []
    readers: tuple[int, ...] = ()
    for index, call in enumerate(program):
        operation, _, attribute = call.function.partition("_")
        if operation in ("scene", "relate", "same", "union", "intersect"):
            name = str(call.value) if operation == "relate" else call.function
            owner.append(len(steps))
            steps.append(ReasoningStep(name, tuple(owner[j] for j in call.inputs), {}, index))
        elif operation in ("filter", "unique"):
            owner.append(owner[call.inputs[0]])
            step = steps[owner[-1]]
            step.program_index = index
            if operation == "filter":
                step.filters[attribute] = str(call.value)
        else:
            owner.append(owner[call.inputs[0]])
            readers = tuple(dict.fromkeys(owner[j] for j in call.inputs))
    return steps, readers or (len(steps) - 1,)


def step_objects(steps: Sequence[ReasoningStep], outputs: Sequence[Output]) -> list[tuple[int, ...]]:
    """The objects that each reasoning step leaves, from the outputs of `vqa.clevr.programs.execute`."""
    found = [outputs[step.program_index] for step in steps]
    return [item if isinstance(item, tuple) else (int(item),) for item in found]
