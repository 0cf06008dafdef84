"""What all tests share."""

import pytest
from hypothesis import settings

settings.register_profile("vqa", deadline=None)
settings.load_profile("vqa")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Converted data goes to a folder of the test, never to the user's cache."""
    monkeypatch.setenv("VQA_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
