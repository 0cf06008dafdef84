"""Sets of objects in words, from the part of a program that finds them."""

from vqa.clevr.programs import Program

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
    if head in ("thing", "things") and program[base].function in ("nearest", "farthest"):
        inner, outer = program[base].inputs
        return f"{describe(program, inner, plural)} {_PLACES[program[base].function]} the {describe(program, outer)}"
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
    if step.function in _PLACES:
        inner, outer = step.inputs
        place = f"{_PLACES[step.function]} the {describe(program, outer)}"
        return " ".join(filter(None, (modifier(program, inner), place)))
    if step.function == "minus":
        inner, out = step.inputs
        without = modifier(program, out) or f"a {head_of(program, out)[0]}"
        return " ".join(filter(None, (modifier(program, inner), f"but not {without}")))
    return ""
