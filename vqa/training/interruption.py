"""Ctrl-C and SIGTERM, answered between steps only: a state saved in the midst of a step would be of two."""

import os
import signal
import threading
from typing import Any


class Interruption:
    """A context that notes SIGINT and SIGTERM in `asked` instead of raising; whoever holds it looks there.

    A second signal raises SystemExit(130) at once, for whoever cannot wait. Outside the main thread signals stay as
    they are, since Python handles them there only.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        self.asked = False
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, *_: object) -> None:
        if self.asked:
            raise SystemExit(130)
        self.asked = True
        os.write(2, b"\nvqa: stopping after this step; once more stops at once, without saving\n")
