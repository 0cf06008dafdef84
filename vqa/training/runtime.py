"""Ctrl-C and SIGTERM, answered between steps only: a state saved in the midst of a step would be of two."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


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
