"""CLEVR's language: its words, and the parser that turns a question back into its program.

The parser first puts a mark for each noun phrase and relation: "the small cube left of it" becomes "the N0 R1 it". What
is left is regular, because a modifier always ends in the next noun to its right: one table of patterns holds all forms
of questions, and a phrase is read from its head rightwards.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from vqa.clevr.programs import Program, Step
from vqa.clevr.vocabulary import ATTRIBUTES, SHAPES, SYNONYMS
from vqa.errors import InputError

MAX_WORDS = 100
"""Longer questions are refused; CLEVR's have up to 43 words."""

_FUNCTION_WORDS = """
a an and another any anything are as behind both color do does either else equal fewer front greater has have how in is
it its left less made many material more number of on or other right same shape side size than that the there to visible
what
"""

_NOUNS = {word: shape for shape in SHAPES for word in SYNONYMS.get(shape, (shape,))} | {"thing": "", "object": ""}
_ADJECTIVES = {
    word: (name, value)
    for name, values in ATTRIBUTES.items()
    if name != "shape"
    for value in values
    for word in SYNONYMS.get(value, (value,))
}

WORDS = tuple(sorted({*_FUNCTION_WORDS.split(), *_NOUNS, *(f"{noun}s" for noun in _NOUNS), *_ADJECTIVES}))
"""Every word of CLEVR's questions, of CLOSURE's, and of those that our templates make: lower case, sorted."""

_SPELLINGS = {"colour": "color", "grey": "gray"}


def words_of(text: str) -> list[str]:
    """A question's words, without punctuation: lower case, American spelling, "what's" as "what is"."""
    return [token for token in tokens_of(text) if token[0].isalnum()]


def unknown_words(text: str) -> list[str]:
    """The words of a question that CLEVR's language does not have, each once, in their order."""
    return [word for word in dict.fromkeys(words_of(text)) if word not in WORDS]


def parse_question(text: str) -> Program:
    """The program that a question in CLEVR's wording means, its steps in CLEVR's order.

    Raises InputError where the question is too long, has a word that the language lacks, has none of the language's
    forms, can be read in two ways, or contradicts itself.
    """
    tokens, words = tokens_of(text), words_of(text)
    if not 0 < len(words) <= MAX_WORDS:
        raise InputError(f"question: {len(words)} words; expected 1 to {MAX_WORDS}")
    if unknown := unknown_words(text):
        raise InputError(f"question: CLEVR's language lacks {', '.join(repr(word[:30]) for word in unknown[:8])}")
    marked, marks = _mark(" ".join(tokens).rstrip(" ?!."))
    try:
        meaning = _Reader(marks).read(marked)
    except _NoReadingError as error:
        raise InputError(
            f"question: {' '.join(text.split())[:200]!r}: {str(error) or 'none of the forms of CLEVR questions'}; "
            "one that works: What color is the cube left of the big sphere?"
        ) from None
    return tuple(linearize(meaning, [], {}))


def tokens_of(text: str) -> list[str]:
    """The words of `words_of`, with the punctuation between them."""
    text = text.lower().replace("\u2019", "'")
    text = re.sub(r"\b(what|there|that|it)'s\b", r"\1 is", text)
    return [_SPELLINGS.get(token, token) for token in re.findall(r"[^\W_]+(?:'[^\W_]+)*|[?;,.!]", text)]


class Call(NamedTuple):
    """A program as a tree: a function, its argument, and the calls it reads."""

    function: str
    value: str | None
    inputs: tuple["Call", ...]


def _call(function: str, *inputs: Call, value: str | None = None) -> Call:
    return Call(function, value, inputs)


def linearize(call: Call, steps: list[Step], places: dict[int, int]) -> list[Step]:
    """Append a call's steps, after those it reads; `places` keeps what "it" stands for from coming twice."""
    for item in call.inputs:
        if id(item) not in places:
            linearize(item, steps, places)
    places[id(call)] = len(steps)
    steps.append(Step(call.function, tuple(places[id(item)] for item in call.inputs), call.value))
    return steps


class _NoReadingError(ValueError):
    pass


_RELATION = r"\b(?:(?:to|on) the )?(?:left|right)(?: side)? of\b|\bin front of\b|\bbehind\b"
_NOUN_PHRASE = rf"\b(?:(?:{'|'.join(_ADJECTIVES)}) )*(?:{'|'.join(_NOUNS)})s?\b"


