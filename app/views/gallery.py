"""The shipped images as buttons."""

from collections.abc import Sequence

from PIL import Image

from app.examples import Example
from app.views.render import render
from vqa.explain.drawing import data_uri
from vqa.utils.images import load_image

_BUTTON = (132, 88)


def gallery(examples: Sequence[Example], title: str) -> str:
    """The images, each with its scene in words."""
    images = [(thumbnail(load_image(example.path), _BUTTON), example.description) for example in examples]
    return render("gallery", examples=images, title=title)


def thumbnail(image: Image.Image, size: tuple[int, int]) -> str:
    """A small image as a data URI."""
    return data_uri(image.resize(size, Image.Resampling.LANCZOS))
