"""Processes, precision and interruption.

Ctrl-C and SIGTERM are answered between steps only: a state saved within a step would be a mix of two.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn
from tqdm import tqdm

NO_ACCELERATOR = not torch.accelerator.is_available()
"""Passed to accelerate as `cpu`, which otherwise connects no processes on a machine without GPU."""


def processes() -> PartialState:
    """The processes of this run."""
    return PartialState(cpu=NO_ACCELERATOR)


def warn(message: str) -> None:
    """Print a warning, in the main process only."""
    if processes().is_main_process:
        tqdm.write(f"vqa: warning: {message}", file=sys.stderr)


class Interruption:
    """A context that notes SIGINT and SIGTERM in `asked` instead of raising; its user looks there.

    A second signal raises SystemExit(130) at once. Outside the main thread signals are left alone, since Python
    handles them there only.
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
        os.write(2, b"\nvqa: stopping soon; once more stops at once, without saving\n")


def choose_precision(model: nn.Module, forward: Callable[[nn.Module], Tensor], repeats: int = 3) -> str:
    """ "bf16" if forward and backward take less time in it on the model's device, else "no"; gradients are dropped."""
    device = next(model.parameters()).device
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return "no"
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    times: dict[bool, float] = {}
    for bf16 in (False, True):
        seconds = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = forward(model)
            loss.backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        times[bf16] = min(seconds[1:])
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    return "bf16" if times[True] < times[False] else "no"
