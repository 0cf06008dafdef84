"""Instance masks: which object each pixel of an image shows, as `vqa data render --masks` writes them.

ROOT/masks/SPLIT/*.png    8-bit gray, the image's size: 0 is the ground, k + 1 the object `scene.objects[k]`
"""

import os
from pathlib import Path

import numpy as np

from vqa.clevr.annotations import check_split
from vqa.clevr.question import safe_filename
from vqa.clevr.scenes import Scene
from vqa.errors import InputError
from vqa.utils.images import load_image


def mask_path(root: str | os.PathLike, split: str, image_filename: str) -> Path:
    """`ROOT/masks/SPLIT/NAME.png` for the image NAME.png or NAME.jpg; it need not exist."""
    name = safe_filename(image_filename, "image_filename")
    return Path(root, "masks", check_split(split), name).with_suffix(".png")


def load_mask(root: str | os.PathLike, split: str, scene: Scene) -> np.ndarray:
    """The instance mask of a scene's image, uint8 (height, width): 0 the ground, k + 1 `scene.objects[k]`.

    Raises InputError if there is none, or if the file is not a mask of this scene.
    """
    path, remedy = mask_path(root, split, scene.image_filename), "make it with `vqa data render --masks`"
    if not path.exists():
        raise InputError(f"{path}: there is no such mask; {remedy}")
    mask = np.asarray(load_image(path))
    if (mask != mask[..., :1]).any() or mask.max() > len(scene.objects):
        raise InputError(f"{path}: not a mask of this scene, whose values are 0 to {len(scene.objects)}; {remedy}")
    return mask[..., 0]
