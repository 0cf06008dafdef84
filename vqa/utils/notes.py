"""Notes to the user on standard error: what was taken for what, and what was left out."""

import os
import sys

_said: set[str] = set()


def note(message: str) -> None:
    """Print a note, once in a command and by one process of a distributed run only."""
    if message not in _said and os.environ.get("RANK", "0") == "0":
        _said.add(message)
        print(f"vqa: note: {message}", file=sys.stderr, flush=True)


def begin_notes() -> None:
    """Forget what was said; a command that runs in a process of several begins so."""
    _said.clear()
