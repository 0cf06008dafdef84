"""Detects images and questions that are out of distribution: unlike those that a model was trained on.

An image is judged by what the model's own reading of the scene says of it: how much there is that could be an object,
how unsure the objects and their attributes are, and how well their places on the ground fit where they are seen. These
few numbers are compared with those of training images by the Mahalanobis distance, as Lee et al. 2018 do with a
network's features (section 2.1). A question is judged by CLEVR's grammar and by the words that the model does not know.
Both have a threshold that a given share of held-out questions and images pass.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError

if TYPE_CHECKING:
    from vqa.model.processing import ReadQuestion
    from vqa.model.scene import SceneMaps

_SIZES = tuple(len(values) for values in ATTRIBUTES.values())
STATISTICS = ("objects", "largest", "unsure", *(f"unsure_{name}" for name in ATTRIBUTES), "misplaced_x", "misplaced_y")
"""Of an image: expected number of objects, highest probability of one, expected number of doubtful ones, mean entropy
of their attributes, mean squared distance of their ground positions from where such cells usually lie."""

_TERMS = 6
_SHRINKAGE = 0.1
_LARGEST = 1e9


@dataclass(frozen=True)
class OODDetector:
    """What training images and questions are like; kept in a checkpoint's configuration, by `to_config`.

    Args:
        ground: ground position (2) as a quadratic function of a cell's coordinates, (2, 6).
        mean, spread: of the D `STATISTICS` over training images, (D,).
        precision: inverse of their correlations, (D, D).
        picture_limit, question_limit: the highest scores that are still in distribution.
    """

    ground: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    precision: np.ndarray
    picture_limit: float
    question_limit: float

    @classmethod
    def fit(cls, scenes: Sequence["SceneMaps"]) -> "OODDetector":
        """From the readings of training images, in batches; its limits are infinite until they are set."""
        ground = _fit_ground(scenes)
        found = np.concatenate([_statistics(scene, ground) for scene in scenes])
        mean, spread = found.mean(0), found.std(0) + 1e-3
        correlation = np.atleast_2d(np.cov(((found - mean) / spread).T, bias=True))
        shrunk = (1 - _SHRINKAGE) * correlation + _SHRINKAGE * np.eye(len(mean))
        return cls(ground, mean, spread, np.linalg.inv(shrunk), math.inf, math.inf)

    def image_scores(self, scene: "SceneMaps") -> np.ndarray:
        """How unlike training images N images are, from the model's readings of them: (N,), about 1 and more."""
        off = (_statistics(scene, self.ground) - self.mean) / self.spread
        return np.einsum("nd,de,ne->n", off, self.precision, off) / len(self.mean)

    def to_config(self) -> dict[str, Any]:
        """The same in plain numbers, of seven digits."""
        return {
            name: [[float(f"{v:.7g}") for v in row] for row in value.tolist()]
            if np.ndim(value) == 2
            else [float(f"{v:.7g}") for v in value.tolist()]
            if np.ndim(value)
            else float(f"{value:.7g}")
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> "OODDetector":
        """The inverse of `to_config`. Raises InputError for what is of another shape or not finite."""
        size = len(STATISTICS)
        shapes = {
            "ground": (2, _TERMS),
            "mean": (size,),
            "spread": (size,),
            "precision": (size, size),
            "picture_limit": (),
            "question_limit": (),
        }
        if not isinstance(settings, Mapping) or set(settings) != set(shapes):
            raise InputError(f"config.domain: must hold {', '.join(shapes)}; run `vqa calibrate` again")
        arrays: dict[str, Any] = {}
        for name, shape in shapes.items():
            try:
                value = np.array(settings[name], float)
            except (TypeError, ValueError, OverflowError):
                value = np.array(math.nan)
            sound = value.shape == shape and (np.abs(value) < _LARGEST).all()
            if not sound or (name == "spread" and (value <= 0).any()):
                raise InputError(f"config.domain.{name}: must be finite numbers of shape {shape}; run `vqa calibrate`")
            arrays[name] = value if shape else float(value)
        return cls(**arrays)


def question_score(question: "ReadQuestion") -> float:
    """How unlike CLEVR's questions one is: the share of its words that are unknown, and 1 more if it does not parse."""
    unknown = sum(word in question.unknown_words for word in question.words)
    return unknown / len(question.words) + (not question.is_clevr)


def _statistics(scene: "SceneMaps", ground: np.ndarray) -> np.ndarray:
    """(N, D)."""
    presence = scene.objectness.float().sigmoid()
    objects = presence.sum((1, 2))
    doubts = []
    for logits in scene.attributes.float().split(_SIZES, 1):
        entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
        doubts.append(_mean(entropy, presence))
    usual = torch.einsum("khw,ak->ahw", _terms(presence), torch.as_tensor(ground, dtype=torch.float32).to(presence))
    misplaced = _mean((scene.position.float() - usual) ** 2, presence[:, None]).unbind(1)
    columns = [objects, presence.amax((1, 2)), (presence * (1 - presence)).sum((1, 2)), *doubts, *misplaced]
    return torch.stack(columns, 1).double().cpu().numpy()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean over the grid, near 0 if all weights are."""
    return (values * weights).sum((-2, -1)) / (weights.sum((-2, -1)) + 0.1)


def _fit_ground(scenes: Sequence["SceneMaps"]) -> np.ndarray:
    left, right = np.zeros((_TERMS, _TERMS)), np.zeros((_TERMS, 2))
    for scene in scenes:
        presence = scene.objectness.float().sigmoid()
        terms = _terms(presence)
        weighted = torch.einsum("nhw,khw->nkhw", presence, terms)
        left += torch.einsum("nkhw,lhw->kl", weighted, terms).double().cpu().numpy()
        right += torch.einsum("nkhw,nahw->ka", weighted, scene.position.float()).double().cpu().numpy()
    return np.linalg.solve(left + 1e-6 * np.eye(_TERMS), right).T


def _terms(grid: Tensor) -> Tensor:
    """1, x, y, xy, xx and yy of every cell of a grid (N, H, W), x and y from -1 to 1: (6, H, W)."""
    height, width = grid.shape[-2:]
    y = torch.linspace(-1, 1, height, device=grid.device)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, device=grid.device).expand(height, width)
    return torch.stack([torch.ones_like(x), x, y, x * y, x * x, y * y])
