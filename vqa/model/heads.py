"""Heads: what the trunk found becomes answers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqa.clevr.programs import ANSWER_FUNCTIONS
from vqa.layers import FiLM, PathwayBank
from vqa.layers.functional import coordinate_maps, film_modulate
from vqa.model.configuration import FilmSEConfig
from vqa.model.pointers import Pointer, SetStack, read_choice
from vqa.model.scene import ATTRIBUTE_SIZES, Grid

_COUNTS = 11


class HeadOutput(NamedTuple):
    """Logits (B, answers), and for heads that have them the pointer's logits (B, blocks + 1) and the mixture (B, 9)."""

    logits: Tensor
    pointer_logits: Tensor | None = None
    pathway_weights: Tensor | None = None


class GridPool(nn.Module):
    """The FiLM paper's pool: 1x1 conv and ReLU, then one number a channel (Perez et al. 2018, section 4.1)."""

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        self.kind = config.head
        self.features = config.head_width
        self.project = nn.Conv2d(config.width + 2, config.head_width, 1)
        self.norm = nn.BatchNorm2d(config.head_width) if config.classifier_norm else nn.Identity()
        self.score = nn.Conv2d(config.head_width, 1, 1) if self.kind == "attention" else None

    def read(
        self, x: Tensor, view: Tensor, grid: Grid | None, maps: Sequence[Tensor], stack: SetStack | None
    ) -> tuple[Tensor, None]:
        """Features (B, C, H, W) -> (B, features); the question and the blocks' maps are not read."""
        coords = coordinate_maps(x).expand(x.shape[0], -1, -1, -1)
        x = torch.relu(self.norm(self.project(torch.cat([x, coords], 1))))
        if self.score is not None:
            return (x.flatten(2) * self.score(x).flatten(2).softmax(-1)).sum(-1), None
        return (x.mean((2, 3)) if self.kind == "mean" else x.amax((2, 3))), None


class EvidencePool(nn.Module):
    """What the last attention map and one earlier map select: their contents, agreement and counts."""

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        contents = 2 + sum(ATTRIBUTE_SIZES)
        self.reads_trunk = config.head_features
        trunk = config.width if self.reads_trunk else 0
        self.features = 2 * contents + trunk + len(ATTRIBUTE_SIZES) + 2 * _COUNTS + 5
        learned = config.pointer == "learned"
        self.pointer = Pointer(config.text_dim, config.num_blocks - 1, config.num_blocks) if learned else None

    def read(
        self, x: Tensor, view: Tensor, grid: Grid | None, maps: Sequence[Tensor], stack: SetStack | None
    ) -> tuple[Tensor, Tensor]:
        """Features (B, C, H, W), question (B, D), maps (B, H, W) -> (B, features), pointer logits (B, blocks + 1)."""
        assert grid is not None
        first = maps[-1]
        if self.pointer is not None:
            second, pointer = self.pointer(view, maps[:-1], grid.presence)
        else:
            assert stack is not None
            second, pointer = read_choice(stack.beneath, maps[:-1], grid.presence)
        here, there = grid.pool(first), grid.pool(second)
        agree = [part.sum(1, keepdim=True) for part in (here * there)[:, 2:].split(ATTRIBUTE_SIZES, 1)]
        count, other = first.sum((1, 2)), second.sum((1, 2))
        features = [here, there]
        if self.reads_trunk:
            features.append(torch.einsum("bchw,bhw->bc", x, first.to(x.dtype)) / count.clamp(min=0.5)[:, None])
        counts = [_bumps(count, 0, _COUNTS), _bumps(other, 0, _COUNTS), _bumps((count - other).clamp(-2, 2), -2, 5)]
        return torch.cat([*features, *agree, *counts], 1), pointer


