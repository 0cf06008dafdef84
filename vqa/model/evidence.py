"""Spatial evidence: each block marks the objects its step of the question selects, and later blocks read the marks.

A dense head reads from the stem's features, for every grid cell, whether an object's centre lies there, its attributes
and its place on the ground. A block's map is that objectness times the block's own probability that the object is
meant.
The next block sees the map, positions relative to the marked objects, and (through FiLM) the marked objects' features,
so that "left of X" or "same colour as X" crosses the grid within one block. All of it trains from answers alone; scenes
and programs can supervise it (`vqa.training.losses`). The idea of maps handed from step to step is that of Stack-NMN
(Hu et al. 2018) and MAC (Hudson and Manning 2018), here inside FiLM's residual blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqa.clevr.steps import OPERATIONS
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.model.configuration import FilmSEConfig
from vqa.model.vision import coordinate_maps

ATTRIBUTE_SIZES = tuple(len(values) for values in ATTRIBUTES.values())
STEP_SIZES = (len(OPERATIONS), *(size + 1 for size in ATTRIBUTE_SIZES))
"""Classes of a block's step: its operation, then for each attribute "any" or the value it filters by."""

POSITION_SCALE = 3.0
"""Blender units for one unit of the model's ground positions: objects stand within -3..3 on both axes."""


@dataclass
class SceneMaps:
    """Dense readings of N pictures.

    objectness (N, H, W) and attributes (N, 15, H, W) are logits, position is (N, 2, H, W). Attributes are
    concatenated in the order of `ATTRIBUTES`; positions are CLEVR's ground coordinates along "right" and "front",
    divided by `POSITION_SCALE`, so that they lie about in -1..1 as the coordinate maps do.
    """

    objectness: Tensor
    attributes: Tensor
    position: Tensor

    def per_question(self, image_index: Tensor | None) -> "Grid":
        """The readings as each question's blocks use them."""
        presence = self.objectness.float().sigmoid()[:, None]
        parts = torch.cat([part.softmax(1) for part in self.attributes.float().split(ATTRIBUTE_SIZES, 1)], 1)
        position = self.position.float()
        contents = torch.cat([position, parts], 1).flatten(2).transpose(1, 2)
        maps = torch.cat([position, presence, parts * presence], 1).contiguous(memory_format=torch.channels_last)
        if image_index is not None:
            presence, contents, maps = (x.index_select(0, image_index) for x in (presence, contents, maps))
        return Grid(presence[:, 0], contents, maps)


@dataclass
class Grid:
    """The readings per question.

    presence (B, H, W): probability of an object's centre. contents (B, H*W, 17): position and attribute probabilities
    of every cell. maps (B, 18, H, W): what blocks see; position, presence, and the attributes where an object is.
    """

    presence: Tensor
    contents: Tensor
    maps: Tensor

    def pool(self, weights: Tensor) -> Tensor:
        """Mean contents under a map (B, H, W): (B, 17); near zero where the map is empty."""
        flat = weights.flatten(1)
        with torch.autocast(weights.device.type, enabled=False):
            return torch.bmm(flat[:, None], self.contents)[:, 0] / flat.sum(1, keepdim=True).clamp(min=0.5)


class SceneHead(nn.Module):
    """Reads objectness, attributes and ground position from every cell of the stem's features."""

    def __init__(self, width: int, hidden: int = 96) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(width + 2, hidden, 1)
        self.objectness = nn.Conv2d(hidden, 1, 1)
        self.attributes = nn.Conv2d(hidden, sum(ATTRIBUTE_SIZES), 1)
        self.position = nn.Conv2d(hidden, 2, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin with few objects everywhere and positions equal to the picture's coordinates."""
        assert self.objectness.bias is not None
        assert self.position.bias is not None
        nn.init.constant_(self.objectness.bias, -3.0)
        nn.init.zeros_(self.position.weight)
        nn.init.zeros_(self.position.bias)

    def forward(self, features: Tensor) -> SceneMaps:
        """(N, C, H, W) -> `SceneMaps`."""
        coords = coordinate_maps(features).expand(features.shape[0], -1, -1, -1)
        hidden = torch.relu(self.hidden(torch.cat([features, coords], 1)))
        return SceneMaps(self.objectness(hidden)[:, 0], self.attributes(hidden), coords + self.position(hidden))


class Pointer(nn.Module):
    """Soft choice of one earlier block's map, or of none, from the question."""

    def __init__(self, dim: int, choices: int, total: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, choices + 1)
        self.missing = total - choices

    def forward(self, view: Tensor, maps: Sequence[Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
        """View (B, D), maps (B, H, W) -> the chosen map (B, H, W) and logits (B, total + 1), -1e4 for later blocks."""
        scores = self.score(view).float()
        weights = scores.softmax(-1)
        chosen = torch.zeros_like(like)
        for j, seen in enumerate(maps):
            chosen = chosen + weights[:, j + 1, None, None] * seen
        return chosen, F.pad(scores, (0, self.missing), value=-1e4)


class Evidence(nn.Module):
    """What one block reads from earlier maps, and how it marks its own."""

    EXTRA_CHANNELS = 4 + 1 + sum(ATTRIBUTE_SIZES)
    """Added to a block's input: position relative to the marked objects (2), presence and attributes, the last map,
    the map pointed at."""

    def __init__(self, config: FilmSEConfig, index: int) -> None:
        super().__init__()
        self.pointer = Pointer(config.text_dim, index, config.num_blocks)
        contents = 2 + sum(ATTRIBUTE_SIZES)
        self.read_join = nn.Linear(contents, config.width)
        self.query_join = nn.Linear(config.text_dim, config.width)
        self.select = nn.Linear(self.condition_dim(config), config.width + 1)

    @staticmethod
    def condition_dim(config: FilmSEConfig) -> int:
        """Features of the condition that `read` gives to FiLM."""
        return config.text_dim + 2 + sum(ATTRIBUTE_SIZES) + config.width

    def read(self, grid: Grid, maps: Sequence[Tensor], view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Extra inputs (B, EXTRA_CHANNELS, H, W), the condition (B, E) for FiLM, and the pointer's logits."""
        last = maps[-1] if maps else torch.zeros_like(grid.presence)
        chosen, pointer = self.pointer(view, maps, grid.presence)
        contents = grid.pool(last)
        shift = F.pad(contents[:, :2], (0, grid.maps.shape[1] - 2))
        extra = torch.cat([grid.maps - shift[..., None, None], last[:, None], chosen[:, None]], 1)
        joined = self.query_join(view) * self.read_join(contents)
        return extra, torch.cat([view, contents, joined], 1), pointer

    def mark(self, x: Tensor, condition: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """How well features (B, C, H, W) fit the condition (B, E): log-odds, by inner product, and map, (B, H, W)."""
        weights, bias = self.select(condition).split((x.shape[1], 1), 1)
        logits = torch.einsum("bchw,bc->bhw", x, weights.to(x.dtype)).float() + bias[..., None].float()
        return logits, grid.presence * logits.sigmoid()


class StepClassifier(nn.Linear):
    """Reads from a block's view of the question which operation and filters its step has."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, sum(STEP_SIZES))
