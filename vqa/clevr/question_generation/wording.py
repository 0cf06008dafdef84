"""Putting filled templates into words: one question, or many of a family at once."""

import random
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from vqa.clevr.question_generation.templates import PARAMETER, Template
from vqa.clevr.vocabulary import ATTRIBUTES, RELATIONS, SYNONYMS

_WORDS = {"thing": ("thing", "object"), **SYNONYMS}
_OPTIONAL = re.compile(r"\[([^][]*)\]")
_OTHER = re.compile(r"\banother |\bother ")
_VOWEL = re.compile(r"[Aa] [aeiou]")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


def text_of(template: Template, values: Iterable[str | None], rng: random.Random) -> str:
    """One of the template's wordings that say these values, with one of the synonyms for each."""
    said = dict(zip(template.slots, values, strict=True))
    words = dict.fromkeys(template.parameters, "")
    for name, value in said.items():
        if value is None and template.parameters[name] == "shape":
            value = said[name] = "thing"
        words[name] = rng.choice(_WORDS[value]) if value in _WORDS else value or ""
    text = rng.choice(template.texts)
    if template.pair and _OTHER.search(text):
        pairs = [(said[one], said[other]) for one, other in zip(*template.pair, strict=True)]
        apart = [bool(one and other and one != other) for one, other in pairs]
        vague = "thing" in pairs[-1]
        if any(apart[:-1]) or (apart[-1] and (not vague or rng.random() < 0.5)):
            text = _without_other(text)
    pieces: list[str] = []
    for i, part in enumerate(_pieces(text)):
        if i % 2 == 0 or rng.random() < 0.5:
            pieces += [words.get(piece, piece) for piece in part]
    return _tidy("".join(pieces))


def _table(values: Iterable[str]) -> np.ndarray:
    """Each value's words, (V, 6): a row is two, three or six times all of its synonyms."""
    synonyms = [_WORDS.get(value, (value,)) for value in values]
    return np.array([words * (6 // len(words)) for words in synonyms], object)


_TABLES = {name: _table(("thing" if name == "shape" else "", *values)) for name, values in ATTRIBUTES.items()}
_TABLES["relation"] = _table(("", *RELATIONS))


def texts_of(template: Template, values: Mapping[str, np.ndarray], number: int, rng: np.random.Generator) -> list[str]:
    """As `text_of`, of several questions; `values` are numbers, (number,), for each of the template's slots.

    A number is that of the attribute's value or of the relation, from 1 on; 0 says nothing.
    """
    words = {name: [""] * number for name in template.parameters}
    for name, value in values.items():
        words[name] = _TABLES[template.parameters[name]][value, rng.integers(6, size=number)].tolist()
    apart = np.zeros(number, bool)
    if template.pair:
        *pairs, shapes = [(values[one], values[other]) for one, other in zip(*template.pair, strict=True)]
        vague = (shapes[0] == 0) | (shapes[1] == 0)
        apart = (shapes[0] != shapes[1]) & (~vague | (rng.random(number) < 0.5))
        for one, other in pairs:
            apart |= (one != other) & (one > 0) & (other > 0)
    wordings = [[_pieces(text), _pieces(_without_other(text))] for text in template.texts]
    chosen, coins = rng.integers(len(wordings), size=number).tolist(), rng.integers(1 << 30, size=number).tolist()
    found = []
    for i, (wording, shorter, coin) in enumerate(zip(chosen, apart.tolist(), coins, strict=True)):
        pieces: list[str] = []
        for j, part in enumerate(wordings[wording][shorter]):
            if j % 2 == 0 or coin >> j & 1:
                pieces += [words[piece][i] if piece in words else piece for piece in part]
        found.append(_tidy("".join(pieces)))
    return found


@lru_cache(maxsize=1 << 12)
def _pieces(text: str) -> list[list[str]]:
    """A wording's parts, alternately required and optional, each split into literals and parameters."""
    return [[piece for piece in re.split(f"({PARAMETER.pattern})", part) if piece] for part in _OPTIONAL.split(text)]


@lru_cache(maxsize=1 << 12)
def _without_other(text: str) -> str:
    """A wording without "other", for objects that the words tell apart already; a coin decides for a "thing"."""
    return _OTHER.sub(lambda match: "a " if match[0] == "another " else "", text)


def _tidy(text: str) -> str:
    text = " ".join(text.split())
    for mark in "?;,.":
        text = text.replace(f" {mark}", mark)
    return _ARTICLE.sub(r"\1n ", text) if _VOWEL.search(text) else text
