"""Uploaded images: decoded once, and kept at a size that is soon drawn."""

import numpy as np
import pytest
from PIL import Image

import vqa
from app.http import uploads
from app.http.uploads import DecodedImages
from vqa.utils.resources import shipped

QUESTION = "How many cubes are there?"


def test_an_image_is_decoded_once(tmp_path, monkeypatch):
    path = str(tmp_path / "image.png")
    Image.new("RGB", (60, 40), "red").save(path)
    images = DecodedImages()
    first = images.read(path, "image.png")
    monkeypatch.setattr(uploads, "load_image", None)
    assert images.read(path, "image.png") is first


def test_few_images_are_kept(tmp_path):
    images = DecodedImages()
    for number in range(uploads._KEPT + 3):
        Image.new("RGB", (6, 4)).save(tmp_path / f"{number}.png")
        images.read(str(tmp_path / f"{number}.png"), "image")
    assert len(images._images) == uploads._KEPT


def test_a_large_image_is_kept_small_and_answered_alike(tmp_path):
    large = Image.open(shipped("data/clevr-mini/images/val/CLEVR_val_000001.jpg")).resize((6000, 4000))
    large.save(tmp_path / "large.png", compress_level=1)
    small = DecodedImages().read(str(tmp_path / "large.png"), "large.png")
    assert small.size == (2400, 1600)
    answerer = vqa.load(device="cpu")
    pixels = [answerer.processor.image_processor.to_array(image).astype(int) for image in (large, small)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 3
    answers = [answerer.ask(image, QUESTION) for image in (large, small)]
    assert answers[0].answer == answers[1].answer
    assert answers[0].confidence == pytest.approx(answers[1].confidence, abs=0.01)
