"""Opening images that may be broken or hostile."""

import io
import os
import re
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from vqa.errors import InputError

MAX_PIXELS = 64_000_000
"""Larger images are refused from their header: decoded they would take 192 MB and more."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *["AVIF"] * bool(features.check("avif")))
"""What is read; Pillow knows more, and some of those start other programs."""

_BACKDROP = (127, 127, 127)

_PLAIN, _APART, _SHARE, _NARROW, _BLOCK = 2, 4, 0.2, 0.03, 9
"""A border's values (0 to 255) differ by `_PLAIN` at most; in the `_BLOCK` rows (of a JPEG block) after it more than
`_SHARE` of the pixels differ from it by more than `_APART`; it is wider than `_NARROW` of the side."""


def load_image(source: str | os.PathLike | bytes | IO[bytes], name: str | None = None) -> Image.Image:
    """Read an image from a path, bytes or an open file as upright RGB (see `to_rgb`); `name` stands in messages.

    Raises InputError: no such file, not an image, more than `MAX_PIXELS` (before decoding), damaged or cut short.
    """
    if isinstance(source, str | os.PathLike):
        name = name or os.fspath(source)
        if re.match("https?://", name):
            raise InputError(f"{name:.200}: is a URL; download it first, and give the file")
        try:
            with Path(source).open("rb") as file:
                return _decode(file, name)
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    name = name or str(getattr(source, "name", "image"))
    return _decode(io.BytesIO(source) if isinstance(source, bytes) else source, name)


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright RGB: turned as its EXIF orientation says, 16 bits scaled to 8, transparency laid over mid-gray."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            image = Image.alpha_composite(Image.new("RGBA", image.size, (*_BACKDROP, 255)), image)
    return image.convert("RGB")


def resize_image(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """An RGB image as uint8 `(H, W, 3)` of `size` (H, W), antialiased; another aspect ratio is squashed to fit."""
    height, width = size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.array(image)


def content_box(image: Image.Image) -> tuple[int, int, int, int]:
    """An RGB image without plain borders: left, top, right, bottom in pixels.

    A border's rows (or columns) are all of one color, and make up three hundredths of the side or more; CLEVR's
    backdrop varies more, or fades into the rest. Where less than a quarter of the width or height would be left, the
    image has no border, and the whole is taken.
    """
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    if (top := _plain_rows(pixels)) == height:
        return 0, 0, width, height
    bottom = height - _plain_rows(pixels[top:][::-1])
    columns = pixels[top:bottom].swapaxes(0, 1)
    left = _plain_rows(columns)
    right = width - _plain_rows(columns[left:][::-1])
    if 4 * (right - left) < width or 4 * (bottom - top) < height:
        return 0, 0, width, height
    return left, top, right, bottom


def _plain_rows(pixels: np.ndarray) -> int:
    """How many rows from the first on are a border."""
    low, high = np.full(3, 255, np.uint8), np.zeros(3, np.uint8)
    for number, row in enumerate(pixels):
        lower, higher = np.minimum(low, row.min(0)), np.maximum(high, row.max(0))
        if (higher - lower).max() > _PLAIN:
            if number <= _NARROW * len(pixels):
                return 0
            inside = pixels[number : number + _BLOCK].astype(int)
            away = (np.abs(inside - (low.astype(int) + high) / 2) > _APART).any(2).mean(1).max()
            return number if away > _SHARE else 0
        low, high = lower, higher
    return len(pixels)


def parse_size(text: str) -> tuple[int, int]:
    """ "160x240" as (height, width). Raises InputError unless both are from 8 to 4096."""
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 8 <= min(size) <= max(size) <= 4096:
        raise InputError(f"size {text!r:.40}: expected height x width from 8 to 4096 pixels, such as 160x240")
    return size


def _decode(file: IO[bytes], name: str) -> Image.Image:
    try:
        with warnings.catch_warnings(action="ignore"):  # of sizes, refused below, and of odd metadata
            image = Image.open(file, formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{width} x {height}")
            return to_rgb(image)
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: more than the {MAX_PIXELS:,} pixels allowed; scale the image down") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not an image of a known kind ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile bytes
        raise InputError(f"{name}: the image is damaged or cut short: {error}") from error