def _mark(text: str) -> tuple[str, list]:
    """The question with marks, N0 for a noun phrase (P0 in the plural) and R0 for a relation, and what they mean."""
    marks: list = []

    def mark(match: re.Match[str]) -> str:
        words = match[0].split()
        noun = words[-1].removesuffix("s")
        if noun not in _NOUNS:
            marks.append(next(word for word in words if word in ("left", "right", "behind", "front")))
            return f"R{len(marks) - 1}"
        said: dict[str, str] = {}
        for name, value in [*(_ADJECTIVES[word] for word in words[:-1]), ("shape", _NOUNS[noun])]:
            if name in said:
                raise InputError(f"question: {match[0]!r} names two {name}s")
            if value:
                said[name] = value
        marks.append({name: said[name] for name in ATTRIBUTES if name in said})
        return f"{'N' if noun == words[-1] else 'P'}{len(marks) - 1}"

    text = re.sub(r"\banything else\b", "any other thing", text)
    text = re.sub(r"\banything\b", "any thing", text)
    text = re.sub(r"\bits (size|color|material|shape)\b", r"the \1 of it", text)
    return re.sub(f"{_RELATION}|{_NOUN_PHRASE}", mark, text), marks


_A = "(?:size|color|material|shape)"
_SAME = f"(?:made )?(?:of )?the same {_A} as"
_NEAR = r"(?:that (?:is|are) )?(?:both )?R\d+|and (?:that )?(?:is |are )?R\d+"
_LIKE = f"(?:that (?:is|are|has|have) )?(?:both )?{_SAME}|and (?:that )?(?:is|are|has|have) {_SAME}"
_TAIL = rf"(?: (?:{_NEAR}) (?:the (?:other )?N\d+|it)| (?:{_LIKE}) (?:(?:the )?(?:other )?N\d+|it))*"
_THE = rf"(the (?:other )?N\d+{_TAIL}|it)"
_ONE = rf"((?:an?|any|another) (?:other )?N\d+{_TAIL})"
_MANY = rf"((?:other )?P\d+{_TAIL})"
_HOW_MANY = "(?:how many|what number of)"
_PHRASE = re.compile(rf"(?:the |an? |any )?(other |another )?(?:other )?[NP](\d+)({_TAIL})")
_MODIFIER = re.compile(
    rf"(?:and )?(?:that )?(?:(?:is|are|has|have) )?(both )?(?:R(\d+)|{_SAME.replace(_A, f'({_A})')}) (.+)"
)

_COMPARISONS = {
    **dict.fromkeys(("an equal", "the same", "the same as", "equal to"), "equal_integer"),
    **dict.fromkeys(("fewer", "less than"), "less_than"),
    **dict.fromkeys(("more", "greater than"), "greater_than"),
}


