"""The scene head: dense readings of objects, attributes and ground positions from the encoder's features."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqa.clevr.programs import OPERATIONS
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.model.vision import coordinate_maps

ATTRIBUTE_SIZES = tuple(len(values) for values in ATTRIBUTES.values())
STEP_SIZES = (len(OPERATIONS), *(size + 1 for size in ATTRIBUTE_SIZES))
"""Classes of a block's step: its operation, then for each attribute "any" or the value it filters by."""

POSITION_SCALE = 3.0
"""Blender units for one unit of the model's ground positions: objects stand within -3..3 on both axes."""


@dataclass
class SceneMaps:
    """Dense readings of N images.

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
        """Begin with few objects everywhere and positions equal to the image's coordinates."""
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
