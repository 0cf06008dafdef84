"""Questions that people ask beyond CLEVR's language, read as programs with further functions.

All readings that the grammar (`free_grammar`) has of a question are found, and the first is taken; what it does not
read whole is not read at all. `vqa.inference.further_functions` executes the functions that CLEVR lacks.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from vqa.clevr.language.free_grammar import GRAMMAR
from vqa.clevr.language.free_phrases import NUMBERS, SILENT
from vqa.clevr.language.paraphrase import COMMON, MEANT, OUTSIDE, negated
from vqa.clevr.language.parser import linearize, tokens_of
from vqa.clevr.language.spelling import corrections
from vqa.clevr.programs import Program
from vqa.clevr.vocabulary import ATTRIBUTES, SYNONYMS
from vqa.errors import InputError

_MOST_READINGS = 200
"""Readings of each part of a question that are kept."""

_LONGEST = 45
"""Tokens of a question that is read."""

_SAID = {
    "cube": "cubical cubed",
    "sphere": "round spherical circular",
    "cylinder": "cylindrical",
    "thing": "figure",
    "color": "colors colours",
    "metal": "shiniest",
    "rubber": "nonmetallic",
    "largest": "biggest tallest",
    "smallest": "tiniest shortest littlest",
    "larger": "bigger taller",
    "smaller": "shorter",
    "material": "materials textures",
    "closest": "closet",
    "large": "tall",
    "small": "short",
    "size": "sizes sized",
    "farthest": "furthest",
    "far": "further farther",
    "fewer": "less",
    "hidden": "obscured blocked covered obstructed concealed",
    "mostly": "completely entirely fully partially partly almost nearly slightly",
    "different": "unique distinct differing",
    "everything": "anything",
    **{word: str(n) for n, word in enumerate(NUMBERS, 1)},
}
"""The grammar's word -> others for it, besides CLEVR's and those of `vqa.clevr.language.paraphrase`."""

_MEANT = {"object": "thing", "objects": "things"}
for _value, _names in SYNONYMS.items():
    if any(_value in values for values in ATTRIBUTES.values()):
        _MEANT |= dict.fromkeys(_names, _value) | dict.fromkeys((f"{name}s" for name in _names), f"{_value}s")
_MEANT |= {word: plain for plain, words in _SAID.items() for word in words.split()}


def _meant(word: str) -> str:
    """The grammar's word for one."""
    return " ".join(_MEANT.get(part, part) for part in MEANT.get(word, word).split())


_PLAIN = [
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"\b(?:un|non)(?=metallic|metal|shiny|matte|reflective)", "non "),
        (r"\b(is|are|do|does)n't\b", r"\1 not"),
        (r"\blight blue\b", "cyan"),
        (r"\bshaped like (?=the others|the rest|the other)", "the same shape as "),
        (r"\binfront\b", "in front"),
        (r"\bit is own\b", "its own"),
        (r"^(is|are) their\b", r"\1 there"),
        (r"^that (?=color|shape|material|size)", "what "),
        (r"\b(beside|behind) of\b", r"\1"),
        (r"^are the all (?:of )?(?:the )?", "are all the "),
        (r"\b(?:off )?by itself\b", "alone"),
        (r"\bfarthest alone\b", "alone"),
        (r"\bmost number of\b", "most"),
        (r"\bthen\b", "than"),
        (r"(?<!the )\bright (?=next to|in front of|behind)", ""),
        (r"\bin the middle of (?=the|two|both)", "between "),
        (r"\balmost (?=completely|entirely|fully)|\babout (?=the same)", ""),
        (r"\b(?:are )?(?:visible|present|shown|pictured) (?=that (?:is|are)\b)", ""),
        (r"\bsurface (?=texture|material|finish)", ""),
        (r"[;,] (?=but\b|and\b)", ""),
        (
            r"(?<=different )shapes|(?<=what )shapes|(?<=which )shapes|(?<=types of )shapes|(?<=kinds of )shapes",
            "shape",
        ),
        (r"(?<=different )(shape|color|size)d (?:items|objects|things|shapes)", r"\1"),
        (
            r"\b(cube|block|sphere|ball|cylinder|square|round|cubed?|cubical|spherical|cylindrical) shaped? "
            r"(?=object|item|thing)",
            r"\1 ",
        ),
        (r"\b(?:cubic|cubical|square|cubed) (?:object|item|thing|shape)(s?)\b", r"cube\1"),
        (r"\b(?:round|spherical|sphere|ball) (?:object|item|thing|shape)(s?)\b", r"sphere\1"),
        (r"\b(?:cylindrical|cylinder) (?:object|item|thing|shape)(s?)\b", r"cylinder\1"),
        (r"\bcube (?:object|item|thing|shape)(s?)\b", r"cube\1"),
        (r"[;,] (?=true or false|yes or no)|\b(?:true or false|yes or no)\b", ""),
        (
            r"\b(?:please|also|exactly|total|located|situated|sitting|standing|positioned|placed|sandwiched|directly"
            r"|most likely)\b",
            "",
        ),
        (
            r"\b(?:that are )?(?:visible |shown |present |seen |found |pictured )?(?:in|within|of|on) "
            r"(?:the|this|that)? ?"
            r"(?:image|picture|photo|photograph|pic|scene|frame|group|set|view|grouping|screen|shot)\b",
            "",
        ),
        (r"\b(?:in total|in all|overall|all ?together|here|that you see|that can be seen)\b", ""),
        (r"^(?:do|can) you see\b", "is there"),
        (r"^((?:is|are) there any .*) there$", r"\1"),
        (r"\b(?:(?:can|do) you (?:see|count)|can be seen|(?<!what )(?<!is )(?<!more )(?:is|are) there)$", ""),
        (r"(?<=^how many )(.*) (?:are|is)$", r"\1"),
        (r"\b(?:are |is )?(?:visible|shown|present|displayed|depicted|pictured|appear|combined|together)$", ""),
        (
            r"^(?:there is how many|(?:what is )?(?:the )?(?:combined )?(?:number|count|amount) of|what number of"
            r"|count)\b",
            "how many",
        ),
        (
            r"\bis the number of (.*) (?:greater|more|larger|higher|bigger) than(?: the number of)?\b",
            r"are there more \1 than",
        ),
        (r"\bis the number of (.*) (?:less|fewer|smaller|lower) than(?: the number of)?\b", r"are there fewer \1 than"),
        (r"\bis the number of (.*) (?:the same as|equal to) the number of\b", r"are there as many \1 as"),
    )
]


