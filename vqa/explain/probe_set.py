"""The images and questions to study a model with: sampled from a dataset, encoded once, run in batches."""

from collections import defaultdict
from collections.abc import Callable, Iterator
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

QUESTIONS_AT_ONCE = 64
_IMAGES_AT_ONCE = 16


@dataclass
class ProbeSet:
    """P images with scenes, and Q questions about them, all with program and answer.

    Attributes: `features` (P, C, h, w) of the stem; `scenes`, `filenames` and `boxes` of the images; `questions`,
    their `tokens`, and `images` (Q,), the index of the image of each.
    """

    features: Tensor
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
    on_image: Callable[[int], object] = lambda number: None,
) -> ProbeSet:
    """A sample: up to `images` images, with up to `per_image` questions each, of different types first.

    Raises InputError if no image has a scene and a question with program and answer.
    """
    rng = np.random.default_rng(seed)
    scenes: list[Scene] = []
    rows: list[int] = []
    asked: list[Question] = []
    owners: list[int] = []
    for row in rng.permutation(len(data)).tolist():
        scene = data.scene(row)
        chosen = _choose(data.questions(row), per_image, rng)
        if scene is None or not scene.objects or not chosen:
            continue
        owners += [len(rows)] * len(chosen)
        asked += chosen
        rows.append(row)
        scenes.append(scene)
        if len(rows) == images:
            break
    if not rows:
        raise InputError(
            f"split {data.split}: no image has both a scene and a question with program and answer; channels cannot "
            "be compared with objects without them"
        )
    features, boxes = [], []
    with torch.inference_mode():
        for start in range(0, len(rows), _IMAGES_AT_ONCE):
            some = [processor.image_processor.prepare(data.image(row)) for row in rows[start : start + _IMAGES_AT_ONCE]]
            features.append(encode_pixels(model, processor, np.stack([image.pixels for image in some])))
            boxes += [image.box for image in some]
            on_image(len(some))
    return ProbeSet(
        torch.cat(features),
        scenes,
        [data.filenames[row] for row in rows],
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
