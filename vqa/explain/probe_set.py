"""The images and questions to study a model with: sampled from a dataset, encoded once, run in batches."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.explain.object_regions import Box
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import FilmSEProcessor, encode_pixels

CROSSED_IMAGES, CROSSED_OF_TYPE = 40, 8
"""Images, and questions of each type, of an analysis of variance, where all are asked about all."""

QUESTIONS_AT_ONCE = 64
_IMAGES_AT_ONCE = 16


@dataclass
class ProbeSet:
    """P images with scenes, and Q questions about them, all with program and answer.

    Attributes: `features` (P, C, h, w) of the stem, of `pixels` (P, H, W, 3), bytes; `scenes`, `filenames` and `boxes`
    of the images; `questions`, their `tokens`, and `images` (Q,), the index of the image of each.
    """

    features: Tensor
    pixels: np.ndarray
    scenes: list[Scene]
    filenames: list[str]
    boxes: list[Box]
    questions: list[Question]
    tokens: list[list[int]]
    images: np.ndarray

    @property
    def types(self) -> np.ndarray:
        """The type of each question (Q,), as an index of `QUESTION_TYPES`."""
        return np.array([QUESTION_TYPES.index(question.type or "") for question in self.questions])

    def crossed(self, images: np.ndarray, questions: np.ndarray) -> "ProbeSet":
        """Each of these questions about each of these images, image by image, whether or not it makes sense there."""
        order = np.tile(questions, len(images)).tolist()
        return replace(
            self,
            questions=[self.questions[i] for i in order],
            tokens=[self.tokens[i] for i in order],
            images=np.repeat(images, len(questions)),
        )

    def crossing(self, seed: int) -> "ProbeSet":
        """Equally many questions of each type about the same images."""
        rng = np.random.default_rng((seed, 1))
        types = self.types  # a balanced design needs as many of each: as the rarest type that occurs has
        of_type = [rng.permutation(np.flatnonzero(types == i)) for i in range(len(QUESTION_TYPES))]
        each = min(CROSSED_OF_TYPE, *(len(numbers) for numbers in of_type if len(numbers)))
        questions = np.concatenate([numbers[:each] for numbers in of_type])
        return self.crossed(rng.permutation(len(self.scenes))[:CROSSED_IMAGES], questions)

    def batches(
        self, processor: FilmSEProcessor, size: int = QUESTIONS_AT_ONCE
    ) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
        """Indices of questions (B,) and the model's inputs for them; questions of similar length go together."""
        order = np.argsort([len(item) for item in self.tokens], kind="stable")
        for numbers in np.array_split(order, max(1, -(-len(order) // size))):
            device = self.features.device
            yield (
                numbers,
                {
                    "image_features": self.features,
                    **processor.pad_tokens([self.tokens[i] for i in numbers], device),
                    "image_index": torch.from_numpy(self.images[numbers]).to(device),
                },
            )


def gather_probe_set(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    data: PackedDataset,
    *,
    images: int,
    per_image: int,
    seed: int,
    rows: Sequence[int] | None = None,
    on_image: Callable[[int], object] = lambda number: None,
) -> ProbeSet:
    """A sample: up to `images` images, with up to `per_image` questions each, of different types first.

    `rows` are the images to choose among, None for all.
    Raises InputError if no image has a scene and a question with program and answer.
    """
    rng = np.random.default_rng(seed)
    scenes: list[Scene] = []
    used: list[int] = []
    asked: list[Question] = []
    owners: list[int] = []
    for row in rng.permutation(len(data) if rows is None else rows).tolist():
        scene = data.scene(row)
        chosen = _choose(data.questions(row), per_image, rng)
        if scene is None or not scene.objects or not chosen:
            continue
        owners += [len(used)] * len(chosen)
        asked += chosen
        used.append(row)
        scenes.append(scene)
        if len(used) == images:
            break
    if not used:
        raise InputError(
            f"split {data.split}: no image has both a scene and a question with program and answer; channels cannot "
            "be compared with objects without them"
        )
    features, boxes, pixels = [], [], []
    with torch.inference_mode():
        for start in range(0, len(used), _IMAGES_AT_ONCE):
            some = [processor.image_processor.prepare(data.image(row)) for row in used[start : start + _IMAGES_AT_ONCE]]
            features.append(encode_pixels(model, processor, np.stack([image.pixels for image in some])))
            boxes += [image.box for image in some]
            pixels += [image.pixels for image in some]
            on_image(len(some))
    return ProbeSet(
        torch.cat(features),
        np.stack(pixels),
        scenes,
        [data.filenames[row] for row in used],
        boxes,
        asked,
        processor.encode_questions([question.question for question in asked]),
        np.array(owners),
    )


def _choose(questions: list[Question], number: int, rng: np.random.Generator) -> list[Question]:
    """Up to `number` of an image's questions: one of each type before a second of any."""
    usable = [question for question in questions if question.program and question.answer is not None]
    usable = [usable[i] for i in rng.permutation(len(usable)) if usable[i].type in QUESTION_TYPES]
    seen: dict[str | None, int] = defaultdict(int)
    turn = []
    for question in usable:
        turn.append(seen[question.type])
        seen[question.type] += 1
    return [usable[i] for i in np.argsort(turn, kind="stable")[:number]]
