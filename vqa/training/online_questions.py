"""Online questions: generated for every epoch from the scenes, chunk by chunk ahead of the training, by workers."""

import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import compress, count
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.programs import KINDS, OPERATIONS
from vqa.clevr.question import Question
from vqa.clevr.question_generation.batched import Asked, BatchGenerator
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import Balance
from vqa.clevr.question_generation.instantiate import program_of
from vqa.clevr.question_generation.scene_arrays import BITS, DIGITS, SceneArrays
from vqa.clevr.scenes import Scene
from vqa.clevr.split_protocols import TRAINING_PARTS
from vqa.clevr.vocabulary import MAX_OBJECTS, RELATIONS
from vqa.training.targets import StepTarget, stacked, step_target
from vqa.training.tensors import Encode, Questions

FIRST, CHUNK = 512, 8192
"""Images whose questions are made at a time: in the first chunk, so that a run soon begins, and in the others."""

_REFRESH = 0.5
"""Seconds between two looks at how far the workers are."""


class Generated(NamedTuple):
    """Generated questions: row, text and answer of each, and their targets, those of a family stacked."""

    rows: list[int]
    texts: list[str]
    answers: list[str]
    targets: list[StepTarget]


@dataclass(frozen=True)
class QuestionMaker:
    """Generates questions about the scenes of the pack at `path`.

    `per_image` for each scene of up to `MAX_OBJECTS`, a share `compositions` of which is of the composed `families`.
    Those outside the training part of `protocol` are left out. `blocks` is the model's number of blocks, for targets.
    """

    path: Path
    per_image: int
    compositions: float
    blocks: int
    protocol: str | None = None
    families: tuple[str, ...] = ("composition",)

    def __call__(self, rows: np.ndarray, seed: Sequence[int]) -> Generated:
        """Questions about the scenes of some rows, decided by rows and `seed`."""
        part = TRAINING_PARTS.get(self.protocol or "")
        scenes, rng, balance = _scenes(self.path), np.random.default_rng(seed), Balance()
        known = scenes.known(rows)
        arrays, seen = scenes.arrays.take(known), [set[int]() for _ in known]
        new = rng.binomial(self.per_image, self.compositions, len(known))
        # Each set of families gets an equal share, whatever its size.
        shares = rng.multinomial(new, np.full(len(self.families), 1 / len(self.families)))
        asked = _generator(None).generate(arrays, self.per_image - new, rng, balance, seen)
        for name, share in zip(self.families, shares.T if self.compositions else (), strict=False):
            asked += _generator(name).generate(arrays, share, rng, balance, seen)
        found = Generated([], [], [], [stacked([step_target(None, None, self.blocks)])[:0]])
        for some in asked:
            here, texts = known[some.rows], some.texts(rng)
            kept = np.ones(len(here), bool)
            if part:
                programs = (program_of(some.template, values) for values in some.values())
                questions = map(Question, texts, some.answers, programs)
                kept[:] = [part.train(scenes.pack.scene(row), one) for row, one in zip(here, questions, strict=True)]
            found.rows.extend(here[kept].tolist())
            found.texts.extend(compress(texts, kept))
            found.answers.extend(compress(some.answers, kept))
            sizes = np.count_nonzero(arrays.values[some.rows, :, 0], 1)
            found.targets.append(_targets(some, sizes, scenes.pack.scene(int(here[0])), self.blocks)[kept])
        return found


@dataclass
class _Scenes:
    """The scenes of a pack, each read when it is first asked about."""

    pack: PackedDataset
    arrays: SceneArrays
    read: np.ndarray
    usable: np.ndarray

    def known(self, rows: np.ndarray) -> np.ndarray:
        """Those of some rows that have a scene of up to ten objects, which is in `arrays` then."""
        for row in rows[~self.read[rows]].tolist():
            scene = self.pack.scene(row)
            self.read[row] = True
            if scene is not None and len(scene.objects) <= MAX_OBJECTS:
                self.usable[row] = True
                self.arrays.put(row, scene)
        return rows[self.usable[rows]]


@lru_cache(maxsize=1)
def _scenes(path: Path) -> _Scenes:
    pack = PackedDataset(path)
    number = len(pack)
    return _Scenes(pack, SceneArrays.empty(number), np.zeros(number, bool), np.zeros(number, bool))


@lru_cache(maxsize=8)
def _generator(family: str | None) -> BatchGenerator:
    return BatchGenerator(load_templates(families=None if family is None else [family]))


_RELATION = np.array([0, *(OPERATIONS.index(name) for name in RELATIONS)], np.int8)


def _targets(asked: Asked, sizes: np.ndarray, scene: Scene | None, blocks: int) -> StepTarget:
    """As `step_target`, stacked: of questions about scenes of `sizes` objects, the first of which is about `scene`."""
    one = step_target(program_of(asked.template, asked.values()[0]), scene, blocks)
    many = stacked([one])[np.zeros(len(sizes), int)]
    if not one.known:
        return many
    many.filters[:] = 0
    there = np.arange(MAX_OBJECTS) < sizes[:, None]
    owners: list[int] = []
    new = count(blocks - int(np.count_nonzero(one.operation)))
    for node, key, relation, objects in zip(
        asked.template.nodes, asked.keys, asked.relations, asked.objects, strict=True
    ):
        makes_set = KINDS[node.operation or "count"][1] == "set"
        owners.append(k := next(new) if makes_set else owners[node.inputs[0]])
        if node.relation:
            many.operation[:, k] = _RELATION[relation]
        narrowed = (key > 0) | makes_set | (node.terminal == "unique")
        digits, members = DIGITS[key], np.where(there, (objects[:, None] & BITS) != 0, -1)
        many.filters[:, k] = np.where(digits > 0, digits, many.filters[:, k])
        many.members[:, k] = np.where(narrowed[:, None], members, many.members[:, k])
    return many


