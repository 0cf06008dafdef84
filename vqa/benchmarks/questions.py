"""How fast online questions are made: questions a second on one core, and seconds until a run has its first ones."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from vqa.clevr.annotations import read_scenes, scenes_path
from vqa.clevr.dataset.packed import write_pack
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ANSWERS
from vqa.model.processing import FilmSEImageProcessor, FilmSEProcessor, word_tokenizer
from vqa.training.online_questions import CHUNK, ChunkMaker, OnlineQuestions, QuestionMaker

KINDS = {"CLEVR's families": 0.0, "4 in 10 composed": 0.4, "composed families": 1.0}
"""What is timed, and the share of composed families in it."""

_BLOCKS = 6
_BATCH = 48


@dataclass(frozen=True, slots=True)
class QuestionSpeed:
    """Questions of one kind with their words, token ids, labels and targets."""

    kind: str
    questions: int
    """timed"""
    per_second: float
    """of one core's time"""
    first_seconds: float
    """from nothing to the first batch's questions, with a new worker process"""


def benchmark_questions(
    data: str,
    split: str,
    images: int = 70_000,
    per_image: int = 6,
    seconds: float = 5.0,
    on_chunk: Callable[[], object] = lambda: None,
) -> list[QuestionSpeed]:
    """Time every kind on the scenes of a split, repeated to `images` images. Raises InputError (no such scenes).

    A kind is timed chunk by chunk, for `seconds` at least, after one that does not count: in it the worker reads the
    scenes and the templates, as in a run's first epoch.
    """
    scenes = list(read_scenes(scenes_path(data, split)).values())
    answers = {answer: label for label, answer in enumerate(ANSWERS)}
    encode = FilmSEProcessor(FilmSEImageProcessor(), word_tokenizer()).encode_clevr
    speeds = []
    with TemporaryDirectory(prefix="vqa-benchmark-") as folder:
        path, rows = Path(folder, "scenes.pack"), np.arange(images)
        write_pack(path, _repeated(scenes, images), (), split)
        for kind, share in KINDS.items():
            make = QuestionMaker(path, per_image, share, _BLOCKS)
            online = OnlineQuestions(make, rows, encode, answers, 0, torch.device("cpu"))
            started = time.monotonic()
            online.about(0, online.first(_BATCH))
            first = time.monotonic() - started
            online.close()
            work, made, spent = ChunkMaker(make, encode, answers), 0, 0.0
            work(rows[:CHUNK], (0,))
            while spent < seconds:
                began = time.process_time()
                made += len(work(rows[:CHUNK], (1, made))[-1])
                spent += time.process_time() - began
                on_chunk()
            speeds.append(QuestionSpeed(kind, made, made / spent, first))
    return speeds


def _repeated(scenes: list[Scene], images: int) -> Iterator[Scene]:
    for i in range(images):
        yield replace(scenes[i % len(scenes)], image_filename=f"{i:06d}.png", image_index=i)
