"""Asks questions about images: what is behind `vqa.load`, `vqa ask` and the page."""

import hashlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from vqa.clevr.language import foreign_language, parse_question, read_free, restate
from vqa.clevr.programs import Program, equivalent
from vqa.errors import InputError
from vqa.inference.answer import Answer, array_of, read_block
from vqa.inference.checkpoints import load_checkpoint
from vqa.inference.ood import OODDetector, question_score
from vqa.model.inputs import asked
from vqa.model.modeling import FilmSEOutput
from vqa.model.processing import (
    FilmSEProcessor,
    ImageLike,
    PreparedImage,
    ReadQuestion,
    encode_pixels,
    possible_answers,
    rank_answers,
)
from vqa.model.scene import SceneMaps
from vqa.utils.memory import keep_freed_memory

TOP_ANSWERS = 5
CACHED_IMAGES = 16
QUESTIONS_AT_ONCE = {"cpu": 64, "cuda": 1024}
IMAGES_AT_ONCE = 64

_Read = tuple[ReadQuestion, Program | None, PreparedImage]
"""A question, the program that answers it where the network has no such form of questions, and the image."""


class VisualQuestionAnswerer:
    """A model with its processor, ready to be asked, from several threads too.

    It keeps the stem's features of the last images, so that another question about one of them costs the trunk alone.
    """

    def __init__(self, model: Any, processor: FilmSEProcessor) -> None:
        self.model = model.eval()
        self.processor = processor
        self.detector = None if model.config.domain is None else OODDetector.from_config(model.config.domain)
        self._features: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.device

    def __reduce__(self) -> tuple:
        return type(self), (self.model, self.processor)  # in another process with a lock and a cache of its own

    def __copy__(self) -> "VisualQuestionAnswerer":
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    @overload
    def ask(self, image: ImageLike, question: str, *, batch_size: int | None = None) -> Answer: ...
    @overload
    def ask(self, image: Any, question: Any = None, *, batch_size: int | None = None) -> Any: ...

    def ask(self, image: Any, question: Any = None, *, batch_size: int | None = None) -> Any:
        """Answer a question about an image, or many, in batches.

        Args:
            image: PIL image, path, a file's bytes, an open file, or an array (H, W, 3) of bytes or of floats in 0..1;
                many of them; or pairs with questions, as `vqa.model.inputs.asked` has it.
            question: in English, up to 100 words and 1,000 characters; or many.
            batch_size: questions at a time (default: as the device likes; 1 for a generator).

        Returns an `Answer`; a list of them for many; for a generator, an iterator that gives each as it comes.
        Raises InputError for an image that cannot be read, and for a question that is empty, too long, without any
        known word, in another language, or that negates what it cannot.
        """
        given = asked(image, question)
        if given.form == "one":
            image, question = next(given.pairs)
            return self._answer_batch([(*self._read(question), self.processor.image_processor.prepare(image))])[0]
        stream = given.form == "stream"
        size = batch_size or (1 if stream else QUESTIONS_AT_ONCE.get(self.device.type, 256))
        answers = self._answers(given.pairs, size, ahead=0 if stream else 1)
        return answers if stream else list(answers)

    def _answers(self, pairs: Iterator[tuple[Any, Any]], size: int, ahead: int) -> Iterator[Answer]:
        """Answers in order; the images of the next `ahead` batches are opened while one is answered."""
        numbered = enumerate(pairs)
        waiting: deque[list[tuple[int, Future[PreparedImage], str]]] = deque()
        opened: dict[Any, tuple[Any, Future[PreparedImage]]] = {}  # holds the images, so that no id comes twice
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            while True:
                before, opened, begun = opened, {}, []
                for number, (image, question) in islice(numbered, size):
                    key = image if isinstance(image, str) else id(image)
                    known = (before.get(key) or opened.get(key)) if ahead else None
                    opened[key] = known or (image, pool.submit(self.processor.image_processor.prepare, image))
                    if not ahead:
                        opened[key][1].exception()  # waits: a generator may fill the same array with the next image
                    begun.append((number, opened[key][1], question))
                if not begun:
                    break
                waiting.append(begun)
                if len(waiting) > ahead:
                    yield from self._answer_batch([self._read_numbered(*item) for item in waiting.popleft()])
            for begun in waiting:
                yield from self._answer_batch([self._read_numbered(*item) for item in begun])

    def _read_numbered(self, number: int, image: Future[PreparedImage], question: str) -> _Read:
        try:
            return *self._read(question), image.result()
        except InputError as error:
            raise InputError(f"pair {number}: {error}") from error

    def _read(self, question: str) -> tuple[ReadQuestion, Program | None]:
        """A question as the model reads it, and the program that answers it where the network has no such form."""
        if isinstance(question, str) and (language := foreign_language(question)):
            raise InputError(f"question: it looks like {language}; only English is read")
        read = self.processor.check_question(question)
        if self.model.scene is None or (read.is_clevr and read.restated is None):
            return read, None
        program = read_free(question)
        kept = read.is_clevr and (program is None or equivalent(program, parse_question(restate(question))))
        return read, None if kept else program

    @torch.inference_mode()
    def _answer_batch(self, pairs: Sequence[_Read]) -> list[Answer]:
        images = {id(image): image for _, _, image in pairs}
        places = {key: place for place, key in enumerate(images)}
        index = [places[id(image)] for _, _, image in pairs]
        with self._lock:
            inputs = self.processor.pad_tokens([read.token_ids for read, _, _ in pairs], self.device)
            if len(pairs) > 1:
                inputs["image_index"] = torch.tensor(index, device=self.device)
            output = self.model(image_features=self._encode(list(images.values())), **inputs)
        if self.device.type != "cpu":
            output = FilmSEOutput(**{name: _each(value, Tensor.cpu) for name, value in output.items()})
        readings = [output.scene and _each(output.scene, itemgetter((i, None))) for i in range(len(images))]
        answers = []
        unfamiliar = self._unfamiliar(output, pairs, index)
        for i, (read, program, image) in enumerate(pairs):
            answer = self._answer(output, i, readings[index[i]], read, image, unfamiliar[i])
            answers.append(answer if program is None else _answered_by(program, answer))
        return answers

    def _unfamiliar(
        self, output: FilmSEOutput, pairs: Sequence[_Read], index: Sequence[int]
    ) -> list[tuple[str, ...] | None]:
        """For each pair, which of "picture" and "question" are out of distribution; None without a detector."""
        detector = self.detector
        if detector is None or output.scene is None:
            return [None] * len(pairs)
        pictures = detector.image_scores(output.scene)[index] > detector.picture_limit
        questions = [question_score(read) > detector.question_limit for read, _, _ in pairs]
        both = zip(pictures, questions, strict=True)
        return [("picture",) * bool(picture) + ("question",) * question for picture, question in both]

    def encode(self, image: PreparedImage) -> Tensor:
        """The stem's features (1, C, h, w) of an image, from the cache of the last `CACHED_IMAGES` where they are."""
        return self._encode([image])

    def _encode(self, images: Sequence[PreparedImage]) -> Tensor:
        keys = [hashlib.blake2b(image.pixels.tobytes(), digest_size=16).digest() for image in images]
        found = {key: self._features.pop(key) for key in keys if key in self._features}
        fresh = {key: image.pixels for key, image in zip(keys, images, strict=True) if key not in found}
        items = list(fresh.items())
        for start in range(0, len(items), IMAGES_AT_ONCE):
            some = dict(items[start : start + IMAGES_AT_ONCE])
            features = encode_pixels(self.model, self.processor, np.stack(list(some.values())))
            found |= zip(some, features.split(1), strict=True)
        self._features |= found
        while len(self._features) > CACHED_IMAGES:
            self._features.popitem(last=False)
        return torch.cat([found[key] for key in keys])

    def _answer(
        self,
        output: FilmSEOutput,
        i: int,
        readings: SceneMaps | None,
        question: ReadQuestion,
        image: PreparedImage,
        unfamiliar: tuple[str, ...] | None,
    ) -> Answer:
        """The answer to question i of a batch, about an image with these readings."""
        assert output.logits is not None
        logits, answers = output.logits[i], self.model.config.answers
        logits = logits.masked_fill(~possible_answers(question, answers), -torch.inf)
        ranked = rank_answers(logits, answers, TOP_ANSWERS)
        return Answer(
            answer=ranked[0][0],
            confidence=ranked[0][1],
            top_answers=ranked,
            unknown_words=question.unknown_words,
            in_domain=None if unfamiliar is None else not unfamiliar,
            blocks=tuple(read_block(output, k, i) for k in range(self.model.config.num_blocks)),
            words=question.words,
            picture_box=image.box,
            pathway_weights=array_of(output.pathway_weights, i),
            head_gate=array_of(output.head_channel_weights, i),
            unfamiliar=unfamiliar or (),
            read_as=question.restated,
            question=question.text,
            readings=readings,
        )