class PoolHead(GridPool):
    """The FiLM paper's classifier: a pool over the grid, and a two-layer perceptron."""

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Sequential(
            nn.Linear(self.features, config.classifier_dim),
            nn.BatchNorm1d(config.classifier_dim) if config.classifier_norm else nn.Identity(),
            nn.ReLU(),
            nn.Linear(config.classifier_dim, len(config.answers)),
        )

    def forward(
        self, x: Tensor, view: Tensor, grid: Grid | None, maps: Sequence[Tensor], stack: SetStack | None = None
    ) -> HeadOutput:
        """Features (B, C, H, W) -> logits (B, answers)."""
        return HeadOutput(self.classifier(self.read(x, view, grid, maps, stack)[0]))


class EvidenceHead(EvidencePool):
    """Classifies the evidence by a two-layer perceptron, whose hidden features the question modulates by FiLM.

    With `config.factored` all that it knows of the question is which function gives the answer: a head that hears the
    words learns from images without red cubes that their number is 0.
    """

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__(config)
        self.hidden = nn.Linear(self.features, config.classifier_dim)
        self.kinds = nn.Linear(config.text_dim, len(ANSWER_FUNCTIONS)) if config.factored else None
        self.film = FiLM(len(ANSWER_FUNCTIONS) if config.factored else config.text_dim, config.classifier_dim)
        self.classifier = nn.Linear(config.classifier_dim, len(config.answers))
        numbered = config.answers[:_COUNTS] == [str(number) for number in range(_COUNTS)]
        self.count_gain = nn.Parameter(torch.tensor(6.0)) if config.factored and numbered else None

    def forward(
        self, x: Tensor, view: Tensor, grid: Grid | None, maps: Sequence[Tensor], stack: SetStack | None = None
    ) -> HeadOutput:
        """Features (B, C, H, W), question (B, D) and maps (B, H, W) -> logits (B, answers) and the pointer's."""
        features, pointer = self.read(x, view, grid, maps, stack)
        asked = view if self.kinds is None else self.kinds(view).float().softmax(-1)
        gamma, beta = self.film.parameters_for(asked)
        hidden = torch.relu(film_modulate(self.hidden(features), gamma, beta))
        logits = self.classifier(hidden)
        if self.count_gain is not None:
            # numbers that training hardly has, 9 and 10, are answered all the same: by what the last map counts
            count = maps[-1].sum((1, 2)).clamp(max=_COUNTS - 1)
            counting = self.count_gain * asked[:, ANSWER_FUNCTIONS.index("count"), None]
            counted = counting * _bumps(count, 0, _COUNTS)
            logits = logits + F.pad(counted, (0, logits.shape[1] - _COUNTS)).to(logits.dtype)
        return HeadOutput(logits, pointer)


class PathwayHead(nn.Module):
    """Nine pathways, modulated and mixed by the question, over the evidence, or over the trunk's pooled features."""

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        self.pool = EvidencePool(config) if config.evidence else GridPool(config)
        self.pathways = PathwayBank(self.pool.features, config.classifier_dim, config.text_dim)
        self.classifier = nn.Linear(config.classifier_dim, len(config.answers))

    def forward(
        self, x: Tensor, view: Tensor, grid: Grid | None, maps: Sequence[Tensor], stack: SetStack | None = None
    ) -> HeadOutput:
        """Features (B, C, H, W), question (B, D) and maps (B, H, W) -> logits, the pointer's, and the mixture."""
        features, pointer = self.pool.read(x, view, grid, maps, stack)
        logits = self.classifier(torch.relu(self.pathways(features, view)))
        return HeadOutput(logits, pointer, self.pathways.weights(view))


HEADS: dict[str, type[nn.Module]] = {
    "evidence": EvidenceHead,
    "max": PoolHead,
    "mean": PoolHead,
    "attention": PoolHead,
    "pathways": PathwayHead,
}
"""`config.head` -> its class."""


def _bumps(number: Tensor, start: int, size: int) -> Tensor:
    """A number (B,) as triangular indicators of the whole numbers from `start` on: (B, size)."""
    centres = torch.arange(start, start + size, device=number.device, dtype=number.dtype)
    return torch.relu(1 - (number[:, None] - centres).abs())
