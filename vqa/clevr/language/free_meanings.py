"""What the parts of a free question mean: modifiers of objects, noun phrases and calls of a program.

A modifier is a tuple: ("filter", "color", "red"), ("relate", "left", CALL), ("same", "size", CALL), ("not", MOD),
("and", MOD, MOD), ("or", MOD, MOD), or (FUNCTION, VALUE, *CALLS) of a further function. A noun phrase is whether it is
in the plural, and its modifiers.
"""

from functools import reduce

from vqa.clevr.language.parser import Call
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError

NP = tuple[bool, tuple]

SCENE = Call("scene", None, ())
IT = Call("it", None, ())
THEM = ("them", None)
EVERYTHING: NP = (True, ())
OTHER = ("other", None)
_THAN_IT = (
    "relate",
    "same",
    "near",
    "nearest",
    "farthest",
    "hidden_by",
    "hides",
    "larger",
    "smaller",
    "not",
    "and",
    "like",
)
_SELECTING = ("extreme", "ordinal", "nearest", "farthest", "odd")
"""Functions that pick an object out of a set: applied after all that filter, and not to be counted."""


def call(function: str, *inputs: Call, value: str | None = None) -> Call:
    """A call of a function."""
    return Call(function, value, inputs)


def objects(np: NP) -> Call:
    """The objects of a noun phrase. Raises InputError for "other" where nothing says than what."""
    mods = tuple(mod for mod in np[1] if mod != OTHER)
    if len(mods) < len(np[1]) and not any(mod[0] in _THAN_IT for mod in mods):
        raise InputError("question: nothing says other than what")
    values = {mod[1]: mod[2] for mod in mods if mod[0] == "filter"}
    if any(mod[0] == "filter" and values[mod[1]] != mod[2] for mod in mods):
        raise InputError("question: nothing has two values of an attribute")
    if np[0]:  # several objects "on the left" are those in that half
        mods = tuple(("half", *mod[1:]) if mod[0] == "at" else mod for mod in mods)
    return reduce(lambda found, mod: apply(mod, found), sorted(mods, key=_rank), SCENE)


def _is_one(found: Call) -> bool:
    return found.function in ("unique", "it")


def same(traits: str, to: Call) -> tuple:
    """Of the same size, or "size|color" and so on, as an object, or as any other of a set."""
    if not _is_one(to):
        return "like", traits, to
    return both(*(("same", attribute, to) for attribute in traits.split("|")))


def exist(found: Call) -> Call:
    """Whether there is one. Raises InputError for a set that has one by its making."""
    if found.function == "extreme":
        raise InputError("question: there always is one")
    return call("exist", found)


def unique(np: NP) -> Call:
    """The one object of a noun phrase."""
    return call("unique", objects(np))


def _rank(mod: tuple) -> float:
    """Relations and places come first, then filters in CLEVR's order, and last what picks an object out."""
    if mod[0] in ("and", "or", "not"):
        return max(3, *(_rank(part) for part in mod[1:]))
    if mod[0] in ("filter", "except"):
        return 1 + 0.1 * list(ATTRIBUTES).index(mod[1])
    late = {"like": 4, "most": 4, "at": 5, "half": 2}
    return 0 if mod[0] in ("relate", "same") else 5 if mod[0].startswith(_SELECTING) else late.get(mod[0], 0.5)


def apply(mod: tuple, found: Call) -> Call:
    """The objects of a set that a modifier holds for."""
    kind, *rest = mod
    if kind == "at":
        return apply(("half" if _is_one(found) else "extreme", rest[0]), found)
    if kind.startswith(_SELECTING) and _is_one(found):
        return call("intersect", found, apply(mod, SCENE))
    match kind:
        case "filter" | "except":
            return call(f"{kind}_{rest[0]}", found, value=rest[1])
        case "relate" | "same":
            to = call("relate", rest[1], value=rest[0]) if kind == "relate" else call(f"same_{rest[0]}", rest[1])
            return to if found == SCENE else call("intersect", found, to)
        case "and":
            return apply(rest[1], apply(rest[0], found))
        case "or":
            return call("union", apply(rest[0], found), apply(rest[1], found))
        case "not":
            return call("minus", found, apply(rest[0], found))
        case "like":
            if len(rest) == 1 and _is_one(found):
                raise InputError("question: nothing says the same as what")
            return call("like", found, *(rest[1:] or (found,)), value=rest[0])
        case "odd":
            raise InputError("question: nothing says different in what")
    return call(kind, found, *rest[1:], value=rest[0])


