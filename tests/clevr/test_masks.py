"""Instance masks: where they stand, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vqa.clevr.image_generation.sample_scenes import sample_layout
from vqa.clevr.masks import load_mask, mask_path
from vqa.errors import InputError

SCENE = replace(sample_layout(0, "val", 0).scene, image_filename="CLEVR_val_000000.jpg")


def save(root, mask):
    path = mask_path(root, "val", SCENE.image_filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def test_a_mask_is_read_as_it_was_written(tmp_path):
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3) % (len(SCENE.objects) + 1)
    save(tmp_path, mask)
    assert (tmp_path / "masks/val/CLEVR_val_000000.png").exists()
    assert np.array_equal(load_mask(tmp_path, "val", SCENE), mask)


def test_what_is_no_mask_of_the_scene_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no such mask.*--masks"):
        load_mask(tmp_path, "val", SCENE)
    save(tmp_path, np.full((2, 3), len(SCENE.objects) + 1, np.uint8))
    with pytest.raises(InputError, match="not a mask of this scene"):
        load_mask(tmp_path, "val", SCENE)
    save(tmp_path, np.array([[[1, 0, 0]]], np.uint8))
    with pytest.raises(InputError, match="not a mask of this scene"):
        load_mask(tmp_path, "val", SCENE)
    mask_path(tmp_path, "val", SCENE.image_filename).write_bytes(b"not an image")
    with pytest.raises(InputError, match="not an image"):
        load_mask(tmp_path, "val", SCENE)
    with pytest.raises(InputError):
        mask_path(tmp_path, "val", "../../secret.png")
