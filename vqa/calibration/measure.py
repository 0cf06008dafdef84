"""How well a checkpoint's confidences match its accuracy, and how much out of distribution it detects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vqa.calibration import ood_data
from vqa.calibration.report import (
    DetectionRate,
    FlaggedShares,
    Measurement,
    SetCalibration,
    ShareEstimate,
    SplitAccuracy,
)
from vqa.clevr.dataset.loading import open_data
from vqa.clevr.dataset.packed import PackedDataset
from vqa.errors import InputError
from vqa.evaluation.evaluate import EvaluationSet, Loaded, Running
from vqa.evaluation.metrics import calibration, wilson_interval
from vqa.evaluation.predict import answer_questions
from vqa.inference.ood import OODDetector, question_score
from vqa.model.processing import ImageLike, to_image
from vqa.model.scene import SceneMaps

_OOD_IMAGES = 100
_AT_ONCE = 32


@dataclass
class Answered:
    """A model's answers to Q questions.

    Attributes:
        logits: (Q, answers) before any temperature.
        labels: (Q,) correct answers, -1 for one that the model cannot give.
        images: (Q,) the row of each question's image.
        question_scores: (Q,) the `question_score` of each question.
    """

    logits: Tensor
    labels: Tensor
    images: np.ndarray
    question_scores: np.ndarray

    def confidence(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """The confidence (Q,) of each answer, and whether it is correct, a boolean mask (Q,)."""
        best = (self.logits / temperature).softmax(1).max(1)
        return best.values.numpy().astype(float), (best.indices == self.labels).numpy()


def measure(
    model: Loaded, sets: Sequence[EvaluationSet], held: tuple[PackedDataset, np.ndarray], running: Running, seed: int
) -> Measurement:
    """Calibration and false positives on `held` (data and rows) and on `sets`, and detection of what is neither.

    Raises InputError as `open_data` and `answer_questions` do.
    """
    config = model[0].config
    detector = None if config.domain is None else OODDetector.from_config(config.domain)
    measured = [_measure_set(model, detector, "held out in training", *held, running)]
    for item in sets:
        data = open_data(item.data, item.split, questions=item.questions)
        measured.append(_measure_set(model, detector, item.name, data, None, running))
    detection = None
    if detector is not None:
        data, rows = held
        images = [to_image(image_of(data, row)) for row in rows[:_OOD_IMAGES]]
        detection = _measure_detection(model, detector, images, seed)
    return Measurement(temperature=config.logit_temperature, sets=measured, detection=detection)


def answer(model: Loaded, data: PackedDataset, running: Running, rows: np.ndarray | None = None) -> Answered:
    """A model's answers to all answered questions about `rows`, by default all. Raises InputError if none."""
    network, processor = model
    labels = {name: i for i, name in enumerate(network.config.answers)}
    owners = data.question_rows
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
    return question_score(model[1].read_question(text))


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


def image_scores(
    model: Loaded, detector: OODDetector, images: Sequence[ImageLike], title: str = "images"
) -> np.ndarray:
    """`OODDetector.image_scores` (N,) of images."""
    found = [detector.image_scores(scene) for scene in read_scenes(model, images, title)]
    return np.concatenate(found) if found else np.zeros(0)


def image_of(data: PackedDataset, row: int) -> ImageLike:
    """The image of a row, decoded or as a path."""
    return data.image_file(int(row)) if data.images is None else data.images[int(row)]


def _measure_set(
    model: Loaded,
    detector: OODDetector | None,
    name: str,
    data: PackedDataset,
    rows: np.ndarray | None,
    running: Running,
) -> SetCalibration:
    answered = answer(model, data, running, rows)
    confidence, correct = answered.confidence(model[0].config.logit_temperature)
    uncalibrated = calibration(answered.confidence(1.0)[0], correct)
    calibrated = calibration(confidence, correct)
    flagged = accuracies = None
    if detector is not None:
        images = np.unique(answered.images)
        scores = image_scores(model, detector, [image_of(data, row) for row in images], name)
        flagged_images = scores > detector.picture_limit
        flagged_questions = answered.question_scores > detector.question_limit
        outside = flagged_questions | flagged_images[np.searchsorted(images, answered.images)]
        flagged = FlaggedShares(images=_share(flagged_images), questions=_share(flagged_questions))
        accuracies = SplitAccuracy(inside=_share(correct[~outside]), outside=_share(correct[outside]))
    return SetCalibration(
        name=name,
        questions=len(correct),
        accuracy=float(correct.mean()),
        calibration_error=calibrated.error if calibrated else None,
        calibration_error_at_1=uncalibrated.error if uncalibrated else None,
        flagged=flagged,
        accuracies=accuracies,
    )


def _measure_detection(
    model: Loaded, detector: OODDetector, images: Sequence[Image.Image], seed: int
) -> list[DetectionRate]:
    sets = {
        "photographs": ood_data.photographs(),
        "empty scenes": ood_data.empty_scenes(images, 20, seed),
        "shuffled tiles": ood_data.shuffled_tiles(images, seed),
        "drawings": ood_data.drawings(50, seed),
        "noise": ood_data.noise(50, seed),
        "plain colors": ood_data.plain_colors(20, seed),
    }
    flagged = {name: image_scores(model, detector, some, name) > detector.picture_limit for name, some in sets.items()}
    rates = [DetectionRate(name=name, kind="pictures", **vars(_share(found))) for name, found in flagged.items()]
    scores = np.array([score_question(model, text) for text in ood_data.QUESTIONS])
    found = _share(scores > detector.question_limit)
    return [*rates, DetectionRate(name="questions outside CLEVR's language", kind="questions", **vars(found))]


def _share(chosen: np.ndarray) -> ShareEstimate:
    """The share of a boolean mask (N,) that is True."""
    value = float(chosen.mean()) if len(chosen) else None
    low, high = wilson_interval(value or 0.0, len(chosen))
    return ShareEstimate(value=value, low=low, high=high, of=len(chosen))
