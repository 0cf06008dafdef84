"""CLEVR's functional programs: reading, executing and sorting them (Johnson et al. 2017, appendix A).

A program also comes down to a few reasoning steps, one for each set of objects that it makes: what a block of the
model does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ATTRIBUTES, RELATIONS
from vqa.errors import InputError

_FUNCTIONS: dict[str, tuple[int, str, str]] = {
    "scene": (0, "", "set"),
    **{f"filter_{name}": (1, "set", "set") for name in ATTRIBUTES},
    "unique": (1, "set", "object"),
    "relate": (1, "object", "set"),
    **{f"same_{name}": (1, "object", "set") for name in ATTRIBUTES},
    "union": (2, "set", "set"),
    "intersect": (2, "set", "set"),
    "count": (1, "set", "number"),
    "exist": (1, "set", "boolean"),
    **{f"query_{name}": (1, "object", name) for name in ATTRIBUTES},
    **{f"equal_{name}": (2, name, "boolean") for name in ATTRIBUTES},
    **dict.fromkeys(("equal_integer", "less_than", "greater_than"), (2, "number", "boolean")),
}
ARITY = {name: inputs for name, (inputs, _, _) in _FUNCTIONS.items()}
"""Function -> number of inputs."""

KINDS = {name: (reads, yields) for name, (_, reads, yields) in _FUNCTIONS.items()}
"""Function -> what each of its inputs is and what it yields: a set, an object, a number, a boolean, or an attribute."""

_ARGUMENTS: dict[str, Sequence[str]] = {"relate": RELATIONS} | {
    f"filter_{name}": ATTRIBUTES[name] for name in ATTRIBUTES
}
"""Function -> the arguments it takes one of."""

_TYPES: dict[str, str] = {
    **{name: name for name in ("count", "exist")},
    **dict.fromkeys(("equal_integer", "less_than", "greater_than"), "compare integer"),
    **{f"query_{name}": "query attribute" for name in ATTRIBUTES},
    **{f"equal_{name}": "compare attribute" for name in ATTRIBUTES},
}

OPERATIONS = ("none", "scene", *RELATIONS, *(f"same_{name}" for name in ATTRIBUTES), "union", "intersect")
"""What a step does; "none" is for a block that a short program does not use."""

ANSWER_FUNCTIONS = (
    *("count", "exist", "equal_integer", "less_than", "greater_than"),
    *(f"{kind}_{name}" for kind in ("query", "equal") for name in ATTRIBUTES),
)
"""The functions whose result is an answer."""

MAX_STEPS = 5
"""Most steps of any CLEVR or CLOSURE question."""


class IllPosedError(ValueError):
    """The program has no answer on this scene: `unique` met none or several objects."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call: its function, the indices of the earlier steps it reads, and its argument (a value or relation)."""

    function: str
    inputs: tuple[int, ...] = ()
    value: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The step as CLEVR's question files store it."""
        return {
            "inputs": list(self.inputs),
            "function": self.function,
            "value_inputs": [] if self.value is None else [self.value],
        }


Program = tuple[Step, ...]
Output = tuple[int, ...] | int | str | bool
"""What a step yields: object indices (ascending), one object's index, a count, an attribute's value, or a boolean."""


def program_from_json(record: Any, where: str = "program") -> Program:
    """Read a program of a question file; accepts `function` or `type` as the key. Raises InputError naming the step."""
    if not isinstance(record, list) or not record:
        raise InputError(f"{where}: expected a list of steps, got {record!r:.80}")
    steps: list[Step] = []
    kinds: list[str] = []
    for i, item in enumerate(record):
        steps.append(_step_from_json(item, kinds, f"{where}[{i}]"))
        kinds.append(KINDS[steps[-1].function][1])
    if kinds[-1] in ("set", "object"):
        raise InputError(f"{where}: ends in {steps[-1].function}, which is not an answer; count, query or compare it")
    return tuple(steps)


def _step_from_json(item: Any, kinds: Sequence[str], where: str) -> Step:
    if not isinstance(item, Mapping):
        raise InputError(f"{where}: expected an object with function, inputs and value_inputs, got {item!r:.80}")
    function = item.get("function", item.get("type"))
    if not isinstance(function, str) or function not in ARITY:
        raise InputError(f"{where}.function: {function!r:.80} is unknown; known are {', '.join(ARITY)}")
    inputs, values = item.get("inputs", []), item.get("value_inputs") or []
    check_inputs(inputs, function, ARITY[function], KINDS[function][0], kinds, where)
    allowed = _ARGUMENTS.get(function, ())
    if not isinstance(values, list) or len(values) != bool(allowed) or (values and values[0] not in allowed):
        wanted = f"one of {', '.join(allowed)}" if allowed else "empty"
        raise InputError(f"{where}.value_inputs: {values!r:.80} for {function}; it must be {wanted}")
    return _step(function, tuple(inputs), values[0] if values else None)


def check_inputs(inputs: Any, function: str, arity: int, reads: str, kinds: Sequence[str], where: str) -> None:
    """Raises InputError unless a step's inputs are `arity` earlier steps that yield what it reads.

    `kinds` are what the earlier steps yield.
    """
    if not isinstance(inputs, list) or len(inputs) != arity:
        raise InputError(f"{where}.inputs: {function} takes {arity} inputs, got {inputs!r:.80}")
    if not all(type(j) is int and 0 <= j < len(kinds) for j in inputs):
        there = f"(0 to {len(kinds) - 1})" if kinds else "; it is the first"
        raise InputError(f"{where}.inputs: {inputs!r:.80} must name earlier steps {there}")
    if not all(kinds[j] == reads for j in inputs):
        found = ", ".join(kinds[j] for j in inputs)
        raise InputError(f"{where}.inputs: {function} reads a {reads}, but these yield {found}")


