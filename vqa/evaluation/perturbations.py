"""Perturbations of images and questions: compression, borders, screenshots, blur, noise, typing errors, synonyms.

A perturbation's name is that of its kind and an amount, such as "jpeg30" or "screenshot1.25"; a kind alone has the
amount that `KINDS` says. The same seed, image and question give the same result, whatever else a set holds.
"""

import hashlib
import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from vqa.clevr.language.spelling import KEYS_BESIDE
from vqa.clevr.vocabulary import SYNONYMS
from vqa.errors import InputError

_GRAY = (128, 128, 128)
_WORD = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True)
class Kind:
    """A kind of perturbation: what it changes, its usual amount, the range of amounts, and a sentence about it."""

    change: Callable[[Any, float, random.Random], Any]
    amount: float
    low: float
    high: float
    about: str
    of_questions: bool = False


@dataclass(frozen=True)
class Perturbation:
    """One kind by one amount, drawn by `seed`; made by `make_perturbation`."""

    name: str
    seed: int
    kind: Kind
    amount: float

    def image(self, image: Image.Image, key: str) -> Image.Image:
        """An RGB image after the perturbation; `key` names it, such as by its file name."""
        return image if self.kind.of_questions else self.kind.change(image, self.amount, self._random(key))

    def question(self, text: str, key: str) -> str:
        """A question after the perturbation; `key` names its image."""
        return self.kind.change(text, self.amount, self._random(key, text)) if self.kind.of_questions else text

    def _random(self, *key: str) -> random.Random:
        digest = hashlib.sha256("\0".join((self.name, str(self.seed), *key)).encode()).digest()
        return random.Random(int.from_bytes(digest[:8]))


def make_perturbation(name: str, seed: int = 0) -> Perturbation:
    """The perturbation of that name. Raises InputError for an unknown kind and an amount out of its range."""
    match = re.fullmatch(r"([a-z]+)(\d{1,4}(?:\.\d{1,3})?)?", name)
    kind = KINDS.get(match[1]) if match else None
    if match is None or kind is None:
        raise InputError(
            f"--perturb {name!r:.40}: there are {', '.join(KINDS)}; most take an amount, such as jpeg30 or border96"
        )
    amount = kind.amount if match[2] is None else float(match[2])
    if not kind.low <= amount <= kind.high:
        raise InputError(f"--perturb {name}: the amount of {match[1]} lies from {kind.low:g} to {kind.high:g}")
    return Perturbation(name, seed, kind, amount)


def _jpeg(image: Image.Image, quality: float, rng: random.Random) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=round(quality))
    return Image.open(buffer).convert("RGB")


def _border(image: Image.Image, width: float, rng: random.Random) -> Image.Image:
    return ImageOps.expand(image, round(width), _GRAY)


def _square(image: Image.Image, side: float, rng: random.Random) -> Image.Image:
    return ImageOps.pad(image, (round(side), round(side)), Image.Resampling.BICUBIC, color=(0, 0, 0))


def _screenshot(image: Image.Image, scale: float, rng: random.Random) -> Image.Image:
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR)


def _width(image: Image.Image, width: float, rng: random.Random) -> Image.Image:
    size = (round(width), max(1, round(image.height * width / image.width)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _blur(image: Image.Image, radius: float, rng: random.Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def _noise(image: Image.Image, deviation: float, rng: random.Random) -> Image.Image:
    pixels = np.asarray(image, float)
    noise = np.random.default_rng(rng.getrandbits(64)).normal(0, deviation, pixels.shape)
    return Image.fromarray(np.clip(np.round(pixels + noise), 0, 255).astype(np.uint8))


def _brightness(image: Image.Image, factor: float, rng: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _typo(text: str, number: float, rng: random.Random) -> str:
    """A typing error in each of `number` words: letters swapped, one dropped, doubled, or the key beside it."""
    words = list(_WORD.finditer(text))
    for match in sorted(rng.sample(words, min(round(number), len(words))), key=lambda m: m.start(), reverse=True):
        word, kind = match[0], rng.choice(("swap", "drop", "double", "beside"))
        i = rng.randrange(len(word))
        unlike = [j for j in range(len(word) - 1) if word[j].lower() != word[j + 1].lower()]
        if kind == "swap" and unlike:
            i = rng.choice(unlike)
            wrong = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        elif kind == "drop":
            wrong = word[:i] + word[i + 1 :]
        elif kind == "beside":
            wrong = word[:i] + rng.choice(KEYS_BESIDE[word[i].lower()]) + word[i + 1 :]
        else:
            wrong = word[:i] + word[i] + word[i:]
        text = text[: match.start()] + wrong + text[match.end() :]
    return text


def _synonyms(text: str, share: float, rng: random.Random) -> str:
    """CLEVR's own synonyms, each word that has some exchanged with the probability `share`."""

    def other(match: re.Match[str]) -> str:
        word = match[0]
        choices = _OTHERS.get(word.lower())
        if not choices or rng.random() >= share:
            return word
        chosen = rng.choice(choices)
        return chosen.capitalize() if word[0].isupper() else chosen

    return _WORD.sub(other, text)


def _casual(text: str, number: float, rng: random.Random) -> str:
    """Lower case, no punctuation but what parts sentences, British spelling, and the short forms of messages."""
    text = re.sub(r"[?!.]+$", "", text.strip().lower())
    for formal, short in (("what is", "whats"), (r"\bcolor", "colour"), (r"\bgray\b", "grey"), (r"\bare\b", "r")):
        text = re.sub(formal, short, text)
    return text


def _alternatives() -> dict[str, list[str]]:
    groups = [list(words) for words in SYNONYMS.values()]
    groups += [["thing", "object"]]
    plurals = {"cube", "block", "sphere", "ball", "cylinder", "thing", "object"}
    groups += [[f"{word}s" for word in group] for group in groups if plurals.issuperset(group)]
    return {word: [other for other in group if other != word] for group in groups for word in group if len(group) > 1}


_OTHERS = _alternatives()

KINDS = {
    "jpeg": Kind(_jpeg, 30, 1, 95, "JPEG compression of that quality"),
    "border": Kind(_border, 96, 1, 2000, "gray borders, that many pixels wide on every side"),
    "square": Kind(_square, 320, 16, 4000, "scaled into a black square of that side"),
    "screenshot": Kind(_screenshot, 1.25, 0.1, 8, "resampled by that factor, as displays do"),
    "width": Kind(_width, 240, 16, 4000, "scaled to that width in pixels"),
    "blur": Kind(_blur, 1, 0.1, 50, "Gaussian blur of that radius in pixels"),
    "noise": Kind(_noise, 5, 0.1, 255, "Gaussian noise of that standard deviation, of 255"),
    "brightness": Kind(_brightness, 0.8, 0.05, 5, "brightness times that factor"),
    "typo": Kind(_typo, 1, 1, 20, "typing errors in that many words of a question", True),
    "synonyms": Kind(_synonyms, 1, 0.01, 1, "that share of the words exchanged for CLEVR's synonyms of them", True),
    "casual": Kind(_casual, 1, 1, 1, 'typed as in a message: "whats the color of the big ball"', True),
}
"""Kind -> what it does."""