@dataclass(frozen=True)
class ChunkMaker:
    """What a worker does: makes the questions of a chunk, with their token ids, labels, targets and rows."""

    make: QuestionMaker
    encode: Encode
    answers: Mapping[str, int]

    def __call__(self, rows: np.ndarray, seed: Sequence[int]) -> tuple:
        made = self.make(rows, seed)
        ids = self.encode(made.texts) if made.texts else []
        labels = [self.answers.get(answer, -100) for answer in made.answers]
        names = [item.name for item in fields(StepTarget)]
        targets = StepTarget(*(np.concatenate([getattr(part, name) for part in made.targets]) for name in names))
        return ids, labels, targets, made.rows


_work: Callable[..., tuple]


def _begin_work(work: ChunkMaker) -> None:
    # Ctrl-C reaches every process of the command; the trainer decides when these end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _work
    _work = work


def _do_work(rows: np.ndarray, seed: Sequence[int]) -> tuple:
    return _work(rows, seed)


class OnlineQuestions:
    """Generates the questions of each epoch, in chunks of rows in the epoch's order, in `workers` processes.

    What is in a chunk hangs on the seed, the epoch and the chunk alone, not on the number of workers; so a run that is
    resumed begins with the chunk that it needs. One set of questions serves `shared_epochs` epochs.
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
        self.rows, self.seed, self.device = rows, seed, device
        self.workers, self.shared_epochs = workers, shared_epochs
        work = ChunkMaker(make, encode, answers)
        self.pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin_work, initargs=(work,))
        self.begun: dict[tuple[int, int], Future] = {}
        self.ready: dict[tuple[int, int], Questions] = {}
        self._placed: tuple[int, np.ndarray] = (-1, rows)

    def about(self, epoch: int, rows: np.ndarray) -> list[tuple[Questions, np.ndarray]]:
        """For each of some rows the chunk that holds its questions of an epoch, and their numbers there.

        The chunks that come after these are begun.
        """
        number = epoch // self.shared_epochs
        chunks = [(number, chunk) for chunk in self._chunk_of(self._places(number)[rows]).tolist()]
        first, last = min(chunks), max(chunks)
        for done in (self.begun, self.ready):
            for key in [key for key in done if key < (first if self.shared_epochs == 1 else (number, 0))]:
                del done[key]
        per_set = 1 + int(self._chunk_of(np.array(len(self.rows) - 1)))
        after = [divmod(number * per_set + last[1] + i, per_set) for i in range(1, self.workers + 2)]
        for key in (*dict.fromkeys(chunks), *after):
            if key not in self.begun:
                self.begun[key] = self.pool.submit(_do_work, self._chunk(*key), (self.seed, 4, *key))
        self._wait([self.begun[key] for key in dict.fromkeys(chunks)])
        for key in dict.fromkeys(chunks):
            if key not in self.ready:
                ids, labels, targets, made = self.begun[key].result()
                found = Questions.of(ids, labels, targets, made, [-1] * len(made))
                self.ready[key] = found.to(self.device)
        return [(self.ready[key], self.ready[key].of_row(row)) for key, row in zip(chunks, rows.tolist(), strict=True)]

    def first(self, number: int) -> np.ndarray:
        """The rows that come first in the first epoch."""
        return self._order(0)[:number]

    def _order(self, number: int) -> np.ndarray:
        return epoch_order(self.rows, self.seed, number * self.shared_epochs)

    def _chunk(self, number: int, chunk: int) -> np.ndarray:
        return self._order(number)[FIRST + (chunk - 1) * CHUNK if chunk else 0 : FIRST + chunk * CHUNK]

    def _chunk_of(self, places: np.ndarray) -> np.ndarray:
        """The chunk that each place in the order of a set belongs to."""
        return np.maximum(0, (places - FIRST) // CHUNK + 1)

    def _places(self, number: int) -> np.ndarray:
        """The place of each row in the order of a set."""
        if self._placed[0] != number:
            places = np.zeros(int(self.rows.max()) + 1, int)
            places[self._order(number)] = np.arange(len(self.rows))
            self._placed = (number, places)
        return self._placed[1]

    def _wait(self, chunks: list[Future]) -> None:
        """Wait until all are done; a bar says so if it takes long."""
        with tqdm(
            total=len(chunks), desc="online questions", unit=" chunks", delay=1, leave=False, disable=None
        ) as bar:
            while waiting := wait(chunks, _REFRESH).not_done:
                bar.n = len(chunks) - len(waiting)
                bar.update(0)

    def close(self) -> None:
        """Stop the workers, even while they generate."""
        processes = [*self.pool._processes.values()]
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def epoch_order(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The rows in the order of an epoch."""
    return np.random.default_rng((seed, 2, epoch)).permutation(rows)
