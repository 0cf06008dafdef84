"""The cells of an ablation: one variant trained with one seed, each in a folder and a process of its own.

A cell's folder is that of a training run, its name ends in a digest of all options. A killed cell resumes from its
state; a finished one (`result.json`, and the answers to the test questions) is never trained again. Several `vqa
ablate` may share an output folder: each takes cells that no other holds.
"""

import hashlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqa.ablation.results import CellResult
from vqa.ablation.variants import Variant, seeds_of
from vqa.errors import InputError
from vqa.evaluation.evaluate import EvaluationSet, Running, predict_file
from vqa.model.configuration import FilmSEConfig
from vqa.model.presets import build_config
from vqa.training.checkpointing import FILE
from vqa.training.options import TrainingOptions
from vqa.training.run_log import plot_curve, read_log
from vqa.training.setup import build_trainer
from vqa.training.trainer import Trainer
from vqa.utils.files import lock_folder, read_limited, write_file, write_json
from vqa.utils.records import from_json

CELL, RESULT = "cell.json", "result.json"
_MAX_RESULT, _REMEDY = 10_000_000, "remove the cell's folder to train it from scratch"
_NEVER = 1_000_000.0  # minutes: cells are measured by training questions, which a slow machine does not change


@dataclass(frozen=True, eq=False)
class Cell:
    """One variant with one seed: the options of its training, and its folder."""

    variant: Variant
    seed: int
    options: TrainingOptions

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.variant.name} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """The folder of its run."""
        return self.options.folder

    def finished(self, test: EvaluationSet) -> bool:
        """Whether it is trained and has answered the test questions."""
        return (self.folder / RESULT).is_file() and predictions_path(self.folder, test).is_file()

    def result(self) -> CellResult:
        """What `result.json` says of its training. Raises InputError where that is broken."""
        path = self.folder / RESULT
        try:
            return from_json(CellResult, read_limited(path, _MAX_RESULT, _REMEDY), path)
        except (FileNotFoundError, InputError) as error:
            raise InputError(f"{error}; {_REMEDY}") from error


def make_cells(variants: Sequence[Variant], output: Path, **options: Any) -> list[Cell]:
    """Every variant with each of its seeds; `options` are those of `TrainingOptions` that all share.

    The first seeds of all variants come first. Raises InputError for options out of range.
    """
    cells = []
    for variant, seed in seeds_of(variants):
        own = options | variant.training
        own["loss_weights"] = options.get("loss_weights", {}) | variant.loss_weights
        made = TrainingOptions(
            out="", preset=variant.preset, overrides=list(variant.overrides), seed=seed, evaluate_minutes=_NEVER, **own
        )
        slug = re.sub(r"[^\w.=-]+", "_", variant.name).strip("_")[:80]
        folder = output / f"{slug}-seed{seed}-{_digest(_identity(made))}"
        cells.append(Cell(variant, seed, replace(made, out=str(folder))))
    return cells


def run_cells(
    cells: Sequence[Cell], test: EvaluationSet, command: str, on_finished: Callable[[], object] = lambda: None
) -> list[Cell]:
    """Finish all cells that no other process holds, one after another; returns those that failed.

    `on_finished` is called after each. At KeyboardInterrupt the running cell saves its state first. Raises InputError
    where the first cell fails, since the others are likely to.
    """
    failed, finished = [], 0
    for number, cell in enumerate(cells, 1):
        if cell.finished(test):
            continue
        tqdm.write(f"cell {number} of {len(cells)}: {cell.name}, in {cell.folder}", file=sys.stderr)
        try:
            with lock_folder(cell.folder) as lock:
                done = cell.finished(test) or _run(cell, test, command, lock)
        except BlockingIOError:
            tqdm.write(f"{cell.name}: another process is at it", file=sys.stderr)
            continue
        except OSError as error:
            raise InputError(f"{cell.folder}: cannot be made: {error.strerror or error}") from error
        if done:
            finished += 1
            on_finished()
        elif not finished:
            raise InputError(f"{cell.name} failed, for the reason above; its folder is {cell.folder}")
        else:
            failed.append(cell)
    return failed


def predictions_path(folder: Path, test: EvaluationSet) -> Path:
    """Where a cell's answers to a set of questions are."""
    return folder / f"predictions-{re.sub(r'[^-.=0-9A-Za-z_]+', '_', test.split)[:40]}-{_digest(asdict(test))}.jsonl"


def _identity(options: TrainingOptions) -> dict[str, Any]:
    """All that decides what a cell finds."""
    config = build_config(options.preset, options.overrides)
    fields = [name for name in inspect.signature(FilmSEConfig.__init__).parameters if name not in ("self", "kwargs")]
    everything = options.to_json()
    decisive = ("data", "max_presentations", "evaluate_presentations")
    own = options.run_identity() | {name: everything[name] for name in decisive}
    return own | {"config": {name: getattr(config, name) for name in fields}}


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def _run(cell: Cell, test: EvaluationSet, command: str, lock: int | None) -> bool:
    about = {"name": cell.variant.name, "seed": cell.seed, "command": command, "options": cell.options.to_json()}
    write_json(cell.folder / CELL, about | {"test": asdict(test)})
    return _run_process(cell.folder, lock)


def _run_process(folder: Path, lock: int | None) -> bool:
    """Run a cell's process to its end; whether it did all. The process ends, its state saved, when this one does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vqa.ablation.cells", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=() if lock is None else (lock,),
        start_new_session=True,
    )
    try:
        return process.wait() == 0
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def work(folder: Path) -> None:
    """Train the cell of a folder as far as it is not trained, and answer the test questions. Raises InputError."""
    about = json.loads((folder / CELL).read_text())
    options = TrainingOptions.from_json(about["options"] | {"resume": (folder / FILE).exists()})
    if not (folder / RESULT).exists():
        trainer = build_trainer(options, about["command"])
        trainer.run()
        plot_curve(folder)
        # json has NaN, of a run that failed, and orjson null
        write_file(folder / RESULT, json.dumps(_result(trainer, read_log(folder)), indent=1).encode())
    (folder / FILE).unlink(missing_ok=True)
    test = EvaluationSet(**about["test"])
    predict_file(test, str(folder), predictions_path(folder, test), Running())


def _result(trainer: Trainer, log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A `CellResult` as JSON."""
    return {
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "channels": trainer.model.config.trunk_width,
        "minutes": trainer.progress.seconds / 60,
        "presentations": trainer.progress.questions_seen,
        "precision": trainer.progress.precision,
        "supervision": trainer.supervision,
        "held_out": len(trainer.data.held_out),
        "curve": trainer.progress.history,
        "gates": _gates(log),
    }


def _gates(log: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """What was logged of each block's gate: the last values, and how often the entropy regularizer was active."""
    lines = [line for line in log if "train/block_1/entropy" in line]
    found: dict[str, dict[str, float]] = {}
    for key, value in lines[-1].items() if lines else ():
        kind, *rest = key.split("/")
        if kind == "train" and len(rest) == 2:
            found.setdefault(rest[0], {})[rest[1]] = value
    for block, values in found.items():
        values["fired"] = sum(line[f"train/{block}/fired"] for line in lines) / len(lines)
    return found


def main() -> int:
    """The process of one cell, whose folder is the first argument."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(Path(sys.argv[1]))
    except InputError as error:
        print(f"vqa: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _end_with_parent() -> None:
    """Ends this process when standard input closes: the parent, which never writes to it, wants that or has ended."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    sys.exit(main())
