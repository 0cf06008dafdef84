"""Typing errors: which known words a misspelt one may have been."""

from collections.abc import Sequence

from rapidfuzz import process
from rapidfuzz.distance import OSA, Indel

KEYS_BESIDE = {
    key: "".join(sorted({row[j] for j in (i - 1, i + 1) if 0 <= j < len(row)}))
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i, key in enumerate(row)
}
"""Letter -> the letters beside it on a QWERTY keyboard."""

_LONG, _ALIKE = 6, 0.7999
"""Letters from which on a word may hold several errors, and how alike the two must be: four fifths, less rounding."""


def corrections(word: str, known: Sequence[str]) -> list[str]:
    """The known words that are one error away, the likeliest first; for long words else the one most alike.

    An error is a letter dropped, added or changed, or two neighbors swapped (Damerau 1964); one that slips to the key
    beside, doubles, or drops half of a double letter comes before others.
    """
    near = process.extract(word, known, scorer=OSA.distance, score_cutoff=1, limit=None)
    found = sorted((_unlikeliness(word, other), i, other) for other, distance, i in near if distance == 1)
    if not found and len(word) >= _LONG:
        best = process.extractOne(word, known, scorer=Indel.normalized_similarity, score_cutoff=_ALIKE)
        return [best[0]] if best else []
    return [other for _, _, other in found]


def _unlikeliness(wrong: str, right: str) -> int:
    """How odd the one error is that makes `wrong` of `right`: 0, 1 or 2."""
    i = next((i for i, (a, b) in enumerate(zip(wrong, right, strict=False)) if a != b), min(len(wrong), len(right)))
    if len(wrong) != len(right):
        longer = max(wrong, right, key=len)
        return int(longer[i] != longer[i - 1 : i])
    if wrong[i + 1 :] != right[i + 1 :]:
        return 0  # two neighbors swapped
    return 0 if wrong[i] in KEYS_BESIDE.get(right[i], "") else 2
