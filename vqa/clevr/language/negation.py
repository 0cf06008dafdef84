"""Negated words: "not red", "neither cubes nor spheres", "other than metal", "isn't large", "unmetallic".

CLEVR's programs have no complement. A word of which there are only two kinds is said by its opposite, which keeps the
meaning; other words become the function `except_ATTRIBUTE`, for `vqa.inference.second_reading` to execute. No other
negation is guessed at.
"""

import re

from vqa.clevr.language.parser import parse_question, tokens_of
from vqa.clevr.programs import Program, Step
from vqa.clevr.vocabulary import ATTRIBUTES, SYNONYMS
from vqa.errors import InputError

_VALUES = {
    word: (name, value)
    for name, values in ATTRIBUTES.items()
    for value in values
    for said in SYNONYMS.get(value, (value,))
    for word in ((said, f"{said}s") if name == "shape" else (said,))
}
_PAIRS = (("shiny", "matte"), ("metallic", "matte"), ("metal", "rubber"), ("large", "small"), ("big", "tiny"))
_OPPOSITE = {one: other for pair in _PAIRS for one, other in (pair[::-1], pair)}
_WORD = f"(?:{'|'.join(_VALUES)})"
_THINGS = "(?:things?|objects?|cubes?|blocks?|spheres?|balls?|cylinders?)"
_LEAD = r"(?:that |which )?(?:is |are )?"
_NOT = r"(?:isn't|aren't|is not|are not|not)"
_ARTICLE = "(?:an? |made of |the )?"

_NEGATIONS = re.compile(
    r"\b(?:not|neither|nor|none|non|without|except|excluding|besides|no|nothing|\w+n't|apart from|other than)\b"
    rf"|\b(?:un|non){_WORD}\b"
)

_PREFIXED = re.compile(rf"\b(?:un|non ?)({_WORD})\b")
_PRENOMINAL = re.compile(rf"\bnot ({_WORD}) ({_THINGS})")
_POSTNOMINAL = re.compile(
    rf"\b({_THINGS})(?P<there> are there)? (?:"
    rf"{_LEAD}neither {_ARTICLE}(?P<one>{_WORD}) nor {_ARTICLE}(?P<other>{_WORD})"
    rf"|{_LEAD}{_NOT} {_ARTICLE}(?P<single>{_WORD})"
    rf"|{_LEAD}(?:other than|except(?: for)?|excluding|apart from|besides) {_ARTICLE}(?P<left>{_WORD})"
    r")(?= are there$|$| \W)"
)
_IS_NOT = re.compile(rf"^(?:is the (.*)({_THINGS}) not|isn't the (.*)({_THINGS})) {_ARTICLE}({_WORD})$")


def negated(text: str) -> bool:
    """Whether a question says something by a negation."""
    return _NEGATIONS.search(" ".join(tokens_of(text))) is not None


def say_opposites(text: str) -> str:
    """The question with what is not large, metal and the like as small, rubber and so on; else as it is."""
    try:
        marked, unsaid = _mark(text)
    except InputError:
        return text
    return text if unsaid or negated(marked) else marked


def read_negation(text: str) -> Program:
    """The program of a negated question, with steps `except_ATTRIBUTE`.

    Raises InputError, which says how to ask, where the negation is not one of those of this module.
    """
    from vqa.clevr.language.paraphrase import restate

    try:
        marked, unsaid = _mark(text)
        if negated(marked):
            raise InputError("")
        program = parse_question(restate(marked))
    except InputError:
        raise InputError(
            f"question: {' '.join(text.split())[:200]!r}: this negation is not read; one that works: "
            "How many things are not red?"
        ) from None
    return _with_complements(program, unsaid)


def _mark(text: str) -> tuple[str, dict[tuple[str, str], list[str]]]:
    """The question with an unused word of CLEVR for every negated one, and what that word stands for.

    The word is of the same attribute, so that the question is parsed as if it were meant: (attribute, word's value) ->
    the values that it excludes.
    """
    words = " ".join(tokens_of(text)).rstrip(" ?!.")
    used = {_VALUES[word] for word in words.split() if word in _VALUES}
    unsaid: dict[tuple[str, str], list[str]] = {}

    def stand_in(*negative: str) -> tuple[str, str | None]:
        """Adjectives, and the noun where a shape is negated, for negated words."""
        adjectives, noun, groups = [], None, dict[str, list[str]]()
        for word in negative:
            name, value = _VALUES[word]
            groups.setdefault(name, []).append(value)
        for name, values in groups.items():
            rest = [value for value in ATTRIBUTES[name] if value not in values]
            if len(rest) == 1:
                said = [_OPPOSITE[word] for word in negative if _VALUES[word][0] == name and word in _OPPOSITE]
                chosen = said[0] if said else rest[0]
            else:
                free = [value for value in ATTRIBUTES[name] if (name, value) not in used]
                if not free:
                    raise InputError("question: it negates more words than are read at a time")
                chosen = free[-1]
                used.add((name, chosen))
                unsaid[name, chosen] = values
            if name == "shape":
                noun = chosen
            else:
                adjectives.append(chosen)
        return " ".join(adjectives), noun

    def replaced(thing: str, *negative: str) -> str:
        adjectives, noun = stand_in(*negative)
        if noun is not None and thing.rstrip("s") not in ("thing", "object"):
            noun, adjectives = thing, adjectives  # "cubes that are not spheres" are cubes
        noun = thing if noun is None else noun + "s" * (thing.endswith("s") and not noun.endswith("s"))
        return f"{adjectives} {noun}".strip()

    def after(match: re.Match[str]) -> str:
        said = [word for word in (match[name] for name in ("one", "other", "single", "left")) if word]
        return replaced(match[1], *said) + (match["there"] or "")

    words = _PRENOMINAL.sub(lambda match: replaced(match[2], match[1]), words)
    words = _IS_NOT.sub(lambda m: f"is there a {m[1] or m[3] or ''}{replaced(m[2] or m[4], m[5])}", words)
    words = _PREFIXED.sub(lambda match: stand_in(match[1])[0] or match[0], words)
    words = _POSTNOMINAL.sub(after, words)
    return words, unsaid


def _with_complements(program: Program, unsaid: dict[tuple[str, str], list[str]]) -> Program:
    steps: list[Step] = []
    places: list[int] = []
    for step in program:
        inputs = tuple(places[j] for j in step.inputs)
        values = unsaid.get((step.function.removeprefix("filter_"), str(step.value)))
        if values is None or not step.function.startswith("filter_"):
            steps.append(Step(step.function, inputs, step.value))
        for value in values or ():
            steps.append(Step(f"except_{step.function[7:]}", inputs, value))
            inputs = (len(steps) - 1,)
        places.append(len(steps) - 1)
    return tuple(steps)
