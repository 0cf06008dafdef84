"""A model's answers to a whole set: the stem runs once for each image, the trunk once for each question."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import orjson
import torch
from accelerate.utils import reduce
from torch import Tensor

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question import normalize_answer
from vqa.errors import InputError
from vqa.evaluation.perturbations import Perturbation
from vqa.evaluation.predictions import Predictions
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import FilmSEProcessor, ImageLike, to_image
from vqa.training.runtime import processes

_QUESTIONS_AT_ONCE = {"cpu": 64, "cuda": 1024}


def predict(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    data: PackedDataset,
    *,
    perturbation: Perturbation | None = None,
    batch_size: int | None = None,
    bf16: bool = False,
    workers: int = 2,
    shared: bool = False,
    on_questions: Callable[[int], object] = lambda number: None,
) -> Predictions:
    """The model's answer to every question of a set, whatever its words; see `answer_questions`.

    With `shared` all processes of a distributed run must call this; they share the questions, and each gets all
    answers, which are those of one process.
    """
    place = processes() if shared else None
    share = (place.process_index, place.num_processes) if place else (0, 1)
    best, confidence = np.zeros((2, len(data.answers)))
    run = partial(answer_questions, perturbation=perturbation, batch_size=batch_size, bf16=bf16, workers=workers)
    for numbers, logits in run(model, processor, data, share=share):
        confidence[numbers], best[numbers] = (part.numpy() for part in logits.softmax(-1).max(-1))
        on_questions(len(numbers))
    if place and place.num_processes > 1:  # each question was answered by one of them, and is 0 in the others
        found = torch.from_numpy(np.stack([best, confidence])).to(place.device)
        best, confidence = reduce(found, "sum").cpu().numpy()
    names: Mapping[int, str] = model.config.id2label  # type: ignore[assignment]
    normalized = {number: normalize_answer(name) for number, name in names.items()}
    return Predictions([normalized[i] for i in best.astype(int).tolist()], confidence.astype(np.float32))


def answer_questions(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    data: PackedDataset,
    rows: np.ndarray | None = None,
    *,
    perturbation: Perturbation | None = None,
    batch_size: int | None = None,
    bf16: bool = False,
    workers: int = 2,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Logits for all questions of a set, batch by batch: their numbers (B,) in it and logits (B, answers), on the CPU.

    Args:
        model: is put in evaluation mode; it answers on its device.
        rows: the images that are asked about; by default all.
        perturbation: applied to images and questions first.
        batch_size: questions that pass the trunk at once; by default chosen for the device.
        bf16: compute in bfloat16, as autocast does.
        workers: threads that open images.
        share: (k, n) for the k-th of n shares of the batches, which are the same however they are shared.

    Raises InputError for an image that cannot be read, a model whose outputs are not finite, and a full GPU.
    """
    model.eval()
    size = batch_size or _QUESTIONS_AT_ONCE.get(model.device.type, 256)
    chunks = islice(_rows(data, 4 * size, rows), share[0], None, share[1])
    with ThreadPoolExecutor(workers) as pool:
        for chunk in _ahead(pool, lambda some: _load(processor, data, some, perturbation), chunks, workers + 1):
            for places, logits in _answer(model, processor, chunk, size, bf16):
                yield chunk.numbers[places], logits


@dataclass
class _Chunk:
    """Some images (N, H, W, 3), and of their questions the number in the set, the image (0 to N - 1) and tokens."""

    pixels: Tensor
    numbers: np.ndarray
    owners: np.ndarray
    tokens: list[list[int]]


def _rows(data: PackedDataset, questions: int, rows: np.ndarray | None) -> Iterator[np.ndarray]:
    """The `rows` (by default all) that have questions, in chunks of about `questions` questions."""
    asked = np.diff(data.image_start)
    rows = np.flatnonzero(asked) if rows is None else rows[asked[rows] > 0]
    if len(rows):
        turns = np.flatnonzero(np.diff((np.cumsum(asked[rows]) - 1) // questions)) + 1
        yield from np.split(rows, turns)


def _load(
    processor: FilmSEProcessor, data: PackedDataset, rows: np.ndarray, perturbation: Perturbation | None
) -> _Chunk:
    numbers = [np.array(data.question_numbers(row)) for row in rows.tolist()]
    images: list[ImageLike] = [data.image_file(row) if data.images is None else data.images[row] for row in rows]
    texts = [[orjson.loads(data.question_json(number))["question"] for number in some] for some in numbers]
    if perturbation is not None:
        names = [data.filenames[row] for row in rows]
        images = [perturbation.image(to_image(p), name) for p, name in zip(images, names, strict=True)]
        texts = [[perturbation.question(text, n) for text in some] for some, n in zip(texts, names, strict=True)]
    return _Chunk(
        torch.from_numpy(np.stack([processor.image_processor.to_array(image) for image in images])),
        np.concatenate(numbers),
        np.repeat(np.arange(len(rows)), [len(some) for some in numbers]),
        processor.encode_questions([text for some in texts for text in some]),
    )


@torch.inference_mode()
def _answer(
    model: FilmSEForVisualQuestionAnswering, processor: FilmSEProcessor, chunk: _Chunk, size: int, bf16: bool
) -> list[tuple[np.ndarray, Tensor]]:
    """Places (B,) in the chunk and the logits (B, answers) of their questions, those of similar length together."""
    by_length = np.argsort([len(item) for item in chunk.tokens], kind="stable")
    answers = []
    try:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            features = torch.cat(
                [
                    model.encode_images(processor.image_processor.normalize_pixels(part.to(model.device)))
                    for part in chunk.pixels.split(max(1, size // 4))
                ]
            )
            for places in np.array_split(by_length, -(-len(by_length) // size)):
                text = processor.tokenizer.pad({"input_ids": [chunk.tokens[i] for i in places]}, return_tensors="pt")
                logits = model(
                    image_features=features,
                    input_ids=text["input_ids"].to(model.device),
                    attention_mask=text["attention_mask"].to(model.device),
                    image_index=torch.from_numpy(chunk.owners[places]).to(model.device),
                ).logits
                answers.append((places, logits.float().cpu()))
    except torch.OutOfMemoryError as error:
        raise InputError(f"--batch-size {size}: the GPU's memory is too small for it; give a smaller one") from error
    if not all(logits.isfinite().all() for _, logits in answers):
        raise InputError("checkpoint: the model's outputs are not finite numbers; train or fetch it again")
    return answers


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[np.ndarray], _Chunk], items: Iterable[np.ndarray], depth: int
) -> Iterator[_Chunk]:
    """The results of `work` in order, `depth` items ahead of the one in use."""
    running: deque[Future[_Chunk]] = deque()
    try:
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) > depth:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
