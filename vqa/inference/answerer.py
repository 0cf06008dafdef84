"""Asking one question about one image: the library's front door, behind `vqa ask`, the page and the pipeline."""

import hashlib
import os
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqa.clevr.programs import OPERATIONS
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.inference.checkpoints import load_checkpoint
from vqa.inference.ood import OODDetector, question_score
from vqa.model.modeling import FilmSEForVisualQuestionAnswering, FilmSEOutput
from vqa.model.processing import FilmSEProcessor, ImageLike, rank_answers, to_image
from vqa.model.scene import STEP_SIZES

TOP_ANSWERS = 5
CACHED_IMAGES = 16

_DIGITS = 5


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model answers, and with which channels. Arrays are float32; `to_json` makes lists of them.

    Args:
        answer: the most probable answer.
        confidence: its probability, 0 to 1.
        top_answers: the most probable answers with their probabilities, falling.
        unknown_words: words of the question that the model does not know; it answered as if each were the same blank.
        in_domain: whether image and question look like those of training (`vqa.inference.ood`); None where the
            checkpoint cannot tell, for it is not calibrated.
        weights: for each residual block, "block_1" first, what the configuration has of film_gamma, film_beta and
            channel_weights (C,), word_weights (L,) over `words`, spatial_weights (h, w) over the model's grid: the
            probability of an object that the block selects; None for what it lacks.
        words: the L tokens of the question as the model reads it: in CLEVR's words, where its own are free or misspelt.
        steps: for each block, what it takes its part of the question to be: "operation", "probability", "filters"
            (attribute -> value) and "reads", the probability of each block whose selection it reads beside its
            predecessor's; None for a model without evidence.
        picture_box: left, top, right, bottom of the image as fractions of the model's grid: within 0..1 where it got
            a border, being of another ratio, and beyond where a plain border of its own was cut off.
        pathway_weights: how much each of the nine pathways of the `pathways` head counts, (9,); None for other heads.
        unfamiliar: which of "picture" and "question" look unlike those of training.
        read_as: the question as the model reads it, where that is not word by word as it was asked.
    """

    answer: str
    confidence: float
    top_answers: list[tuple[str, float]]
    unknown_words: list[str]
    in_domain: bool | None
    weights: dict[str, dict[str, np.ndarray | None]]
    words: list[str]
    steps: list[dict[str, Any]] | None
    picture_box: tuple[float, float, float, float]
    pathway_weights: np.ndarray | None = None
    unfamiliar: tuple[str, ...] = ()
    read_as: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as plain lists, numbers and strings, rounded to five digits."""
        return _plain(asdict(self))


class VisualQuestionAnswerer:
    """A model with its processor, ready to be asked, from several threads too.

    It keeps the stem's features of the last images, so that another question about one of them costs the trunk alone.
    """

    def __init__(self, model: FilmSEForVisualQuestionAnswering, processor: FilmSEProcessor) -> None:
        self.model = model.eval()
        self.processor = processor
        self.domain = None if model.config.domain is None else OODDetector.from_config(model.config.domain)
        self._features: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.device

    def ask(self, image: ImageLike, question: str) -> Answer:
        """Answer a question about an image.

        Args:
            image: PIL image, path, a file's bytes, or an array (H, W, 3) of bytes or of floats in 0..1.
            question: in English, up to 100 words and 1,000 characters.

        Raises InputError for an image that cannot be read and for a question that is empty, too long or without any
        known word.
        """
        unknown = self.processor.check_question(question)
        image = to_image(image)
        pixels = self.processor.image_processor.to_array(image)
        with self._lock, torch.inference_mode():
            tokens = self.processor(text=question, return_tensors="pt").to(self.device)
            output = self.model(image_features=self._encode(pixels), **tokens)
            return self._answer(output, question, unknown, image)

    def _encode(self, pixels: np.ndarray) -> Tensor:
        key = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        features = self._features.pop(key, None)
        if features is None:
            batch = torch.from_numpy(pixels)[None].to(self.device)
            features = self.model.encode_images(self.processor.image_processor.normalize_pixels(batch))
        self._features[key] = features
        if len(self._features) > CACHED_IMAGES:
            self._features.popitem(last=False)
        return features

    def _answer(self, output: FilmSEOutput, question: str, unknown: list[str], image: Image.Image) -> Answer:
        assert output.logits is not None
        words = self.processor.token_words(question)
        unfamiliar = self._unfamiliar(output, question, words, unknown)
        ranked = rank_answers(output.logits[0], self.model.config.answers, TOP_ANSWERS)
        kinds = ("film_gamma", "film_beta", "channel_weights", "word_weights", "spatial_weights")
        blocks = range(self.model.config.num_blocks)
        weights = {f"block_{k + 1}": {kind: _array(getattr(output, kind), k) for kind in kinds} for k in blocks}
        return Answer(
            answer=ranked[0][0],
            confidence=ranked[0][1],
            top_answers=ranked,
            unknown_words=unknown,
            in_domain=None if unfamiliar is None else not unfamiliar,
            weights=weights,
            words=words,
            steps=None if output.step_logits is None else [read_step(output, k) for k in blocks],
            picture_box=self.processor.image_processor.picture_box(image),
            pathway_weights=None if output.pathway_weights is None else output.pathway_weights[0].float().cpu().numpy(),
            unfamiliar=unfamiliar or (),
            read_as=self.processor.restated(question),
        )

    def _unfamiliar(
        self, output: FilmSEOutput, question: str, words: list[str], unknown: list[str]
    ) -> tuple[str, ...] | None:
        domain, scene = self.domain, output.scene
        if domain is None or scene is None:
            return None
        strange = {
            "picture": domain.picture_scores(scene)[0] > domain.picture_limit,
            "question": question_score(question, words, unknown) > domain.question_limit,
        }
        return tuple(name for name, is_strange in strange.items() if is_strange)


def load(
    checkpoint: str | os.PathLike | None = None, device: str | torch.device | None = None
) -> VisualQuestionAnswerer:
    """The model of a checkpoint folder or hub id, ready to be asked; the shipped one by default.

    Raises InputError for a checkpoint that is missing or broken, and for a device that is not here.
    """
    return VisualQuestionAnswerer(*load_checkpoint(checkpoint, device))


def read_step(output: FilmSEOutput, block: int) -> dict[str, Any]:
    """What a block takes its part of the (first) question to be; see `Answer.steps`."""
    assert output.step_logits is not None
    assert output.pointer_logits is not None
    operation, *filters = output.step_logits[0, block].float().split(STEP_SIZES)
    probabilities = operation.softmax(0)
    chosen = {
        name: values[int(logits.argmax()) - 1]
        for (name, values), logits in zip(ATTRIBUTES.items(), filters, strict=True)
        if logits.argmax() > 0
    }
    best = int(probabilities.argmax())
    reads = output.pointer_logits[0, block].float().softmax(0)[1 : block + 1]
    return {
        "operation": OPERATIONS[best],
        "probability": float(probabilities[best]),
        "filters": chosen,
        "reads": {f"block_{j + 1}": p for j, p in enumerate(reads.tolist())},
    }


def _array(per_block: tuple[Tensor, ...] | None, block: int) -> np.ndarray | None:
    return None if per_block is None else per_block[block][0].float().cpu().numpy()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return np.round(value.astype(float), _DIGITS).tolist()
    return round(value, _DIGITS) if isinstance(value, float) else value
