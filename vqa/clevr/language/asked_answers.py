"""Which answers a question asks for, by its wording alone."""

import re

from vqa.clevr.language.parser import tokens_of
from vqa.clevr.vocabulary import ANSWERS, ATTRIBUTES, MAX_OBJECTS

_TRUTHS = ("yes", "no")
_NAMES = tuple(answer for answer in ANSWERS if answer not in _TRUTHS and not answer.isdigit())
_AUXILIARY = "(?:is|are|do|does|did|has|have|was|were|can|could|will|would|should)"
_RULES: list[tuple[str, tuple[str, ...] | None]] = [
    (
        r"\bhow many\b|\bwhat (?:is )?(?:the )?(?:\w+ )?(?:number|amount|difference)\b|^count\b",
        ANSWERS[: MAX_OBJECTS + 1],
    ),
    (r"\b(?:what|which) (?:object|thing|item|one|block)s?\b", _NAMES),
    (r"\b(?:what|which) (?:is |are )?(?:the )?(?:\w+ ){0,3}?(size|color|material|shape)(?:s|ed)?\b", None),
    (r"\bmade (?:out )?(?:of|from) what\b|\b(?:what|which)\b.*\bmade (?:out )?(?:of|from)$", ATTRIBUTES["material"]),
    (r"\bhow (?:big|large|small|tall)\b", ATTRIBUTES["size"]),
    (r"\b(?:what|which|where|who)\b", _NAMES),
    (rf"^(?:.*[;,.] )?{_AUXILIARY}\b(?!.*\bor\b)", _TRUTHS),
]
"""Wording -> the answers that it asks for; None for those of the attribute that it names. The first that fits."""


def asked_answers(text: str) -> tuple[str, ...]:
    """Those of CLEVR's answers that a question may have: numbers for "how many", colors for "what color"."""
    said = " ".join(tokens_of(text)).rstrip(" ?!.")
    for pattern, answers in _RULES:
        if match := re.search(pattern, said):
            return ATTRIBUTES[match[1]] if answers is None else answers
    return ANSWERS
