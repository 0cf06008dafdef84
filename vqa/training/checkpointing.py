"""The state of a run in one file: a safetensors file that is replaced as a whole, or not at all.

Nothing in it is executed when it is read, and there is no moment at which the last good state is missing.
"""

import json
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from transformers.utils import SAFE_WEIGHTS_NAME

from vqa.errors import InputError
from vqa.training.options import REMOVED, TrainingOptions, saved_name
from vqa.utils.files import write_file
from vqa.utils.options import flag_of

FILE = "state.safetensors"


@dataclass
class Progress:
    """Where a run stands: the next batch, what has been seen, and the best held-out accuracy so far."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    questions_seen: int = 0
    seconds: float = 0.0
    best: float = -1.0
    precision: str = "no"
    history: list[dict[str, Any]] = field(default_factory=list)

    def advance(self, steps_per_epoch: int) -> None:
        """Move on to the next batch."""
        self.step += 1
        self.batch += 1
        if self.batch >= steps_per_epoch:
            self.epoch, self.batch = self.epoch + 1, 0

    def log_line(self) -> dict[str, Any]:
        """What every line of the log begins with."""
        return {"step": self.step, "presentations": self.questions_seen, "minutes": round(self.seconds / 60, 3)}

    def to_json(self) -> dict[str, Any]:
        """As the state file has it, where `questions_seen` is called "presentations"."""
        values = dict(vars(self))
        return {"presentations": values.pop("questions_seen")} | values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Progress":
        """Inverse of `to_json`. Raises KeyError or TypeError for keys that are missing or unknown."""
        rest = dict(values)
        return cls(questions_seen=rest.pop("presentations"), **rest)


@dataclass
class Run:
    """What a run begins with: nothing done, or what the state of an interrupted run says."""

    progress: Progress
    identity: dict[str, Any]
    record: dict[str, Any] | None = None
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def begin_run(options: TrainingOptions) -> Run:
    """A new run, or with `options.resume` the saved one in its folder.

    Raises InputError if the folder holds a run or a checkpoint already, or no run to resume, or one of other options.
    """
    path = options.folder / FILE
    if options.resume:
        tensors, info = load_state(path)
        return Run(*restored(info, options, path), tensors)
    if path.exists():
        raise InputError(f"{path}: a run is here already; continue it with --resume, or choose another --out")
    if (weights := options.folder / SAFE_WEIGHTS_NAME).exists():
        raise InputError(f"{weights}: a checkpoint is here already; choose another --out")
    return Run(Progress(), options.run_identity())


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
    write_file(path, save(tensors, {"info": json.dumps(info)}))


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


def saved_settings(folder: Path) -> dict[str, Any]:
    """The options of the run in a folder by field names, with which it can be resumed. Raises InputError."""
    path = folder / FILE
    _, info = load_state(path)
    names = {saved_name(item): item.name for item in fields(TrainingOptions)}
    saved = info.get("settings") or info.get("options")
    if not isinstance(saved, dict):
        raise InputError(f"{path}: the state of another version of this program; begin another --out")
    return {names[name]: value for name, value in saved.items() if name in names and name not in ("init", "resume")}


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


def restored(info: dict[str, Any], options: TrainingOptions, path: Path) -> tuple[Progress, dict, dict]:
    """Progress, identity and record of a saved run, whose folder and question file may have moved.

    Raises InputError if the options are not that run's.
    """
    other = f"{path}: the state of another version of this program"
    try:
        progress, identity, record = Progress.from_json(info["progress"]), dict(info["options"]), dict(info["record"])
        now = options.run_identity() | {"init": identity["init"]}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{other}; begin another --out") from error
    if changed := next((name for name in now | identity if _decisive(name, now) != _decisive(name, identity)), None):
        item = TrainingOptions.saved(changed)
        if item is None:
            had = REMOVED.get(changed, changed)
            raise InputError(f"{other}: it was begun with {had}, which no longer exists; begin another --out")
        here, there = (_decisive(changed, each) for each in (now, identity))
        raise InputError(
            f"--resume: {flag_of(item)} differs from the run in {options.out}: {here!r:.80} here, {there!r:.80} there; "
            "leave it out"
        )
    return progress, now, record


def _decisive(name: str, identity: dict[str, Any]) -> Any:
    """An option's value where it matters: one that came later had its default, and one that is gone was off."""
    item = TrainingOptions.saved(name)
    value = identity.get(name, item.default if item is not None and item.default is not MISSING else None)
    if name == "questions" and isinstance(value, str):
        return Path(value).name
    return value or None
