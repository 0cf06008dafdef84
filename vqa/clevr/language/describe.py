"""Sets of objects in words, from the part of a program that finds them."""

from vqa.clevr.programs import Program

_RELATIONS = {"left": "left of", "right": "right of", "behind": "behind", "front": "in front of"}


def describe(program: Program, index: int, plural: bool = False, it: int | None = None) -> str:
    """The objects that step `index` finds, without an article: "red metal cube left of the sphere".

    `it` is a step (a `unique`) that has been spoken of just before.
    """
    head, base = head_of(program, index, plural)
    return " ".join(filter(None, (head, modifier(program, base, it))))


def head_of(program: Program, index: int, plural: bool = False) -> tuple[str, int]:
    """Adjectives and noun of the set at step `index`, and the step that it filters: "red metal cubes"."""
    said: dict[str, str] = {}
    unlike: list[str] = []
    while program[index].function.startswith(("filter_", "except_", "unique")):
        if program[index].function.startswith("except_"):
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
    return " ".join([*(said[name] for name in ("size", "color", "material") if name in said), noun]), index


def modifier(program: Program, index: int, it: int | None = None) -> str:
    """What relates the set at step `index` to others: "left of the sphere", "of the same size as it"; or nothing."""
    step = program[index]
    operation, _, attribute = step.function.partition("_")
    if operation in ("relate", "same"):
        of = step.inputs[0]
        the = "it" if of == it else f"the {describe(program, of)}"
        return f"{_RELATIONS[str(step.value)]} {the}" if operation == "relate" else f"of the same {attribute} as {the}"
    if operation == "intersect":
        return " and ".join(filter(None, (modifier(program, j, it) for j in step.inputs)))
    if operation == "union":
        one, other = (describe(program, j, plural=True) for j in step.inputs)
        return f"among {one} and {other}"
    return ""
