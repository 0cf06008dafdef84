"""Fine-tuning on another split, with accuracy on named splits measured during the run.

This is the experiment of CLEVR-CoGenT (Johnson et al. 2017, section 4.7): a model trained on condition A is fine-tuned
on some questions of condition B, to see how soon it answers B and how much of A it forgets. 30,000 questions are usual.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vqa.errors import InputError
from vqa.evaluation.breakdowns import QuestionTable
from vqa.evaluation.evaluate import EvaluationSet, open_table
from vqa.evaluation.metrics import Estimate, ImageBootstrap, accuracies
from vqa.evaluation.predict import predict
from vqa.inference.checkpoints import checkpoint_folder
from vqa.training.model_card import read_record
from vqa.training.options import FINETUNING, TrainingOptions
from vqa.training.setup import build_trainer
from vqa.training.trainer import Trainer
from vqa.utils.files import write_file
from vqa.utils.plots import save_figure
from vqa.utils.records import to_json

CURVE, PLOT = "finetuning.jsonl", "finetuning.png"

_NEVER = 1_000_000.0  # minutes; evaluations are spaced by questions, which a slow machine does not change


@dataclass(eq=False, repr=False)
class FineTuning:
    """A training run that measures `watched` sets, questions by split, at its start and as often as it evaluates.

    The run's folder has a line of JSON for each measurement in `finetuning.jsonl`, held in `curve`: step,
    presentations, minutes, and for each set its accuracy with 95 % interval.
    """

    trainer: Trainer
    watched: dict[str, QuestionTable]
    curve: list[dict[str, Any]]

    def run(self) -> Path:
        """As `Trainer.run`, after a measurement at the start, or the one that an interrupted run still owes."""
        trainer = self.trainer
        if not trainer.options.resume:
            trainer.save()
        evaluated = max((entry["step"] for entry in trainer.progress.history), default=0)
        if not self.curve or self.curve[-1]["step"] < evaluated:
            with trainer.interruption:
                self.measure()
        trainer.after_evaluation = self.measure
        return trainer.run()

    def measure(self) -> None:
        """Add a line to the curve. Raises KeyboardInterrupt, without one, if the run is interrupted."""
        trainer = self.trainer
        if trainer.accelerator.is_main_process:
            watched = self.watched.items()
            sets = {name: to_json(accuracy_on(trainer, table)) for name, table in watched if not self._interrupted}
            if not self._interrupted:
                self.curve.append(trainer.progress.log_line() | {"sets": sets})
                lines = "".join(json.dumps(item) + "\n" for item in self.curve)
                write_file(trainer.options.folder / CURVE, lines.encode())
        trainer.agree()

    @property
    def _interrupted(self) -> bool:
        return self.trainer.interruption.asked


def accuracy_on(trainer: Trainer, table: QuestionTable) -> Estimate:
    """Accuracy of a run's averaged weights on a set, by one process."""
    workers = min(16, os.cpu_count() or 1)
    given = predict(trainer.averaged, trainer.processor, table.data, workers=workers).of(table.numbers)
    correct = table.correct(given.answers)
    return accuracies(correct[:, None], np.ones((len(correct), 1), bool), ImageBootstrap(table.images))[0][0]


def build_finetuning(
    checkpoint: str, options: TrainingOptions, watched: Sequence[EvaluationSet], command: str
) -> FineTuning:
    """A run from `checkpoint`, or with `options.resume` the one in its folder.

    Raises InputError as `build_trainer` and `open_table` do, and if the run began with another checkpoint.
    """
    tables = {}
    for item in watched:
        try:
            tables[item.split] = open_table(item)
        except InputError as error:
            raise InputError(f"--evaluate-on {item.split}: {error}") from error
    trainer = build_trainer(options, command)
    if trainer.identity["init"] != checkpoint:
        raise InputError(f"--resume: the run began with --checkpoint {trainer.identity['init']}; give that")
    earlier = read_curve(options.folder) if options.resume else []
    return FineTuning(trainer, tables, [line for line in earlier if line["step"] <= trainer.progress.step])


def finetuning_options(
    checkpoint: str, training_questions: int, evaluate_every: int | None, **given: Any
) -> TrainingOptions:
    """The options of a run of N training questions from a checkpoint, measured after every `evaluate_every` of them.

    What is None in `given` comes from the recipe. `evaluate_every` is a tenth of the questions if None. No image is
    held out. Raises InputError for values out of range and for a missing checkpoint.
    """
    preset = str(read_record(checkpoint_folder(checkpoint)).get("preset", "film-qcse"))
    recipe = {} if preset == "film" else FINETUNING
    return TrainingOptions(
        **recipe | {name: value for name, value in given.items() if value is not None},
        preset=preset,
        init=None if given["resume"] else checkpoint,
        holdout=0.0,
        training_questions=training_questions,
        evaluate_every=max(1, training_questions // 10) if evaluate_every is None else evaluate_every,
        evaluate_minutes=_NEVER,
    )


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """The measurements of a run, empty if none. Raises InputError for a damaged file."""
    path = folder / CURVE
    if not path.is_file():
        return []
    try:
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        for line in lines:
            _ = int(line["step"]), int(line["presentations"]), [item["value"] for item in line["sets"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({error!r}); remove it, and the measurements so far with it") from error
    return lines


def plot_finetuning(folder: Path) -> Path | None:
    """Plot accuracy on each watched set over the questions, with 95 % intervals: finetuning.png; None without a curve.

    Raises InputError if the disk refuses.
    """
    from matplotlib.figure import Figure

    lines = read_curve(folder)
    if not lines:
        return None
    figure = Figure((6, 3.8), layout="constrained")
    axis = figure.add_subplot()
    seen = [line["presentations"] for line in lines]
    for name in lines[0]["sets"]:
        middle, low, high = ([100 * line["sets"][name][key] for line in lines] for key in ("value", "low", "high"))
        axis.fill_between(seen, low, high, alpha=0.15, linewidth=0)
        axis.plot(seen, middle, "o-", markersize=4, label=name)
    axis.set_xlabel("training questions")
    axis.set_ylabel("accuracy, %")
    axis.grid(alpha=0.3)
    axis.legend()
    return save_figure(figure, folder / PLOT)
