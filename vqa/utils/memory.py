"""What the C library does with memory that was freed."""

import ctypes
import os
import sys

_TRIM, _MMAP = -1, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Have glibc keep up to 256 MB of freed memory, in the whole process, unless its MALLOC_ variables say otherwise.

    It would hand each large tensor back to the system, which clears its pages when they are asked for again.
    """
    set_already = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys()
    mallopt = None if set_already or sys.platform != "linux" else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM, 256 << 20)
        mallopt(_MMAP, 32 << 20)
