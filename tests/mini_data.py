"""A small set with scenes and programs, shared by the tests of explanations."""

import pytest

from vqa.clevr.dataset.loading import open_data
from vqa.inference.answerer import load
from vqa.utils.resources import shipped


@pytest.fixture(scope="session")
def mini(tmp_path_factory):
    return open_data(shipped("data/clevr-mini"), "val", cache=tmp_path_factory.mktemp("mini"))


@pytest.fixture(scope="session")
def answerer(tiny_checkpoint):
    return load(tiny_checkpoint, "cpu")
