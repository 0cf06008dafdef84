"""How far a checkpoint's confidences are right, and how much it notices of what it does not know."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vqa.calibration import ood_data as foreign
from vqa.clevr.dataset.loading import open_data
from vqa.clevr.dataset.packed import PackedDataset
from vqa.errors import InputError
from vqa.evaluation.evaluate import EvaluationSet, Loaded, Running
from vqa.evaluation.metrics import calibration, wilson_interval
from vqa.evaluation.predict import answer_questions
from vqa.inference.ood import OODDetector, question_score
from vqa.model.processing import ImageLike, to_image
from vqa.model.scene import SceneMaps

_FOREIGN_IMAGES = 100
_AT_ONCE = 32


@dataclass
class Answered:
    """A model's Q answers to questions: logits (Q, answers) before any temperature, labels (Q,), -1 for a right answer
    that it lacks, and for every question its image (Q,) and `question_score` (Q,)."""

    logits: Tensor
    labels: Tensor
    images: np.ndarray
    question_scores: np.ndarray

    def confidence(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Confidence (Q,) and truth (Q,) of the answers."""
        best = (self.logits / temperature).softmax(1).max(1)
        return best.values.numpy().astype(float), (best.indices == self.labels).numpy()


def measure(
    model: Loaded, sets: Sequence[EvaluationSet], held: tuple[PackedDataset, np.ndarray], running: Running, seed: int
) -> dict[str, Any]:
    """How far confidences are right, and what is noticed: on `held` (data and rows), on `sets`, on foreign material.

    The report's shares have Wilson's intervals of 95 %. Raises InputError as `open_data` and `answer_questions` do.
    """
    config = model[0].config
    domain = None if config.domain is None else OODDetector.from_config(config.domain)
    report: dict[str, Any] = {"temperature": config.logit_temperature}
    report["sets"] = [_measure_set(model, domain, "held out in training", *held, running)]
    for item in sets:
        data = open_data(item.data, item.split, questions=item.questions)
        report["sets"].append(_measure_set(model, domain, item.name, data, None, running))
    if domain is not None:
        data, rows = held
        images = [to_image(image_of(data, row)) for row in rows[:_FOREIGN_IMAGES]]
        report["foreign"] = _measure_foreign(model, domain, images, seed)
    return report


def answer(model: Loaded, data: PackedDataset, running: Running, rows: np.ndarray | None = None) -> Answered:
    """All answered questions about some rows, by default all. Raises InputError where there are none."""
    network, processor = model
    labels = {name: i for i, name in enumerate(network.config.answers)}
    owners = np.repeat(np.arange(len(data)), np.diff(data.image_start))
    parts = []
    chosen = data.answers if rows is None else data.answers[np.isin(owners, rows)]
    if not (chosen >= 0).any():
        raise InputError(f"split {data.split}: none of its questions has an answer to compare with")
    with tqdm(total=len(chosen), desc="questions", unit=" questions", disable=None) as bar:
        for part in answer_questions(network, processor, data, rows, batch_size=running.batch_size, bf16=running.bf16):
            bar.update(len(part[0]))
            parts.append(part)
    numbers = np.concatenate([some for some, _ in parts])
    order = np.argsort(numbers)
    order = order[data.answers[numbers[order]] >= 0]
    logits = torch.cat([some for _, some in parts])[torch.from_numpy(order)] * network.config.logit_temperature
    numbers = numbers[order]
    texts = [data.question(int(number)).question for number in numbers]
    return Answered(
        logits,
        torch.tensor([labels.get(data.answer_names[code], -1) for code in data.answers[numbers]]),
        owners[numbers],
        np.array([score_question(model, text) for text in texts]),
    )


def score_question(model: Loaded, text: str) -> float:
    """`question_score` of a question as this model reads it."""
    return question_score(text, model[1].token_words(text), model[1].unknown_words(text))


@torch.inference_mode()
def read_scenes(model: Loaded, images: Sequence[ImageLike], title: str) -> Iterator[SceneMaps]:
    """A model's readings of images, in batches, on the CPU."""
    network, processor = model
    prepare = processor.image_processor
    for start in tqdm(range(0, len(images), _AT_ONCE), desc=title, disable=None):
        pixels = np.stack([prepare.to_array(image) for image in images[start : start + _AT_ONCE]])
        features = network.encode_images(prepare.normalize_pixels(torch.from_numpy(pixels).to(network.device)))
        assert network.scene is not None
        scene = network.scene(features)
        yield SceneMaps(scene.objectness.cpu(), scene.attributes.cpu(), scene.position.cpu())


def picture_scores(
    model: Loaded, domain: OODDetector, images: Sequence[ImageLike], title: str = "pictures"
) -> np.ndarray:
    """`OODDetector.picture_scores` of images, (N,)."""
    found = [domain.picture_scores(scene) for scene in read_scenes(model, images, title)]
    return np.concatenate(found) if found else np.zeros(0)


def image_of(data: PackedDataset, row: int) -> ImageLike:
    """The image of a row, decoded or as a path."""
    return data.image_path(int(row)) if data.images is None else data.images[int(row)]


def _measure_set(
    model: Loaded, domain: OODDetector | None, name: str, data: PackedDataset, rows: np.ndarray | None, running: Running
) -> dict[str, Any]:
    answered = answer(model, data, running, rows)
    confidence, right = answered.confidence(model[0].config.logit_temperature)
    plain = calibration(answered.confidence(1.0)[0], right)
    trust = calibration(confidence, right)
    found: dict[str, Any] = {
        "name": name,
        "questions": len(right),
        "accuracy": float(right.mean()),
        "calibration_error": trust and trust.error,
        "calibration_error_at_1": plain and plain.error,
    }
    if domain is not None:
        images = np.unique(answered.images)
        scores = picture_scores(model, domain, [image_of(data, row) for row in images], name)
        strange_images = scores > domain.picture_limit
        strange_questions = answered.question_scores > domain.question_limit
        outside = strange_questions | strange_images[np.searchsorted(images, answered.images)]
        found |= {
            "outside": {"pictures": _share(strange_images), "questions": _share(strange_questions)},
            "right": {"inside": _share(right[~outside]), "outside": _share(right[outside])},
        }
    return found


def _measure_foreign(
    model: Loaded, domain: OODDetector, images: Sequence[Image.Image], seed: int
) -> list[dict[str, Any]]:
    sets = {
        "photographs": foreign.photographs(),
        "empty scenes": foreign.empty_scenes(images, 20, seed),
        "shuffled tiles": foreign.shuffled_tiles(images, seed),
        "drawings": foreign.drawings(50, seed),
        "noise": foreign.noise(50, seed),
        "plain colors": foreign.plain_colors(20, seed),
    }
    found = [
        {"name": name, "kind": "pictures"} | _share(picture_scores(model, domain, some, name) > domain.picture_limit)
        for name, some in sets.items()
    ]
    scores = np.array([score_question(model, text) for text in foreign.QUESTIONS])
    return [
        *found,
        {"name": "questions outside CLEVR's language", "kind": "questions"} | _share(scores > domain.question_limit),
    ]


def _share(found: np.ndarray) -> dict[str, Any]:
    """A share of truths (N,) with Wilson's interval of 95 %; without a value where there are none."""
    value = float(found.mean()) if len(found) else None
    low, high = wilson_interval(value or 0.0, len(found))
    return {"value": value, "low": low, "high": high, "of": len(found)}
