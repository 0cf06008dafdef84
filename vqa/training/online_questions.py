"""Online questions: generated for every epoch from the scenes, one epoch ahead, by worker processes."""

import random
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import Balance, QuestionGenerator
from vqa.clevr.split_protocols import TRAINING_PARTS
from vqa.training.targets import StepTarget, stacked, step_target
from vqa.training.tensors import Encode, Questions


class Generated(NamedTuple):
    """Generated questions: row, text, answer and targets of each."""

    rows: list[int]
    texts: list[str]
    answers: list[str]
    targets: list[StepTarget]


@dataclass(frozen=True)
class QuestionMaker:
    """Generates questions about the scenes of the pack at `path`.

    `per_image` for each scene, a share `compositions` of which is of the composed `families`. Those outside the
    training part of `protocol` are left out. `blocks` is the model's number of blocks, for the targets.
    """

    path: Path
    per_image: int
    compositions: float
    blocks: int
    protocol: str | None = None
    families: tuple[str, ...] = ("composition",)

    def __call__(self, rows: Sequence[int], seed: str) -> Generated:
        """Questions about the scenes of some rows, decided by `seed`."""
        part = TRAINING_PARTS.get(self.protocol or "")
        pack, rng, balance = PackedDataset(self.path), random.Random(seed), Balance()
        clevr, *composed = (
            QuestionGenerator(load_templates(families=names)) for names in (None, *([name] for name in self.families))
        )
        generated = Generated([], [], [], [])
        order = list(rows)
        rng.shuffle(order)
        for row in order:
            scene = pack.scene(row)
            if scene is None:
                continue
            # Without compositions nothing is drawn, so that questions are those of versions without this option.
            new = sum(rng.random() < self.compositions for _ in range(self.per_image)) if self.compositions else 0
            questions = clevr.generate(scene, self.per_image - new, rng, balance)
            # Each set of families gets an equal share, whatever its size.
            for generator, share in zip(composed, _shares(new, len(composed), rng), strict=True):
                questions += generator.generate(scene, share, rng, balance)
            for question in questions:
                if part and not part.train(scene, question):
                    continue
                generated.rows.append(row)
                generated.texts.append(question.question)
                generated.answers.append(question.answer or "")
                generated.targets.append(step_target(question.program, scene, self.blocks))
        return generated

    def chunk(self, rows: Sequence[int], seed: str) -> tuple[list[int], list[str], list[str], StepTarget | None]:
        """As the call, with the targets stacked, which are quicker to send from one process to another."""
        generated = self(rows, seed)
        return *generated[:3], stacked(generated.targets) if generated.targets else None


class OnlineQuestions:
    """Generates the questions of each epoch about some rows, one epoch ahead, in `workers` processes.

    With several workers each makes a chunk of the rows, with a seed of its own; chunks are joined in order, so that
    the questions hang on the number of workers but not on which of them is faster.
    """

    def __init__(
        self,
        make: QuestionMaker,
        rows: np.ndarray,
        encode: Encode,
        answers: dict[str, int],
        seed: int,
        device: torch.device,
        workers: int = 1,
        shared_epochs: int = 1,
    ) -> None:
        self.make, self.rows, self.encode, self.answers = make, rows, encode, answers
        self.seed, self.device, self.workers, self.shared_epochs = seed, device, workers, shared_epochs
        # Ctrl-C reaches every process of the command; the trainer decides when these end.
        self.pool = ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
        )
        self.ahead: dict[int, list[Future]] = {}
        self._taken: tuple[int, Questions | None] = (-1, None)

    def take(self, epoch: int) -> Questions | None:
        """The questions of an epoch, None if there are none; the next set is begun.

        One set serves `shared_epochs` epochs.
        """
        wanted = epoch // self.shared_epochs
        if self._taken[0] == wanted:
            return self._taken[1]
        self.ahead = {number: chunks for number, chunks in self.ahead.items() if number >= wanted}
        for number in (wanted, wanted + 1):
            if number not in self.ahead:
                self.ahead[number] = self._begin(number)
        self._taken = (wanted, self._joined([chunk.result() for chunk in self.ahead[wanted]]))
        return self._taken[1]

    def _joined(self, chunks: Sequence[tuple[list[int], list[str], list[str], StepTarget | None]]) -> Questions | None:
        parts = [
            Questions.of(
                self.encode(texts),
                [self.answers.get(answer, -100) for answer in answers],
                targets,
                rows,
                [-1] * len(rows),
            )
            for rows, texts, answers, targets in chunks
            if targets is not None
        ]
        return Questions.join(parts).to(self.device) if parts else None

    def _begin(self, number: int) -> list[Future]:
        if self.workers == 1:
            return [self.pool.submit(self.make.chunk, self.rows.tolist(), f"{self.seed} {number}")]
        return [
            self.pool.submit(self.make.chunk, rows.tolist(), f"{self.seed} {number} {chunk}")
            for chunk, rows in enumerate(np.array_split(self.rows, self.workers))
        ]

    def close(self) -> None:
        """Stop the workers, even while they generate."""
        processes = [*self.pool._processes.values()]
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def _shares(number: int, parts: int, rng: random.Random) -> list[int]:
    """A number divided at random into parts; nothing is drawn for one part."""
    if parts == 1:
        return [number]
    drawn = [rng.randrange(parts) for _ in range(number)]
    return [drawn.count(part) for part in range(parts)]