def read_free(text: str) -> Program | None:
    """The program of a question in free English; None where the grammar does not read it whole.

    Raises InputError for a question that it does not read and that negates something, which no guess keeps.
    """
    for tokens in _spelled(_normal(text)):
        for meaning, end in _Chart(tokens).symbol("Q", 0) if len(tokens) <= _LONGEST else ():
            if end == len(tokens) and not _left_open(meaning):
                return tuple(linearize(meaning, [], {}))
    if negated(text):
        raise InputError(
            f"question: {' '.join(text.split())[:200]!r}: this negation is not read; one that works: "
            "How many things are not red?"
        )
    return None


def _left_open(meaning: Any) -> bool:
    """Whether nothing says what "it" is, or "they"."""
    return meaning.function in ("it", "them") or any(map(_left_open, meaning.inputs))


def _normal(text: str) -> list[str]:
    """Tokens in the grammar's words, without what adds nothing."""
    said = " ".join(tokens_of(re.sub(r"(?<=\w)-(?=\w)", " ", text))).rstrip(" ?!.,;")
    for pattern, meaning in _PLAIN:
        said = " ".join(pattern.sub(meaning, said).split())
    return " ".join("," if token in (";", ".") else _meant(token) for token in said.split()).split()


def _spelled(tokens: list[str]) -> Iterator[tuple[str, ...]]:
    """The tokens as they are; then with those that no rule has corrected, where each may be misspelt."""
    yield tuple(tokens)
    strange = [token for token in tokens if token not in _KNOWN]
    if any(token in COMMON or token in OUTSIDE or token.startswith("un") for token in strange):
        return
    best = {token: next(iter(corrections(token, READ_WORDS)), None) for token in strange if len(token) > 2}
    if strange and len(best) == len(set(strange)) and all(best.values()):
        yield tuple(word for token in tokens for word in _meant(str(best.get(token, token))).split())


@lru_cache(maxsize=1024)
def _symbols(pattern: str) -> tuple[tuple[frozenset[str] | str, bool], ...]:
    """A pattern's parts, each a set of words or a symbol, and whether it may be missing."""
    parts = [(part.rstrip("?"), part.endswith("?")) for part in pattern.split()]
    return tuple(
        (name if name[0].isupper() or name[0] == "!" else frozenset(name.split("|")), may) for name, may in parts
    )


_KNOWN = frozenset(
    word
    for rules in GRAMMAR.values()
    for pattern, _ in rules
    for part, _ in _symbols(pattern)
    if not isinstance(part, str)
    for word in part
)
READ_WORDS = tuple(sorted({*_KNOWN, *_MEANT, *MEANT}))
"""The words that questions may have, beyond those that CLEVR's language has."""


class _Chart:
    """The readings of every part of a question, found once each."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self.tokens = tokens
        self.found: dict[tuple[str, int], list[tuple[Any, int]]] = {}

    def symbol(self, name: str, start: int) -> list[tuple[Any, int]]:
        """What a symbol may mean from a token on, and the token behind."""
        key = name, start
        if key not in self.found:
            self.found[key] = []
            readings: dict[tuple[Any, int], None] = {}
            for pattern, meaning in GRAMMAR[name]:
                for values, end in self._match(_symbols(pattern), start):
                    with suppress(InputError):
                        value = meaning(*values)
                        if value is not None:
                            readings[value, end] = None
            self.found[key] = list(readings)[:_MOST_READINGS]
        return self.found[key]

    def _match(self, parts: tuple, start: int) -> Iterator[tuple[tuple, int]]:
        """The meanings of a pattern's symbols, and the token behind, for every way in which it matches."""
        if not parts:
            yield (), start
            return
        (part, optional), *rest = parts
        if isinstance(part, str) and part[0] == "!":
            if not self.symbol(part[1:], start):
                yield from self._match(tuple(rest), start)
        elif isinstance(part, str):
            for value, end in self.symbol(part, start):
                for values, last in self._match(tuple(rest), end):
                    yield (values if value == SILENT else (value, *values)), last
        elif start < len(self.tokens) and self.tokens[start] in part:
            yield from self._match(tuple(rest), start + 1)
        if optional:
            yield from self._match(tuple(rest), start)
