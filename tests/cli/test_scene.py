"""`vqa scene` as a user types it."""

import json

import numpy as np
from PIL import Image

from vqa.clevr.scenes import Scene
from vqa.cli import main


def test_the_scene_of_an_image(tiny_checkpoint, image_file, tmp_path, capfd):
    arguments = ["scene", str(image_file), "--checkpoint", str(tiny_checkpoint), "--device", "cpu"]
    assert main(arguments) == 0
    assert capfd.readouterr().out.splitlines()[0].endswith(("objects", "object"))
    assert main([*arguments, "--json"]) == 0
    Scene.from_json(json.loads(capfd.readouterr().out))
    assert main([*arguments, "--out", str(tmp_path / "scene.png")]) == 0
    assert Image.open(tmp_path / "scene.png").size == Image.open(image_file).size


def test_what_cannot_be_shown(tiny_checkpoint, tmp_path, capfd):
    assert main(["scene", str(tmp_path / "missing.png"), "--checkpoint", str(tiny_checkpoint)]) == 2
    assert "missing.png" in capfd.readouterr().err


def test_an_image_of_another_kind_is_given_with_its_warning(tmp_path, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    assert main(["scene", str(tmp_path / "noise.png"), "--json", "--device", "cpu"]) == 0  # the shipped model
    out, err = capfd.readouterr()
    Scene.from_json(json.loads(out))
    assert "the image looks unlike those that the model was trained on" in err
