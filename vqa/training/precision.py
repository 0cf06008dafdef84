"""Which arithmetic is faster here, by measurement."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn


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
