"""Drawings of an answer's weights: channel strips as SVG, shaded words, and places lit in the image."""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from PIL import Image, ImageDraw

from vqa.clevr.image_generation.camera import PIXEL_FRAME, object_disc
from vqa.inference.predicted_scene import PredictedScene

_LONGER_SIDE = 300
_DIMMED = 0.42  # brightness of what is not lit
_SPREAD = 0.4  # standard deviation of an object's light, in radii: chosen on training images, see docs/explanations.md
_FAINT = 0.04  # below this probability an object is not lit


@dataclass(frozen=True)
class Scale:
    """How channel weights are colored: blank at `centre`, fully from `reach` below and above it on."""

    centre: float
    reach: float

    @classmethod
    def fit(cls, values: Iterable[np.ndarray], centre: float) -> "Scale":
        """One scale for all blocks: it reaches past nine tenths of the weights, to a round number."""
        distances = np.abs(np.concatenate(list(values)) - centre)
        reach = max(float(np.quantile(distances, 0.9)), 1e-3)
        power = 10 ** math.floor(math.log10(reach))
        return cls(centre, next(n * power for n in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if n * power >= reach * 0.999))

    def strength(self, value: float) -> float:
        """Signed strength of color, -1 to 1."""
        return max(-1.0, min(1.0, (value - self.centre) / self.reach))


def strip(values: np.ndarray, scale: Scale) -> Markup:
    """Channel weights (C,) as a row of C colored cells."""
    cells = []
    for channel, value in enumerate(values.tolist()):
        strength = scale.strength(value)
        if abs(strength) > 0.01:
            side = "up" if strength > 0 else "down"
            cells.append(f'<rect x="{channel}" class="{side}" opacity="{abs(strength):.2g}"/>')
    return Markup(
        f'<svg viewBox="0 0 {len(values)} 1" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f"{''.join(cells)}</svg>"
    )


def shaded_words(words: Sequence[str], weights: np.ndarray, unknown: Iterable[str] = ()) -> Markup:
    """Words, each as dark as its weight; unknown ones are underlined. Color goes with the square root of the weight,
    so that a word with a tenth of it can still be seen."""
    unread = set(unknown)
    spans = []
    for word, weight in zip(words, weights.tolist(), strict=True):
        mark = ' class="unknown"' if word in unread else ""
        hint = f"{weight:.0%}" + (", a word the model does not know" if mark else "")
        spans.append(f'<span{mark} style="--w:{math.sqrt(max(weight, 0)):.2f}" title="{hint}">{escape(word)}</span>')
    most = sorted(zip(weights.tolist(), words, strict=True), reverse=True)[:3]
    spoken = ", ".join(f"{word} {weight:.0%}" for weight, word in most)
    return Markup(f'<p class="words" role="img" aria-label="Words read most: {escape(spoken)}">{" ".join(spans)}</p>')


def object_light(spatial: np.ndarray, seen: PredictedScene, width: int, height: int) -> np.ndarray:
    """Object attention over an image: (height, width), 0 to 1.

    Every object that the model sees shines where and as large as it is seen, as brightly as the map `spatial` (h, w)
    over the model's grid attends to it.
    """
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    light = np.zeros((height, width))
    for item in seen.candidates:
        attended = min(float(sum(spatial[cell] for cell in item.cells)), 1.0)
        if attended > _FAINT:
            away = (x - item.center[0] * width) ** 2 + (y - item.center[1] * height) ** 2
            # the model sees an image of another ratio within a frame of CLEVR's
            radius = object_disc(item.as_object())[2] / PIXEL_FRAME[0] * max(width, 1.5 * height)
            light = np.maximum(light, attended * np.exp(-away / (2 * (_SPREAD * radius) ** 2)))
    return light


def lit_places(image: Image.Image, spatial: np.ndarray, seen: PredictedScene) -> Image.Image:
    """The image, dark but for `object_light`."""
    return _lit(image, object_light(spatial, seen, *_small_size(image)))


def lit_smoothly(image: Image.Image, heat: np.ndarray, box: tuple[float, float, float, float]) -> Image.Image:
    """The image, as bright as `heat` (h, w), 0 to 1, between whose cells the light goes over smoothly."""
    (width, height), (rows, columns), (start, top, end, bottom) = _small_size(image), heat.shape, box
    x = (start + (np.arange(width) + 0.5) / width * (end - start)) * columns - 0.5
    y = (top + (np.arange(height) + 0.5) / height * (bottom - top)) * rows - 0.5
    x, y = np.clip(x, 0, columns - 1), np.clip(y, 0, rows - 1)
    left, top = np.minimum(x.astype(int), max(columns - 2, 0)), np.minimum(y.astype(int), max(rows - 2, 0))
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    across = heat[:, left] * (1 - (x - left)) + heat[:, right] * (x - left)
    light = across[top] * (1 - (y - top))[:, None] + across[bottom] * (y - top)[:, None]
    return _lit(image, np.clip(light, 0, 1))


def ring_objects(image: Image.Image, discs: np.ndarray, chosen: Iterable[int]) -> Image.Image:
    """The image with rings around the `chosen` of discs (M, 4); see `vqa.explain.object_regions.discs_of`."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for i in chosen:
        x, y, radius = discs[i, 0] * image.width, discs[i, 1] * image.height, discs[i, 2] * image.width + 3
        for grow, color, width in ((1, "#000000", 5), (0, "#ffffff", 3)):
            reach = radius + grow
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=color, width=width)
    return image


def _small_size(image: Image.Image) -> tuple[int, int]:
    scale = _LONGER_SIDE / max(image.size)
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def small(image: Image.Image) -> Image.Image:
    """The image at the size of the other drawings."""
    return image.resize(_small_size(image), Image.Resampling.BILINEAR)


def _lit(image: Image.Image, light: np.ndarray) -> Image.Image:
    pixels = np.asarray(small(image), dtype=float)
    gray = pixels.mean(2, keepdims=True) * _DIMMED
    return Image.fromarray((gray + (pixels - gray) * light[..., None]).round().astype(np.uint8))


def data_uri(image: Image.Image) -> str:
    """A small image as a data URI, so that no visitor's file has to be served."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
