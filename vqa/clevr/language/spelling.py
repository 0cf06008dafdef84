"""Typing errors: which known words a misspelt one may have been."""

import difflib
from collections.abc import Iterable

KEYS_BESIDE = {
    key: "".join(sorted({row[j] for j in (i - 1, i + 1) if 0 <= j < len(row)}))
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i, key in enumerate(row)
}
"""Letter -> the letters beside it on a QWERTY keyboard."""

_LONG, _ALIKE = 6, 0.8


def corrections(word: str, known: Iterable[str]) -> list[str]:
    """The known words that are one error away, the likeliest first; for long words else the one most alike.

    An error is a letter dropped, added or changed, or two neighbours swapped (Damerau 1964); one that slips to the key
    beside, doubles, or drops half of a double letter comes before others.
    """
    known = list(known)
    near = [(_unlikeliness(word, other), i) for i, other in enumerate(known)]
    found = [known[i] for cost, i in sorted(near) if cost < _FAR]
    if not found and len(word) >= _LONG:
        found = difflib.get_close_matches(word, known, 1, _ALIKE)
    return found


_FAR = 3


def _unlikeliness(wrong: str, right: str) -> int:
    """How odd the error is that makes `wrong` of `right`, 0 to 2; 3 where it takes more than one."""
    if abs(len(wrong) - len(right)) > 1 or wrong == right:
        return _FAR
    i = next((i for i, (a, b) in enumerate(zip(wrong, right, strict=False)) if a != b), min(len(wrong), len(right)))
    if len(wrong) > len(right):
        return (0 if wrong[i] in wrong[i - 1 : i] else 1) if wrong[i + 1 :] == right[i:] else _FAR
    if len(wrong) < len(right):
        return (0 if right[i] in right[i - 1 : i] else 1) if wrong[i:] == right[i + 1 :] else _FAR
    if wrong[i + 1 :] == right[i + 1 :]:
        return 0 if wrong[i] in KEYS_BESIDE.get(right[i], "") else 2
    return 0 if wrong[i : i + 2] == right[i : i + 2][::-1] and wrong[i + 2 :] == right[i + 2 :] else _FAR
