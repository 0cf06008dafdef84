"""A step of training never waits for the device: what would is counted, by the calls of Python that read or upload."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.training.test_trainer import TINY, options
from vqa.training.setup import build_trainer
from vqa.training.tensors import upload

_READS = ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__index__")
_WAITING: set[Callable] = {getattr(Tensor, name) for name in _READS} | {torch.nonzero, torch.masked_select}
_ON_THE_HOST = ("augmentation.py", "optim.py: update_average")
_MAKING: set[Callable] = {torch.tensor, torch.as_tensor, Tensor.new_tensor}


class Waits(TorchFunctionMode):
    """Counts, by file and function, the calls that would make the host wait for a GPU.

    These read a tensor on the host, choose by a boolean mask (whose number of places the host must know), or bring
    values of the host to the device other than by `upload`. What the augmentation draws, and the counter of the
    weights' average, lie on the host anyway.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        direct = caller = sys._getframe(1)
        while "site-packages/torch" in caller.f_code.co_filename:
            caller = caller.f_back or caller
        place = f"{Path(caller.f_code.co_filename).name}: {caller.f_code.co_name}"
        uploads = function is Tensor.to and any(
            isinstance(each, torch.device | str) for each in (*args, *kwargs.values())
        )
        makes = function in _MAKING and kwargs.get("device") is not None
        masks = function in (Tensor.__getitem__, Tensor.__setitem__) and _is_mask(args[1])
        reads = function in _WAITING and not place.startswith(_ON_THE_HOST)
        if reads or masks or ((uploads or makes) and direct is caller and direct.f_code is not upload.__code__):
            self.found[f"{place}: {function.__name__}"] += 1
        return function(*args, **kwargs)


def _is_mask(index: Any) -> bool:
    return any(
        isinstance(each, Tensor) and each.dtype is torch.bool
        for each in (index if isinstance(index, tuple) else (index,))
    )


@pytest.mark.parametrize(
    ("preset", "generated"),
    [pytest.param("film-qcse", 0.5, marks=pytest.mark.slow), ("film-qcse", 0.0), ("film-qcse-1", 0.0)],
)
def test_a_step_never_waits_for_the_device(preset: str, generated: float, tmp_path: Path) -> None:
    trainer = build_trainer(
        options(tmp_path, preset=preset, overrides=[*TINY, "image_size=64x96"], generated=generated, pretrain_epochs=1)
    )
    for epoch in (0, 1):  # the encoders alone, then the whole model
        trainer.progress.epoch = epoch
        trainer.step(trainer.load())  # keeps constants on the device
        with Waits() as waits:
            measured = trainer.step(trainer.load())
        assert waits.found == {}
    with waits:
        trainer._report(measured)
    trainer.data.close()
    assert waits.found == {"trainer.py: _report: tolist": 1}, "a logging step waits once, for everything"


def test_what_waits_is_counted() -> None:
    values, mask = torch.arange(3.0), torch.tensor([True, False, True])
    with Waits() as waits:
        values.sum().item()
        values[mask] = values[mask] + 1
        values.to(torch.device("cpu"))
        torch.tensor([1.0], device="cpu")
        if values[0] > 0:
            upload(values, torch.device("cpu"))
    assert waits.found.total() == 6, waits.found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_says_so_too(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path, mixed_precision="bf16"))
    for _ in range(3):
        trainer.step(trainer.load())
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.step(trainer.load())
    finally:
        torch.cuda.set_sync_debug_mode("default")
