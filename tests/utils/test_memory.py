"""Memory that was freed is kept for the next use."""

import os
import subprocess
import sys

import pytest

_FAULTS = """
import ctypes
import resource
import torch
from vqa.utils.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    some = [torch.ones(700_000) for _ in range(4)]
    del some
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.set_num_threads(1)
ctypes.CDLL(None).mallopt(-3, 131072)  # pages of their own for every tensor, whatever else lies in the heap
faults()
usual = faults()
keep_freed_memory()
[faults() for _ in range(10)]
print(usual, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's alone")
@pytest.mark.parametrize("settings", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}])
def test_pages_are_cleared_once_unless_the_environment_decides(settings: dict[str, str]) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run([sys.executable, "-c", _FAULTS], env=clean | settings, capture_output=True, check=True)
    usual, kept = map(int, found.stdout.split())
    assert usual >= 4  # pages of 2 MB, where the system has such
    assert (kept < usual / 4) == (not settings)
