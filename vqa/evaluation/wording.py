"""The type of a question from its wording alone, for questions that have no program."""

import re

from vqa.clevr.language import words_of

_RULES = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\bhow many\b|\bwhat (?:is the )?(?:total )?(?:number|amount)\b|^count\b", "count"),
        (
            r"\b(?:more|fewer|less|greater)\b.*\bthan\b|\b(?:same|equal) (?:number|amount)s?\b"
            r"|\bnumber of\b.*\b(?:same as|equal to)\b|\bas many\b",
            "compare integer",
        ),
        (r"\b(?:what|which)\b|\bhow (?:big|large|small)\b", "query attribute"),
        (r"\b(?:is|are) (?:there|any)\b|\b(?:any|an?|another)\b.*\bvisible\b", "exist"),
        (
            r"\bsame\b.*\b(?:size|color|material|shape|as)\b|\b(?:sizes?|colors?|materials?|shapes?)\b.*\b(?:same|match)\b",
            "compare attribute",
        ),
    )
]


def type_from_wording(text: str) -> str | None:
    """One of `vocabulary.QUESTION_TYPES`, or None where the words point to none of them.

    The first rule that fits decides. Questions in the forms of CLEVR and CLOSURE get the type of their program;
    people's own questions (CLEVR-Humans) have no types to compare with.
    """
    said = " ".join(words_of(text))
    return next((name for pattern, name in _RULES if pattern.search(said)), None)
