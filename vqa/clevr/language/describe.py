"""Sets of objects in words, from the part of a program that finds them."""

from vqa.clevr.programs import ARITY, Program, Step

RELATIONS = {"left": "left of", "right": "right of", "behind": "behind", "front": "in front of"}
"""Relation -> how it is said."""

_EXTREMES = {"left": "leftmost", "right": "rightmost", "behind": "rearmost", "front": "frontmost", "apart": "lone"}
_PLACES = {
    **{"nearest": "nearest to", "farthest": "farthest from", "near": "next to", "hidden_by": "hidden by"},
    **{"hides": "hiding", "larger": "larger than", "smaller": "smaller than"},
}


def describe(program: Program, index: int, plural: bool = False, it: int | None = None) -> str:
    """The objects that step `index` finds, without an article: "red metal cube left of the sphere".

    `it` is a step (a `unique`) that has been spoken of just before.
    """
    head, base = head_of(program, index, plural)
    step = program[base]
    if (
        head in ("thing", "things")
        and step.function in (*_PLACES, "minus", "like", "half")
        and program[step.inputs[0]] != Step("scene")
    ):
        return f"{describe(program, step.inputs[0], plural, it)} {_place(program, base)}"
    if step.function == "intersect" and program[step.inputs[0]].function == "unique":
        one, other = (describe(program, i) for i in step.inputs)
        return f"{one} that is the {other}"
    return " ".join(filter(None, (head, modifier(program, base, it))))


def head_of(program: Program, index: int, plural: bool = False) -> tuple[str, int]:
    """Adjectives and noun of the set at step `index`, and the step that it filters: "red metal cubes"."""
    said: dict[str, str] = {}
    unlike: list[str] = []
    while program[index].function.startswith(("filter_", "except_", "unique", "extreme")):
        if program[index].function == "extreme":
            said["extreme"] = _EXTREMES.get(str(program[index].value), str(program[index].value))
        elif program[index].function.startswith("except_"):
            value = str(program[index].value)
            shape = program[index].function == "except_shape"
            unlike.insert(0, value if not shape else f"{value}s" if plural else f"a {value}")
        elif program[index].value is not None:
            said[program[index].function[7:]] = str(program[index].value)
        index = program[index].inputs[0]
    noun = said.get("shape", "thing") + "s" * plural
    if unlike:
        be = "that are" if plural else "that is"
        noun += f" {be} not {unlike[0]}" if len(unlike) == 1 else f" {be} neither {' nor '.join(unlike)}"
    return " ".join([*(said[name] for name in ("extreme", "size", "color", "material") if name in said), noun]), index


def modifier(program: Program, index: int, it: int | None = None) -> str:
    """What relates the set at step `index` to others: "left of the sphere", "of the same size as it"; or nothing."""
    step = program[index]
    operation, _, attribute = step.function.partition("_")
    if operation in ("relate", "same"):
        of = step.inputs[0]
        the = "it" if of == it else f"the {describe(program, of)}"
        return f"{RELATIONS[str(step.value)]} {the}" if operation == "relate" else f"of the same {attribute} as {the}"
    if operation == "intersect":
        return " and ".join(filter(None, (modifier(program, j, it) for j in step.inputs)))
    if operation == "union":
        one, other = (describe(program, j, plural=True) for j in step.inputs)
        return f"among {one} and {other}"
    return _place(program, index) if step.function not in ARITY else ""


def _place(program: Program, index: int) -> str:
    """What a function of people's questions says of a set: "nearest to the sphere", "partially hidden"."""
    step = program[index]
    kind, _, attribute = step.function.rpartition("_")
    of = step.inputs[-1]
    if step.function in _PLACES:
        return f"{_PLACES[step.function]} the {describe(program, of)}"
    if step.function == "minus":
        return f"but not {modifier(program, of) or 'a ' + head_of(program, of)[0]}"
    if step.function == "half":
        return f"in the {str(step.value).replace('behind', 'back')} half" if step.value != "middle" else "in the middle"
    if step.function == "like":
        other = "another" if of == step.inputs[0] else f"another {describe(program, of)}"
        return f"of the same {' and '.join(str(step.value).split('|'))} as {other}"
    if step.function == "between":
        ends = program[of].inputs if program[of].function == "union" else ()
        return f"between {' and '.join(f'the {describe(program, i)}' for i in ends) or describe(program, of, True)}"
    if step.function == "beyond":
        return f"{RELATIONS[str(step.value)]} all {describe(program, of, plural=True)}"
    if step.function == "ordinal":
        number, side = str(step.value).split()
        return f"number {number} from the {side.replace('behind', 'back')}"
    said = {"odd": f"with a {attribute} of its own", "different": f"of another {attribute} than the"}.get(kind, "")
    if step.function == "hidden":
        return "partially hidden"
    return f"{said} {describe(program, of)}" if kind == "different" else said
