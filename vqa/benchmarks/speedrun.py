"""From nothing to an accuracy with the recipe of the shipped weights: how many minutes this machine takes."""

import time
from dataclasses import dataclass

from accelerate.utils import broadcast_object_list

from vqa.benchmarks.training import machine
from vqa.evaluation.breakdowns import QuestionTable
from vqa.evaluation.metrics import Estimate
from vqa.training.finetuning import accuracy_on
from vqa.training.options import TrainingOptions
from vqa.training.setup import build_trainer
from vqa.utils.notes import note
from vqa.utils.tables import format_interval, format_percent

_NEAR = 0.01
"""The questions are answered once held-out images, which cost less, come so near to the target."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run: minutes from the first line of code to the target, or to the end of a run that missed it.

    Answering the questions that the target is about is not counted; converting the data and making questions is.
    """

    seed: int
    minutes: float
    step_minutes: float
    questions: int
    """training questions"""
    accuracy: Estimate
    reached: bool
    machine: str

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {'' if self.reached else 'NOT REACHED: '}{format_interval(self.accuracy)} % after "
            f"{self.minutes:.1f} minutes, {self.step_minutes:.1f} of them training steps, and {self.questions:,} "
            f"training questions; {self.machine}"
        )


def speedrun(options: TrainingOptions, questions: QuestionTable, target: float, command: str) -> Attempt:
    """Train until the averaged weights answer a share `target` of the questions, or the schedule ends.

    Raises InputError as `build_trainer` does.
    """
    started, answering = time.monotonic(), 0.0
    trainer = build_trainer(options, command)
    found: list[Estimate] = []

    def measure() -> None:
        nonlocal answering
        began, main = time.monotonic(), trainer.accelerator.is_main_process
        near = trainer.progress.questions_seen and trainer.progress.history[-1]["held_out_accuracy"] >= target - _NEAR
        if all(trainer.agree(bool(near) or trainer.schedule.share() >= 1)):
            found.extend(broadcast_object_list([accuracy_on(trainer, questions) if main else None]))
            note(f"{trainer.progress.questions_seen:,} training questions: {format_interval(found[-1])} %")
            if found[-1].value >= target:  # so the schedule is over
                options.training_questions = trainer.progress.questions_seen
        answering += time.monotonic() - began

    trainer.after_evaluation = measure
    trainer.run()
    return Attempt(
        seed=options.seed,
        minutes=(time.monotonic() - started - answering) / 60,
        step_minutes=trainer.progress.seconds / 60,
        questions=trainer.progress.questions_seen,
        accuracy=found[-1],
        reached=found[-1].value >= target,
        machine=machine(trainer.accelerator.device),
    )


def format_speedrun(attempts: list[Attempt], target: float) -> str:
    """The attempts, one a line, and the mean of their minutes."""
    reached = [attempt.minutes for attempt in attempts if attempt.reached]
    mean = f", {sum(reached) / len(reached):.1f} minutes in the mean" if reached else ""
    return "\n".join(
        [*map(str, attempts), f"{len(reached)} of {len(attempts)} runs reached {format_percent(target)} %{mean}"]
    )
