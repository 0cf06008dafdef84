"""Calibrates a checkpoint: its temperature, and its detector of images and questions out of distribution.

The temperature (Guo et al. 2017, section 4.2) and the detector's thresholds are fitted on the images that training held
out, the detector itself on images that training saw. Both are kept in the checkpoint's config.json; its weights stay as
they are.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from vqa.calibration.measure import answer, image_of, image_scores, read_scenes
from vqa.calibration.report import CalibrationReport, Fitted, Likelihood, card_section
from vqa.clevr.dataset.loading import open_data
from vqa.clevr.dataset.packed import PackedDataset
from vqa.errors import InputError
from vqa.evaluation.evaluate import Loaded, Running
from vqa.inference.checkpoints import checkpoint_folder
from vqa.inference.ood import OODDetector
from vqa.training.data import held_out_rows
from vqa.training.model_card import read_record
from vqa.utils.files import write_file, write_json
from vqa.utils.markdown import replace_section
from vqa.utils.records import to_json

FILE = "calibration.json"
FALSE_POSITIVES = 0.005
"""Share of held-out images, and of held-out questions, that may be flagged as out of distribution: half of the 1 % that
others should stay below, for a few hundred held-out images do not tell the two apart."""

_HOLDOUT = 0.05
_SEEN = 1000
_TEMPERATURES = (0.1, 10.0)


@dataclass(frozen=True)
class HoldoutSplit:
    """A training set, and the rows (images with answered questions) that training held out and that it saw."""

    data: PackedDataset
    held_out: np.ndarray
    seen: np.ndarray


def open_holdout(
    source: str | os.PathLike | None,
    data: str,
    split: str = "train",
    questions: str | None = None,
    *,
    holdout: float | None = None,
    seed: int | None = None,
    warn: Callable[[str], object] = lambda message: None,
) -> HoldoutSplit:
    """The training set of a checkpoint, divided as in training; share and seed are in the checkpoint's record.

    Raises InputError if nothing was held out; `warn` gets a message if the data is not what the record names.
    """
    record = read_record(checkpoint_folder(source))
    pack = open_data(data, split, questions=questions)
    name = f"{Path(data).resolve().name} {split}" + (f", {Path(questions).name}" if questions else "")
    if record.get("data", name) != name:
        warn(f"the checkpoint was trained on {record['data']!r:.80}, not {name!r}: what is held out here was not there")
    if record.get("split_protocol"):
        warn("the checkpoint was trained on a part of the split: what is held out here may not be what was held out")
    share = record.get("holdout", _HOLDOUT) if holdout is None else holdout
    number = record.get("seed", 0) if seed is None else seed
    if not isinstance(share, int | float) or not 0 < share <= 0.9 or type(number) is not int or number < 0:
        raise InputError(
            f"--holdout {share!r:.20} --seed {number!r:.20}: a share above 0, up to 0.9, and a seed from 0"
        )
    asked = np.unique(pack.question_rows[pack.answers >= 0])
    held = held_out_rows(asked, share, number) if len(asked) else asked
    if not len(held):
        raise InputError(f"{data}: no image is held out of {len(asked)}; give more data or a larger --holdout")
    return HoldoutSplit(pack, held, np.setdiff1d(asked, held))


def fit(model: Loaded, holdout: HoldoutSplit, running: Running) -> Fitted:
    """Fit the temperature and, for a model that reads scenes, the detector; both are set in its configuration."""
    network = model[0]
    answered = answer(model, holdout.data, running, holdout.held_out)
    known = answered.labels >= 0
    if not known.any():
        raise InputError(f"split {holdout.data.split}: none of its held-out answers is one that the model can give")
    logits, labels = answered.logits[known], answered.labels[known]
    temperature = fit_temperature(logits, labels)
    network.config.logit_temperature = temperature
    network.config.domain = None
    if network.scene is not None:
        detector = _fit_detector(model, holdout, answered.question_scores[known.numpy()])
        network.config.domain = detector.to_config()
    before, after = (float(F.cross_entropy(logits / t, labels)) for t in (1.0, temperature))
    return Fitted(
        temperature=temperature,
        images=len(holdout.held_out),
        questions=len(labels),
        likelihood=Likelihood(before=before, after=after),
    )


def _fit_detector(model: Loaded, holdout: HoldoutSplit, question_scores: np.ndarray) -> OODDetector:
    """A detector of images unlike those seen in training, its thresholds from those held out."""
    rng = np.random.default_rng(0)
    seen = holdout.seen
    if len(seen) > _SEEN:
        seen = np.sort(rng.choice(seen, _SEEN, replace=False))
    images = [image_of(holdout.data, row) for row in seen]
    detector = OODDetector.fit(list(read_scenes(model, images, "training images")))
    held = image_scores(model, detector, [image_of(holdout.data, row) for row in holdout.held_out])
    return replace(detector, picture_limit=_limit(held), question_limit=_limit(question_scores))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature of the least negative log-likelihood of labels (Q,) under logits (Q, answers), 0.1 to 10."""
    logits = logits.double() - logits.double().amax(1, keepdim=True)
    correct = logits.gather(1, labels[:, None])[:, 0]
    low, high = (1 / t for t in reversed(_TEMPERATURES))
    # the likelihood is concave in 1 / temperature, so its slope changes sign once: bisect, on a log scale
    for _ in range(60):
        middle = (low * high) ** 0.5
        slope = ((logits * middle).softmax(1) * logits).sum(1).mean() - correct.mean()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return round(1 / middle, 4)


def save(source: str | os.PathLike | None, model: Loaded, report: CalibrationReport) -> Path:
    """Write temperature and detector to config.json, the report to calibration.json and into the model card.

    Each file is replaced whole, config.json last. Raises InputError for a checkpoint that is not a local folder.
    """
    if source is not None and not Path(source).expanduser().is_dir():
        raise InputError(f"--checkpoint {source}: only a folder can be calibrated; copy the checkpoint into one")
    folder = checkpoint_folder(source)
    path = folder / "config.json"
    settings = json.loads(path.read_text())
    settings |= {name: getattr(model[0].config, name) for name in ("logit_temperature", "domain")}
    write_json(folder / FILE, to_json(report))
    card = folder / "README.md"
    if card.is_file():
        write_file(card, replace_section(card.read_text(), card_section(report)).encode())
    write_file(path, f"{json.dumps(settings, indent=2, sort_keys=True)}\n".encode())
    return folder


def _limit(scores: np.ndarray) -> float:
    """The lowest threshold that `FALSE_POSITIVES` of the scores exceed at most, though they move with the batch."""
    place = int(np.ceil((1 - FALSE_POSITIVES) * len(scores))) - 1
    return float(np.sort(scores)[place]) * (1 + 1e-4)
