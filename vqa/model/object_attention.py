"""Object attention: each block attends to the objects that its step of the question selects; later blocks read its map.

For every grid cell the scene head reads whether an object's centre lies there, its attributes and its ground position.
A block's attention map is that objectness times the block's own probability that the step selects the object. The next
block sees the map, positions relative to the attended objects, and (through FiLM) their contents, so that "left of X"
or "same color as X" crosses the grid within one block. All of it trains from answers alone; scenes and programs can
supervise it (`vqa.training.losses`). Attention maps handed from step to step are from Stack-NMN (Hu et al. 2018) and
MAC (Hudson and Manning 2018), here inside FiLM's residual blocks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqa.model.configuration import FilmSEConfig
from vqa.model.pointers import Pointer, SetStack
from vqa.model.scene import ATTRIBUTE_SIZES, STEP_SIZES, Grid


class ObjectAttention(nn.Module):
    """What one block reads from earlier attention maps, and how it computes its own."""

    EXTRA_CHANNELS = 4 + 1 + sum(ATTRIBUTE_SIZES)
    """Added to a block's input: position relative to the attended objects (2), presence and attributes, the last map,
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

    def read(
        self, grid: Grid, maps: Sequence[Tensor], view: Tensor, stack: SetStack | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Extra inputs (B, EXTRA_CHANNELS, H, W), the condition (B, E) for FiLM, and the pointer's logits."""
        last = maps[-1] if maps else torch.zeros_like(grid.presence)
        chosen, pointer = self.pointer(view, maps, grid.presence, stack)
        contents = grid.pool(last)
        position, presence, attributes = grid.seen()
        moved = position - contents[:, :2, None, None]
        extra = torch.cat([moved, presence, attributes, last[:, None], chosen[:, None]], 1)
        joined = self.query_join(view) * self.read_join(contents)
        return extra, torch.cat([view, contents, joined], 1), pointer

    def attend(self, x: Tensor, condition: Tensor, grid: Grid, gate: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """How well features (B, C, H, W) fit the condition (B, E): log-odds, by inner product, and map, (B, H, W)."""
        weights, bias = self.select(condition).split((x.shape[1], 1), 1)
        logits = torch.einsum("bchw,bc->bhw", x, weights.to(x.dtype)).float() + bias[..., None].float()
        return logits, grid.presence * logits.sigmoid()


class StepClassifier(nn.Linear):
    """Reads from a block's view of the question which operation and filters its step has."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, sum(STEP_SIZES))