def negation(mod: tuple) -> tuple:
    """The opposite of a modifier: as a filter where there are two values only."""
    if mod[0] == "filter":
        rest = [value for value in ATTRIBUTES[mod[1]] if value != mod[2]]
        return ("filter", mod[1], rest[0]) if len(rest) == 1 else ("except", mod[1], mod[2])
    return ("and", negation(mod[1]), negation(mod[2])) if mod[0] == "or" else ("not", mod)


def both(*mods: tuple) -> tuple:
    """Modifiers as one; "red and blue" things are either."""
    if len(mods) == 2 and choice(*mods):
        return ("or", *mods)
    return reduce(lambda one, other: ("and", one, other), sorted(mods, key=_rank))


def either(one: tuple, other: tuple) -> tuple:
    """One modifier or the other, of the same attribute or said with "or"."""
    return ("or", one, other)


def said_of(np: NP) -> tuple:
    """A noun phrase that says what something is ("a red cube"), as a modifier. Raises InputError if it says nothing."""
    if not np[1] or OTHER in np[1]:
        raise InputError("question: it says nothing")
    return both(*np[1])


def modified(np: NP, *mods: tuple) -> NP:
    """A noun phrase with more modifiers."""
    return np[0], (*np[1], *mods)


def count(found: Call) -> Call:
    """How many there are. Raises InputError for a set that is one object by its making."""
    if found.function.startswith(_SELECTING):
        raise InputError("question: it is one object")
    return call("count", found)


def number(amount: tuple[str, str], found: Call) -> Call:
    """Whether there are ("exactly" or "at_least" or "at_most", so many)."""
    return call(amount[0], count(found), value=amount[1])


def compare(how: str, one: NP, other: NP) -> Call:
    """Two counts compared by "more", "fewer" or "same"."""
    function = {"more": "greater_than", "fewer": "less_than", "same": "equal_integer"}[how]
    return call(function, count(objects(one)), count(objects(other)))


def query(attribute: str, np: NP) -> Call:
    """An attribute of the one object; of several what they have in common."""
    np = np[0], tuple((f"odd_{attribute}", None) if mod == ("odd", None) else mod for mod in np[1])
    return call(f"shared_{attribute}", objects(np)) if np[0] else call(f"query_{attribute}", unique(np))


def alike(one: Call, other: Call, attribute: str) -> Call:
    """Whether two objects have the same value."""
    return call(f"equal_{attribute}", *(call(f"query_{attribute}", item) for item in (one, other)))


def all_alike(found: Call, traits: str) -> Call:
    """Whether objects have the same size, or "size|color" and so on."""
    return call("all_same", found, value=traits) if "|" in traits else call(f"all_same_{traits}", found)


def asked_by(np: NP) -> str:
    """What "which NP" asks for: its shape, or the color of what has a shape."""
    return "color" if any(mod[:2] == ("filter", "shape") for mod in np[1]) else "shape"


def choice(one: tuple, other: tuple) -> str | None:
    """The attribute between whose values a question chooses."""
    return one[1] if one[0] == other[0] == "filter" and one[1] == other[1] else None


def more_of(function: str, one: NP, other: NP) -> Call | None:
    """Which of two sets has more (or fewer) objects, named by the value in which they differ."""
    if one[1] and other[1] and not any(mod[1] == "shape" for mod in one[1]):
        one = modified(one, *(mod for mod in other[1] if mod[:2] == ("filter", "shape")) if len(other[1]) > 1 else ())
    names = []
    for np, unlike in ((one, other), (other, one)):
        values = [mod[2] for mod in np[1] if mod[0] == "filter" and mod not in unlike[1]]
        names += values if len(values) == 1 else []
    return call(function, objects(one), objects(other), value="|".join(names)) if len(names) == 2 else None


def bring_up(one: Call, question: Call) -> Call | None:
    """A question with `one` for its "it" or "they", which "there is a ..." has brought up; None where it has none."""
    found = replaced(question, "it" if _is_one(one) else "them", one)
    return None if found == question else found


def replaced(question: Call, function: str, by: Call) -> Call:
    """A question with another call for those of a function."""
    if question.function == function:
        return by
    return Call(question.function, question.value, tuple(replaced(item, function, by) for item in question.inputs))