def _answered_by(program: Program, answer: Answer) -> Answer:
    """The answer of a program in the place of the network's; that is kept where no likely scene has one."""
    outside = tuple(dict.fromkeys((*answer.unfamiliar, "question")))
    answer = replace(answer, program=program, unknown_words=[], in_domain=False, unfamiliar=outside, read_as=None)
    found = answer.check
    if found is None or found.answer is None:
        return answer
    total = sum(found.votes.values())
    ranked = sorted(((name, vote / total) for name, vote in found.votes.items()), key=lambda item: -item[1])
    return replace(answer, answer=found.answer, confidence=found.confidence, top_answers=ranked[:TOP_ANSWERS])


def load(
    checkpoint: str | os.PathLike | None = None, device: str | torch.device | None = None, backend: str = "torch"
) -> VisualQuestionAnswerer:
    """The model of a checkpoint folder or hub id, ready to be asked; the shipped one by default.

    With the `backend` "onnx" it is a folder that `vqa export onnx` made, and runs in onnxruntime. Raises InputError
    for a checkpoint that is missing or broken, for a device that is not here, and for another backend.
    """
    keep_freed_memory()
    if backend not in ("torch", "onnx"):
        raise InputError(f"backend: {backend!r:.40} is not known; use torch or onnx")
    if backend == "onnx":
        from vqa.inference.onnx import load_onnx

        return VisualQuestionAnswerer(*load_onnx(checkpoint, device))
    return VisualQuestionAnswerer(*load_checkpoint(checkpoint, device))


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A field of the output with every tensor changed."""
    if isinstance(value, SceneMaps):
        parts: list[Any] = [part if part is None else change(part) for part in vars(value).values()]
        return SceneMaps(*parts)
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)
