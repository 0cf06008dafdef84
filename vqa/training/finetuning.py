"""Fine-tuning on another split, with accuracy on named splits measured as it goes.

What CLEVR-CoGenT is for (Johnson et al. 2017, section 4.7): a model trained on condition A goes on with some samples of
condition B, and one sees how soon it answers B, and how much of A it forgets. The usual number is 30,000 questions.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa.errors import InputError
from vqa.evaluation.breakdowns import QuestionTable
from vqa.evaluation.evaluate import EvaluationSet, open_table
from vqa.evaluation.metrics import ImageBootstrap, accuracies
from vqa.evaluation.predict import predict
from vqa.inference.checkpoints import checkpoint_folder
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.training.model_card import read_record
from vqa.training.options import TrainingOptions
from vqa.training.trainer import Trainer
from vqa.utils.files import atomic_write

CURVE, PLOT = "finetuning.jsonl", "finetuning.png"

_RECIPE = {"learning_rate": 3e-4, "warmup_steps": 10, "ema": 0.98}
"""For a run of a few hundred steps from trained weights; film keeps its paper's."""
_NEVER = 1_000_000.0  # minutes: measured by samples, which a slow machine does not change


class FineTuning(Trainer):
    """A training run from `checkpoint` that measures `watched` sets at its start and as often as it evaluates.

    The run's folder has a line of JSON for each measurement in `finetuning.jsonl`: step, presentations, minutes, and
    for each set its accuracy with 95 % interval. Raises InputError as `Trainer` and `open_table` do.
    """

    def __init__(
        self, checkpoint: str, options: TrainingOptions, watched: Sequence[EvaluationSet], command: str
    ) -> None:
        self.watched = []
        for item in watched:
            try:
                self.watched.append((item.split, open_table(item)))
            except InputError as error:
                raise InputError(f"--evaluate-on {item.split}: {error}") from error
        super().__init__(options, command)
        if self.identity["init"] != checkpoint:
            raise InputError(f"--resume: the run began with --checkpoint {self.identity['init']}; give that")
        earlier = read_curve(options.folder) if options.resume else []
        self.curve = [line for line in earlier if line["step"] <= self.progress.step]

    def run(self) -> Path:
        """As `Trainer.run`, after a measurement at the start, or of where an interrupted one is due."""
        if not self.options.resume:
            self.save()
        evaluated = max((entry["step"] for entry in self.progress.history), default=0)
        if not self.curve or self.curve[-1]["step"] < evaluated:
            with self.interruption:
                self._measure()
        return super().run()

    def evaluate(self) -> float:
        """As `Trainer.evaluate`, then the watched sets."""
        accuracy = super().evaluate()
        self._measure()
        return accuracy

    def _measure(self) -> None:
        """Add a line to the curve. Raises KeyboardInterrupt, without one, where the run is interrupted."""
        if self.accelerator.is_main_process:
            progress = self.progress
            sets = {name: self._accuracy(table) for name, table in self.watched if not self.interruption.asked}
            if not self.interruption.asked:
                minutes = round(progress.seconds / 60, 3)
                line = {"step": progress.step, "presentations": progress.presentations, "minutes": minutes}
                self.curve.append(line | {"sets": sets})
                with atomic_write(self.options.folder / CURVE) as file:
                    file.write("".join(json.dumps(item) + "\n" for item in self.curve).encode())
        self._agree(False)

    def _accuracy(self, table: QuestionTable) -> dict[str, Any]:
        model = self.average.module
        assert isinstance(model, FilmSEForVisualQuestionAnswering)
        given = predict(model, self.processor, table.data, workers=min(16, os.cpu_count() or 1)).of(table.numbers)
        correct = np.array(given.answers, object) == np.array(table.answers, object)
        everything = np.ones((len(correct), 1), bool)
        return accuracies(correct[:, None], everything, ImageBootstrap(table.images))[0][0].to_json()


def finetuning_options(checkpoint: str, samples: int, every: int | None, **given: Any) -> TrainingOptions:
    """The options of a run of `samples` question presentations from a checkpoint, measured after `every` of them.

    What is None in `given` comes from the recipe. A tenth of `samples` is the usual `every`. No image is held out.
    Raises InputError for values out of range and for a checkpoint that is not there.
    """
    for flag, number in (("samples", samples), ("every", every)):
        if number is not None and not 1 <= number <= 1_000_000_000:
            raise InputError(f"--{flag} {number}: must lie from 1 to 1,000,000,000")
    preset = str(read_record(checkpoint_folder(checkpoint)).get("preset", "film-qcse"))
    recipe = {} if preset == "film" else _RECIPE
    return TrainingOptions(
        **recipe | {name: value for name, value in given.items() if value is not None},
        preset=preset,
        init=None if given["resume"] else checkpoint,
        holdout=0.0,
        max_presentations=samples,
        evaluate_presentations=every or max(1, samples // 10),
        evaluate_minutes=_NEVER,
    )


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """The measurements of a run, none where there are none. Raises InputError for a broken file."""
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
    """Accuracy on each watched set over the samples, with 95 % intervals, in finetuning.png; None without a curve.

    Raises InputError where the disk refuses.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = read_curve(folder)
    if not lines:
        return None
    figure, axis = pyplot.subplots(figsize=(6, 3.8), layout="constrained")
    samples = [line["presentations"] for line in lines]
    for name in lines[0]["sets"]:
        middle, low, high = ([100 * line["sets"][name][key] for line in lines] for key in ("value", "low", "high"))
        axis.fill_between(samples, low, high, alpha=0.15, linewidth=0)
        axis.plot(samples, middle, "o-", markersize=4, label=name)
    axis.set_xlabel("samples: questions presented")
    axis.set_ylabel("accuracy, %")
    axis.grid(alpha=0.3)
    axis.legend()
    path = folder / PLOT
    with atomic_write(path) as file:
        figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return path
