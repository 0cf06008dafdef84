"""The state of a run in one file: a safetensors file that is replaced as a whole, or not at all.

Nothing in it is executed when it is read, and there is no moment at which the last good state is missing.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers.utils import SAFE_WEIGHTS_NAME

from vqa.errors import InputError
from vqa.training.options import TrainingOptions
from vqa.utils.files import atomic_write

FILE = "state.safetensors"


@dataclass
class Progress:
    """Where a run stands: the next batch, what has been presented, and what was best."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    presentations: int = 0
    seconds: float = 0.0
    best: float = -1.0
    precision: str = "no"
    history: list[dict[str, Any]] = field(default_factory=list)


def save_state(path: Path, parts: dict[str, dict[str, Tensor]], optimizer: torch.optim.Optimizer, info: dict) -> None:
    """Write named state dicts, an optimizer's state and `info` (JSON).

    Raises InputError where the disk refuses; the last state stays.
    """
    tensors = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in values.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    for left_by_a_kill in path.parent.glob(f".{path.name}.*.tmp"):
        left_by_a_kill.unlink(missing_ok=True)
    data = save(tensors, {"info": json.dumps(info)})
    with atomic_write(path) as file:
        file.write(data)


def load_state(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The named state dicts (the optimizer's as "optimizer") and the `info` of a state file. Raises InputError."""
    try:
        with safe_open(path, "pt") as file:
            info = json.loads(file.metadata()["info"])
        if not isinstance(info, dict):
            raise TypeError("its info is no JSON object")
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no run to resume here; start one without --resume") from error
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not the state of a run, or damaged ({error})") from error
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = value
    return parts, info


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Tensor], where: Path) -> None:
    """Put the saved state (keys "index/name") into an optimizer over the same parameters.

    Raises InputError where it has no place in them.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, value in saved.items():
            index, _, field = name.partition("/")
            if value.ndim and value.shape != parameters[int(index)].shape:
                raise ValueError(f"{name} has the shape {tuple(value.shape)}")
            state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (ValueError, IndexError) as error:
        raise InputError(f"{where}: the optimizer's state is of another model: {error}"[:600]) from error


def restore_module(module: nn.Module, saved: dict[str, Tensor], where: Path) -> None:
    """Load a state dict. Raises InputError where its names or shapes are not the module's."""
    try:
        module.load_state_dict(saved)
    except RuntimeError as error:
        raise InputError(f"{where}: the state is of another model: {error}"[:600]) from error


def refuse_to_overwrite(folder: Path) -> None:
    """Raises InputError where a run or a checkpoint is in the folder already."""
    if (folder / FILE).exists():
        raise InputError(f"{folder / FILE}: a run is here already; go on with --resume, or choose another --output")
    if (folder / SAFE_WEIGHTS_NAME).exists():
        raise InputError(f"{folder / SAFE_WEIGHTS_NAME}: a checkpoint is here already; choose another --output")


def restored(info: dict[str, Any], options: TrainingOptions, path: Path) -> tuple[Progress, dict, dict]:
    """Progress, identity and record of a saved run, whose folder and question file may have moved.

    Raises InputError where the options are not that run's.
    """
    try:
        progress, identity, record = Progress(**info["progress"]), dict(info["options"]), dict(info["record"])
        now = options.run_identity() | {"init": identity["init"]}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the state of another version of this program; begin another --output") from error
    if changed := next((name for name in now | identity if _decisive(name, now) != _decisive(name, identity)), None):
        if changed not in TrainingOptions.names():
            raise InputError(f"{path}: of another version of this program, which had {changed}; begin another --output")
        flag = {"overrides": "set", "loss_weights": "loss-weight"}.get(changed, changed.replace("_", "-"))
        raise InputError(f"--resume: --{flag} differs from the run in {options.output}; leave it as it was")
    return progress, now, record


def _decisive(name: str, options: dict[str, Any]) -> Any:
    value = options.get(name, getattr(TrainingOptions, name, None))  # an option that came later had its default
    if name == "questions" and isinstance(value, str):
        return Path(value).name
    return value or None  # and one that is gone was off
