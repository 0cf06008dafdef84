"""The log of a run, and the learning curve plotted from it."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from vqa.errors import InputError
from vqa.utils.files import write_file
from vqa.utils.plots import save_figure

LOG = "log.jsonl"


def write_log(folder: Path, line: dict[str, Any]) -> None:
    """Append a line, which must have a "step". Raises InputError if the disk refuses."""
    path = folder / LOG
    try:
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that a kill cut short is left out."""
    path, lines = folder / LOG, []
    for text in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        with suppress(ValueError):
            lines.append(json.loads(text))
    return [line for line in lines if isinstance(line, dict) and "step" in line]


def rewind_log(folder: Path, step: int) -> None:
    """Drop what was logged after `step`, for a run that resumes there."""
    if (folder / LOG).is_file():
        kept = [line for line in read_log(folder) if line["step"] <= step]
        write_file(folder / LOG, "".join(json.dumps(line) + "\n" for line in kept).encode())


def plot_curve(folder: Path) -> Path | None:
    """Plot held-out and training accuracy over questions and over minutes, from the log: learning_curve.png.

    None if nothing was logged. Raises InputError if the disk refuses.
    """
    from matplotlib.figure import Figure

    lines = read_log(folder)
    held = [line for line in lines if "held_out_accuracy" in line]
    train = [line for line in lines if "train/accuracy" in line]
    if not held and not train:
        return None
    figure = Figure((10, 3.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, key, name in zip(axes, ("presentations", "minutes"), ("training questions", "minutes"), strict=True):
        for some, accuracy, style in (
            (train, "train/accuracy", {"color": "0.75", "lw": 0.8, "label": "training batches"}),
            (held, "held_out_accuracy", {"color": "C0", "marker": "o", "ms": 3, "label": "held-out images"}),
        ):
            axis.plot([line[key] for line in some], [100 * line[accuracy] for line in some], **style)
        axis.set_xlabel(name)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy, %")
    axes[0].legend()
    return save_figure(figure, folder / "learning_curve.png")
