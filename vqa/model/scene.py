"""The scene head: dense readings of objects, attributes and ground positions from the encoder's features."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqa.clevr.programs import OPERATIONS
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.layers.functional import coordinate_maps, film_modulate
from vqa.model.second_look import REREAD, REREAD_SIZES

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
    divided by `POSITION_SCALE`, so that they lie about in -1..1 as the coordinate maps do. `center` (N, 2, H, W), where
    the head reads it, is where in the image a cell's object lies, x and y as fractions of its width and height.
    """

    objectness: Tensor
    attributes: Tensor
    position: Tensor
    center: Tensor | None = None

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
    of every cell. maps (B, 18, H, W): what blocks see; position, presence, and the attributes where an object is. gate
    (B, 15), where there is one, scales every attribute that is read; where it is 0, so is the attribute, exactly.
    """

    presence: Tensor
    contents: Tensor
    maps: Tensor
    gate: Tensor | None = None

    def gated(self, gate: Tensor) -> "Grid":
        """The readings through a gate (B, 15)."""
        return Grid(self.presence, self.contents.contiguous(), self.maps, gate)

    def seen(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a block sees: position (B, 2, H, W), presence (B, 1, H, W) and attributes (B, 15, H, W)."""
        position, presence, attributes = self.maps.split((2, 1, sum(ATTRIBUTE_SIZES)), 1)
        return position, presence, attributes if self.gate is None else film_modulate(attributes, self.gate)

    def pool(self, weights: Tensor) -> Tensor:
        """Mean contents under a map (B, H, W): (B, 17); near zero where the map is empty."""
        flat = weights.flatten(1)
        with torch.autocast(weights.device.type, enabled=False):
            mean = torch.bmm(flat[:, None], self.contents)[:, 0] / flat.sum(1, keepdim=True).clamp(min=0.5)
        return mean if self.gate is None else torch.cat([mean[:, :2], mean[:, 2:] * self.gate], 1)


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


class TwoStreamSceneHead(nn.Module):
    """Reads color from the color stream alone, and all else from the form stream (see `TwoStreamEncoder`)."""

    def __init__(self, form_channels: int, color_channels: int, hidden: int = 96) -> None:
        super().__init__()
        self.streams = (form_channels, color_channels)
        self.hidden = nn.Conv2d(form_channels + 2, hidden, 1)
        self.objectness = nn.Conv2d(hidden, 1, 1)
        self.form = nn.Conv2d(hidden, sum(REREAD_SIZES), 1)
        self.color = nn.Conv2d(color_channels, len(ATTRIBUTES["color"]), 1)
        self.position = nn.Conv2d(hidden, 2, 1)
        self.center = nn.Conv2d(hidden, 2, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin with few objects everywhere, in the middle of their cells, at the image's coordinates."""
        assert self.objectness.bias is not None
        nn.init.constant_(self.objectness.bias, -3.0)
        for layer in (self.position, self.center):
            assert layer.bias is not None
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> SceneMaps:
        """Features (N, form + color [+ 7], H, W), the last seven logits of `SecondLook`, -> `SceneMaps`."""
        _, color, *second = features.split([*self.streams, *self._rest(features)], 1)
        hidden = self.hidden_features(features)
        read = self.form(hidden)
        read = read + second[0] if second else read
        parts = dict(zip(REREAD, read.split(REREAD_SIZES, 1), strict=True), color=self.color(color))
        attributes = torch.cat([parts[name] for name in ATTRIBUTES], 1)
        objectness, center = self.find(hidden)
        return SceneMaps(objectness, attributes, coordinate_maps(hidden) + self.position(hidden), center)

    def hidden_features(self, features: Tensor) -> Tensor:
        """What all but color is read from, (N, hidden, H, W)."""
        form = features[:, : self.streams[0]]
        coords = coordinate_maps(form).expand(form.shape[0], -1, -1, -1)
        return torch.relu(self.hidden(torch.cat([form, coords], 1)))

    def find(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Objectness (N, H, W) and `SceneMaps.center` for `hidden_features`."""
        # the middle of the cell and at most 0.75 cells from there; in float32, for bfloat16 is off by up to a pixel
        sizes, middles = hidden.shape[:-3:-1], coordinate_maps(hidden.float()).unbind(1)
        axes = zip(middles, self.center(hidden).float().unbind(1), sizes, strict=True)
        center = torch.stack([(x * (n - 1) / n + 1) / 2 + 0.75 * torch.tanh(moved) / n for x, moved, n in axes], 1)
        return self.objectness(hidden)[:, 0], center

    def _rest(self, features: Tensor) -> list[int]:
        rest = features.shape[1] - sum(self.streams)
        return [rest] if rest else []
