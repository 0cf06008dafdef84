"""Object attention in factors, one of places and one of each attribute, so that none is read off another.

In `object_attention` a block's convolutions see all open attributes together, and the question as a whole: trained on
images without a red cube they can learn that nothing answers to "red cube". Here the channels of a block are in five
groups that never mix (grouped convolutions and FiLM): places with the earlier attention maps, then an attribute each.
A group is conditioned on what the step reads of its own attribute, and an object is selected as far as all groups
agree. A group whose attribute the gate has shut has no say.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqa.layers.film import GroupedLinear
from vqa.model.configuration import FilmSEConfig
from vqa.model.pointers import Pointer, SetStack
from vqa.model.scene import ATTRIBUTE_SIZES, STEP_SIZES, Grid

_SLOTS = max(ATTRIBUTE_SIZES)
"""Inputs of a group, padded with zeros."""
_JOINED = 16


class FactoredAttention(nn.Module):
    """What one block reads from earlier attention maps, and how it computes its own; see `ObjectAttention`."""

    GROUPS = 1 + len(ATTRIBUTE_SIZES)
    CHANNELS = GROUPS * _SLOTS
    """A block's inputs: position relative to the attended objects (2) and on the ground (2), presence, the last map and
    the map pointed at; and the maps of each attribute."""

    def __init__(self, config: FilmSEConfig, index: int) -> None:
        super().__init__()
        self.pointer = Pointer(config.text_dim, index, config.num_blocks)
        self.read_join = GroupedLinear(self.CHANNELS, self.GROUPS * _JOINED, self.GROUPS)
        self.query_join = GroupedLinear(self.GROUPS * _reading_size(), self.GROUPS * _JOINED, self.GROUPS)
        self.select = GroupedLinear(self.condition_dim(config), config.trunk_width + self.GROUPS, self.GROUPS)

    @staticmethod
    def condition_dim(config: FilmSEConfig) -> int:
        """Features of the condition that `read` gives to FiLM."""
        return FactoredAttention.GROUPS * (_reading_size() + _SLOTS + _JOINED)

    @staticmethod
    def readings(steps: Tensor) -> Tensor:
        """What each group reads of its attribute in each step, (B, K, groups, E), for steps of logits (B, K, n)."""
        operation, *filters = (part.float().softmax(-1) for part in steps.split(STEP_SIZES, -1))
        empty = operation.new_zeros(*operation.shape[:2], _SLOTS + 1)
        groups = [(operation, part, empty[..., part.shape[2] :]) for part in (operation[..., :0], *filters)]
        return torch.cat([piece for group in groups for piece in group], -1).unflatten(2, (len(groups), -1))

    def read(
        self, grid: Grid, maps: Sequence[Tensor], view: Tensor, reading: Tensor, stack: SetStack | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A block's inputs (B, CHANNELS, H, W), the condition (B, E) for FiLM, and the pointer's logits.

        `reading` (B, groups, E) is the step's of `readings`; `view` (B, D) is read by the pointer alone.
        """
        last = maps[-1] if maps else torch.zeros_like(grid.presence)
        chosen, pointer = self.pointer(view, maps, grid.presence, stack)
        contents = _grouped(grid.pool(last).split((2, *ATTRIBUTE_SIZES), 1))
        position, presence, attributes = grid.seen()
        moved = position - contents[:, :2, None, None]
        places = torch.cat([moved, position, presence, last[:, None], chosen[:, None]], 1)
        joined = self.query_join(reading.flatten(1)) * self.read_join(contents)
        parts = [x.view(x.shape[0], self.GROUPS, -1) for x in (contents, joined)]
        condition = torch.cat([reading, *parts], 2)
        return _grouped([places, *attributes.split(ATTRIBUTE_SIZES, 1)]), condition.flatten(1), pointer

    def attend(self, x: Tensor, condition: Tensor, grid: Grid, gate: Tensor | None) -> tuple[Tensor, Tensor]:
        """How well features (B, C, H, W) fit the condition (B, E): log-odds and map, (B, H, W).

        Each group's probability is an inner product's; that of a selected object is their product. `gate` (B, 15)
        leaves out the groups of attributes that are shut; None leaves out none.
        """
        batch, channels = x.shape[0], x.shape[1] // self.GROUPS
        weights, bias = self.select(condition).view(batch, self.GROUPS, -1).split((channels, 1), 2)
        features = x.reshape(batch * self.GROUPS, channels, -1)
        weights = weights.reshape(batch * self.GROUPS, 1, channels).to(x.dtype)
        logits = torch.bmm(weights, features).view(batch, self.GROUPS, *x.shape[2:])
        said = F.logsigmoid(logits.float() + bias[..., None].float())
        if gate is not None:
            heard = torch.stack([part.amax(1) for part in gate.float().split(ATTRIBUTE_SIZES, 1)], 1)
            said = torch.cat([said[:, :1], said[:, 1:] * heard[..., None, None]], 1)
        agreed = said.sum(1).clamp(max=-1e-6)
        return agreed - torch.log(-torch.expm1(agreed)), grid.presence * agreed.exp()


def _reading_size() -> int:
    return STEP_SIZES[0] + _SLOTS + 1


def _grouped(parts: Sequence[Tensor]) -> Tensor:
    """Parts (B, n, ...) of at most `_SLOTS` channels side by side, (B, groups * _SLOTS, ...), padded with zeros."""
    empty = parts[0].new_zeros(parts[0].shape[0], _SLOTS, *parts[0].shape[2:])
    return torch.cat([piece for part in parts for piece in (part, empty[:, part.shape[1] :])], 1)
