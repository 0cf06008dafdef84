"""Online questions: made anew for every epoch from the scenes, one epoch ahead, in a process of their own."""

import random
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import Balance, QuestionGenerator
from vqa.clevr.split_protocols import TRAINING_PARTS
from vqa.training.targets import StepTarget, stacked, step_target
from vqa.training.tensors import Encode, Questions


class OnlineQuestions:
    """Makes each epoch's new questions in a process of its own, one epoch ahead."""

    def __init__(
        self,
        path: Path,
        rows: np.ndarray,
        encode: Encode,
        answers: dict[str, int],
        blocks: int,
        *,
        seed: int,
        per_image: int,
        compositions: float,
        protocol: str | None,
        device: torch.device,
    ) -> None:
        self.path, self.rows, self.encode, self.answers, self.blocks = path, rows, encode, answers, blocks
        self.seed, self.per_image, self.compositions, self.protocol = seed, per_image, compositions, protocol
        self.device = device
        self.pool = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
        )
        self.ahead: dict[int, Future] = {}

    def take(self, epoch: int) -> Questions | None:
        """The questions of an epoch, None where none can be asked; those of the next are begun."""
        self.ahead = {number: future for number, future in self.ahead.items() if number >= epoch}
        for number in (epoch, epoch + 1):
            if number not in self.ahead:
                self.ahead[number] = self.pool.submit(
                    _make_arrays,
                    self.path,
                    self.rows,
                    self.per_image,
                    self.compositions,
                    self.blocks,
                    f"{self.seed} {number}",
                    self.protocol,
                )
        rows, texts, answers, targets = self.ahead[epoch].result()
        if not rows:
            return None
        labels = [self.answers.get(answer, -100) for answer in answers]
        return Questions.of(self.encode(texts), labels, targets, rows, [-1] * len(rows)).to(self.device)

    def close(self) -> None:
        processes = [*self.pool._processes.values()]
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def make_questions(
    path: Path,
    rows: np.ndarray,
    per_image: int,
    compositions: float,
    blocks: int,
    seed: str,
    protocol: str | None = None,
) -> tuple[list[int], list[str], list[str], list[StepTarget]]:
    """New questions on the scenes of a pack: rows, texts, answers and targets, decided by `seed`.

    Those outside the training part of `protocol` are left out.
    """
    part = TRAINING_PARTS.get(protocol or "")
    pack, rng, balance = PackedDataset(path), random.Random(seed), Balance()
    clevr, composed = (QuestionGenerator(load_templates(families=names)) for names in (None, ["composition"]))
    rows_of: list[int] = []
    texts: list[str] = []
    answers: list[str] = []
    targets: list[StepTarget] = []
    order = rows.tolist()
    rng.shuffle(order)
    for row in order:
        scene = pack.scene(row)
        if scene is None:
            continue
        new = sum(rng.random() < compositions for _ in range(per_image)) if compositions else 0
        questions = clevr.generate(scene, per_image - new, rng, balance) + composed.generate(scene, new, rng, balance)
        for question in questions:
            if part and not part.train(scene, question):
                continue
            rows_of.append(row)
            texts.append(question.question)
            answers.append(question.answer or "")
            targets.append(step_target(question.program, scene, blocks))
    return rows_of, texts, answers, targets


def _make_arrays(*arguments: Any) -> tuple[list[int], list[str], list[str], StepTarget | None]:
    """As `make_questions`, with the targets stacked, which are quicker to hand from one process to another."""
    rows, texts, answers, targets = make_questions(*arguments)
    return rows, texts, answers, stacked(targets) if targets else None