class _Reader:
    """Reads one question; `it` is what a "there is a ...;" before it has brought up."""

    def __init__(self, marks: list, it: Call | None = None) -> None:
        self.marks = marks
        self.it = it

    def read(self, text: str) -> Call:
        reason = None
        for pattern, build in _FORMS:
            match = pattern.fullmatch(text)
            if match:
                try:
                    return build(self, *match.groups())
                except _NoReadingError as error:
                    reason = error
        raise reason or _NoReadingError

    def introduced(self, one: str, question: str) -> Call:
        if not re.search(r"\bit\b", question):
            raise _NoReadingError("the second part does not speak of it")
        return _Reader(self.marks, _call("unique", self.objects(one))).read(question)

    def the(self, phrase: str) -> Call:
        if phrase != "it":
            return _call("unique", self.objects(phrase))
        if self.it is None:
            raise _NoReadingError("nothing before says what 'it' is")
        return self.it

    def objects(self, phrase: str) -> Call:
        match = _PHRASE.fullmatch(phrase)
        if match is None:
            raise _NoReadingError
        other, mark, modifier = match.groups()
        if other and not modifier:
            raise _NoReadingError(f"nothing says {other}than what")
        found = self.modified(modifier.strip()) if modifier else _call("scene")
        return self.filtered(found, mark)

    def filtered(self, found: Call, mark: str) -> Call:
        for name, value in self.marks[int(mark)].items():
            found = _call(f"filter_{name}", found, value=value)
        return found

    def modified(self, modifier: str) -> Call:
        match = _MODIFIER.fullmatch(modifier)
        if match is None:
            raise _NoReadingError
        both, relation, attribute, rest = match.groups()
        further = ""
        if both or " both " not in rest:
            rest, _, further = rest.partition(" and ")
        if (both and not further) or " and " in further:
            raise _NoReadingError("'both' and 'and' do not pair")
        if further and not both and not re.fullmatch(r"(?:the )?(?:other )?N\d+|it", rest):
            raise _NoReadingError("'and' can be read in two ways; say 'both' where its first part begins")
        if relation:
            found = _call("relate", self.the(rest), value=self.marks[int(relation)])
        else:
            found = _call(f"same_{attribute}", self.the(rest))
        return _call("intersect", self.modified(further), found) if further else found

    def query(self, attribute: str, the: str) -> Call:
        return _call(f"query_{attribute}", self.the(the))

    def equal(self, attribute: str, one: str, other: str) -> Call:
        return _call(f"equal_{attribute}", self.query(attribute, one), self.query(attribute, other))

    def count(self, *phrase: str) -> Call:
        return _call("count", self.objects(" ".join(phrase)))

    def exist(self, phrase: str) -> Call:
        return _call("exist", self.objects(phrase))

    def integers(self, comparison: str, one: str, other: str) -> Call:
        return _call(_COMPARISONS[comparison], self.count(one), self.count(other))

    def either(self, mark: str, one: str, other: str) -> Call:
        return _call("count", self.filtered(_call("union", self.objects(one), self.objects(other)), mark))


_FORMS: list[tuple[re.Pattern[str], Callable[..., Call]]] = [
    (re.compile(pattern), build)
    for pattern, build in (
        (rf"there is ((?:an?|another) N\d+{_TAIL}) [;,.] (.+)", _Reader.introduced),
        (f"{_HOW_MANY} {_MANY} are (?:there|visible)", _Reader.count),
        (f"(?:what is the number of|there are how many) {_MANY}", _Reader.count),
        (rf"{_HOW_MANY} ((?:other )?P\d+) are there (.+)", _Reader.count),
        (rf"{_HOW_MANY} ((?:other )?P\d+) ((?:are|have) .+)", lambda r, many, be: r.count(many, "that", be)),
        (rf"{_HOW_MANY} P(\d+) are (?:either )?{_MANY} or {_MANY}", _Reader.either),
        (f"are there any {_MANY}", _Reader.exist),
        (f"are any {_MANY} visible", _Reader.exist),
        (f"is there {_ONE}", _Reader.exist),
        (f"is {_ONE} visible", _Reader.exist),
        (f"are there (an equal|the same) number of {_MANY} and {_MANY}", _Reader.integers),
        (f"are there (fewer|more) {_MANY} than {_MANY}", _Reader.integers),
        (
            f"is the number of {_MANY} (less than|greater than|the same as|equal to) the number of {_MANY}",
            lambda r, one, comparison, other: r.integers(comparison, one, other),
        ),
        (f"what ({_A}) is {_THE}", _Reader.query),
        (f"what is the ({_A}) of {_THE}", _Reader.query),
        (f"what (?:material )?is {_THE} made of", lambda r, the: r.query("material", the)),
        (f"{_THE} is made of what(?: material)?", lambda r, the: r.query("material", the)),
        (f"how big is {_THE}", lambda r, the: r.query("size", the)),
        (f"{_THE} (?:is|has) what ({_A})", lambda r, the, attribute: r.query(attribute, the)),
        (f"do {_THE} and {_THE} have the same ({_A})", lambda r, one, other, a: r.equal(a, one, other)),
        (f"are {_THE} and {_THE} (?:made )?(?:of )?the same ({_A})", lambda r, one, other, a: r.equal(a, one, other)),
        (f"does {_THE} have the same ({_A}) as {_THE}", lambda r, one, a, other: r.equal(a, one, other)),
        (f"is {_THE} (?:made )?(?:of )?the same ({_A}) as {_THE}", lambda r, one, a, other: r.equal(a, one, other)),
        (f"is the ({_A}) of {_THE} the same as (?:the {_A} of )?{_THE}", _Reader.equal),
    )
]
