"""What all tests share."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub: no test asks the network
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # as the command line does, of which this process runs many
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one of several test processes: a core each

import numpy as np
import pytest
from hypothesis import settings

pytest_plugins = ["small_data", "mini_data"]

settings.register_profile("vqa", deadline=None)
settings.load_profile("vqa")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Converted data goes to a folder of the test, never to the user's cache."""
    monkeypatch.setenv("VQA_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tiny():
    """Overrides that make a preset small enough for tests."""
    return ("width=16", "text_dim=32", "word_dim=8", "num_blocks=3", "stem_widths=8,16", "image_size=32x48")


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny, tmp_path_factory):
    """A folder with a small film-qcse model of random weights, and its processor. Copy it before you change it."""
    import torch

    from vqa.model.presets import build_config, build_model, build_processor

    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = build_config("film-qcse-1", tiny)
    build_model(config).save_pretrained(folder)
    build_processor(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def image_file(tmp_path_factory):
    """A PNG of 480 x 320 pixels, RGBA as CLEVR's are."""
    from PIL import Image

    path = tmp_path_factory.mktemp("picture") / "CLEVR_val_000000.png"
    pixels = np.random.default_rng(0).integers(0, 256, (320, 480, 4), np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(path)
    return path