@lru_cache(maxsize=1 << 16)
def _step(function: str, inputs: tuple[int, ...], value: str | None) -> Step:
    """Equal steps are one object: 700,000 programs have some thousand."""
    return Step(function, inputs, value)


def execute(program: Program, scene: Scene, given: Mapping[int, Output] | None = None) -> list[Output]:
    """What every step yields on a scene; the last entry is the answer (see `answer_string`).

    `given` are outputs, by the steps' indices, to use instead of the computed ones.
    Raises IllPosedError where `unique` does not find exactly one object, InputError where a step reads the wrong kind.
    """
    outputs: list[Output] = []
    kinds: list[str] = []
    for i, step in enumerate(program):
        reads, yields = KINDS[step.function]
        try:
            if not all(kinds[j] == reads for j in step.inputs):
                raise TypeError
            inputs = [outputs[j] for j in step.inputs]
            outputs.append(given[i] if given and i in given else _run(step, inputs, scene))
        except (TypeError, IndexError) as error:
            raise InputError(f"program[{i}]: {step.function} cannot read the steps {list(step.inputs)}") from error
        kinds.append(yields)
    return outputs


def answer_string(output: Output) -> str:
    """A final output as one of the 28 answers."""
    if isinstance(output, bool):
        return "yes" if output else "no"
    return str(output)


def question_type(program: Program) -> str:
    """One of the five question types of CLEVR's tables, from the program's last step."""
    return _TYPES.get(program[-1].function, "other")


def signature(program: Program) -> str:
    """The shape of a program: names a question family where the file does not.

    Arguments and `filter_*` are left out, since a family has questions with and without each filter, and so are steps
    that the answer does not need; equal steps are written once, each after what it reads, whatever the program's own
    order. CLEVR's 90 families have 78 signatures: "same size as" with and without a word for the counted things, and
    the five kinds of "or", are one each.
    """
    written: dict[str, int] = {}
    places: dict[int, int] = {}
    pending = [len(program) - 1]
    while pending:
        i, step = pending[-1], program[pending[-1]]
        if unread := [j for j in step.inputs if j not in places]:
            pending.append(unread[0])
            continue
        pending.pop()
        if step.function.startswith("filter_"):
            places[i] = places[step.inputs[0]]
        else:
            reads = ",".join(str(places[j]) for j in step.inputs)
            places[i] = written.setdefault(f"{step.function}({reads})" if reads else step.function, len(written))
    return " ".join(written)


def equivalent(one: Program, other: Program) -> bool:
    """Whether two programs ask the same; order of steps, of filters and of sides that commute does not count."""
    names: dict[tuple, int] = {}
    return _canonical(one, names) == _canonical(other, names)


def _canonical(program: Program, names: dict[tuple, int]) -> int:
    """A number for what a program asks; `names` gives equal numbers to equal parts."""
    parts: list[tuple] = []
    for step in program:
        inputs = [parts[j] for j in step.inputs]
        if step.function.startswith("filter_"):
            _, filters, base = inputs[0] if inputs[0][0] == "filter" else ("filter", frozenset(), inputs[0])
            parts.append(("filter", filters | {(step.function, step.value)}, base))
            continue
        numbers = [names.setdefault(part, len(names)) for part in inputs]
        function = step.function
        if function == "greater_than":
            function, numbers = "less_than", numbers[::-1]
        elif function != "less_than":
            numbers.sort()
        parts.append((function, step.value, *numbers))
    return names.setdefault(parts[-1], len(names))


def _run(step: Step, inputs: list[Any], scene: Scene) -> Output:
    objects, function = scene.objects, step.function
    operation, _, attribute = function.partition("_")
    match operation:
        case "scene":
            return tuple(range(len(objects)))
        case "filter":
            return tuple(i for i in inputs[0] if getattr(objects[i], attribute) == step.value)
        case "unique":
            if len(inputs[0]) != 1:
                raise IllPosedError(f"{len(inputs[0])} objects where exactly one was meant")
            return inputs[0][0]
        case "relate":
            return tuple(scene.relationships[str(step.value)][inputs[0]])
        case "same":
            value = getattr(objects[inputs[0]], attribute)
            return tuple(i for i, item in enumerate(objects) if i != inputs[0] and getattr(item, attribute) == value)
        case "union":
            return tuple(sorted({*inputs[0], *inputs[1]}))
        case "intersect":
            return tuple(sorted({*inputs[0]} & {*inputs[1]}))
        case "count":
            return len(inputs[0])
        case "exist":
            return len(inputs[0]) > 0
        case "query":
            return getattr(objects[inputs[0]], attribute)
        case "equal":
            return inputs[0] == inputs[1]
        case "less":
            return inputs[0] < inputs[1]
        case _:
            return inputs[0] > inputs[1]


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


def asked_attribute(program: Program) -> str | None:
    """The attribute that a program's last function queries or compares; None for counts and the like."""
    function, _, attribute = program[-1].function.partition("_") if program else ("", "", "")
    return attribute if function in ("query", "equal") and attribute in ATTRIBUTES else None


def step_objects(steps: Sequence[ReasoningStep], outputs: Sequence[Output]) -> list[tuple[int, ...]]:
    """The objects that each reasoning step leaves, from the outputs of `vqa.clevr.programs.execute`."""
    found = [outputs[step.program_index] for step in steps]
    return [item if isinstance(item, tuple) else (int(item),) for item in found]
