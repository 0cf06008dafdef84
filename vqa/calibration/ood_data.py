"""Images and questions out of CLEVR's distribution, to measure how many of them a model detects.

All are drawn from a seed, made from CLEVR images, or part of installed packages; nothing is downloaded.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vqa.utils.images import load_image

_PHOTOGRAPHS = {
    "skimage": (
        "data",
        "astronaut brick camera chelsea clock_motion coffee coins color grass gravel hubble_deep_field ihc moon "
        "motorcycle_left motorcycle_right retina rocket",
    ),
    "sklearn": ("datasets/images", "china flower"),
}

_SIZE = (480, 320)
_TILES = (4, 4)

QUESTIONS = Path(__file__).with_name("ood_questions.txt").read_text("utf-8").splitlines()
"""Questions outside CLEVR's language: about other things, of other kinds, in other languages, and no questions."""


def photographs() -> list[Image.Image]:
    """The photographs in the packages of scikit-image and scikit-learn, empty if these are not installed."""
    found = []
    for package, (folder, names) in _PHOTOGRAPHS.items():
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            files = {path.stem: path for path in Path(place, folder).iterdir()}
            found += [load_image(files[name]) for name in names.split() if name in files]
    return found


def empty_scenes(images: Sequence[Image.Image], number: int, seed: int) -> list[Image.Image]:
    """CLEVR's ground without objects: each is the median, pixel by pixel, of a random half of the images."""
    stack = np.stack([np.asarray(image.resize(_SIZE)) for image in images])
    rng = np.random.default_rng((seed, 1))
    some = [rng.choice(len(stack), max(1, len(stack) // 2), replace=False) for _ in range(number)]
    return [Image.fromarray(np.median(stack[chosen], 0).astype(np.uint8)) for chosen in some]


def shuffled_tiles(images: Sequence[Image.Image], seed: int) -> list[Image.Image]:
    """Each image cut into 4 x 4 tiles in a random order."""
    rng = np.random.default_rng((seed, 2))
    rows, columns = _TILES
    shuffled = []
    for image in images:
        pixels = np.asarray(image)
        height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
        tiles = pixels[: rows * height, : columns * width].reshape(rows, height, columns, width, 3).swapaxes(1, 2)
        order = rng.permutation(rows * columns)
        mixed = tiles.reshape(-1, height, width, 3)[order].reshape(rows, columns, height, width, 3)
        shuffled.append(Image.fromarray(mixed.swapaxes(1, 2).reshape(rows * height, columns * width, 3)))
    return shuffled


def drawings(number: int, seed: int) -> list[Image.Image]:
    """Flat boxes, discs, triangles and lines on a plain background."""
    rng = np.random.default_rng((seed, 3))
    width, height = _SIZE
    made = []
    for i in range(number):
        paper = (255, 255, 255) if i % 2 else tuple(int(v) for v in rng.integers(100, 256, 3))
        image = Image.new("RGB", _SIZE, paper)
        pen = ImageDraw.Draw(image)
        for _ in range(int(rng.integers(3, 11))):
            x, y, size = (int(v) for v in rng.integers((0, 0, 20), (width - 60, height - 60, 120)))
            color = tuple(int(v) for v in rng.integers(0, 256, 3))
            match int(rng.integers(4)):
                case 0:
                    pen.rectangle((x, y, x + size, y + size), color, (0, 0, 0), 2)
                case 1:
                    pen.ellipse((x, y, x + size, y + size), color, (0, 0, 0), 2)
                case 2:
                    pen.polygon([(x, y + size), (x + size, y + size), (x + size // 2, y)], color, (0, 0, 0))
                case _:
                    pen.line((x, y, x + size, y + size), color, 4)
        made.append(image)
    return made


def noise(number: int, seed: int) -> list[Image.Image]:
    """Random pixels, of full or lower contrast, fine or coarse."""
    rng = np.random.default_rng((seed, 4))
    width, height = _SIZE
    made = []
    for i in range(number):
        grain = (1, 4, 16)[i % 3]
        pixels = rng.normal(128, rng.uniform(20, 80), (height // grain, width // grain, 3))
        made.append(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).resize(_SIZE))
    return made


def plain_colors(number: int, seed: int) -> list[Image.Image]:
    """Images of one color each, CLEVR's gray among them."""
    rng = np.random.default_rng((seed, 5))
    colors = [(128, 128, 128), (255, 255, 255), (0, 0, 0), *map(tuple, rng.integers(0, 256, (number, 3)).tolist())]
    return [Image.new("RGB", _SIZE, color) for color in colors[:number]]
