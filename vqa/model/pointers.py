"""Which earlier block's attention map a block, or the head, reads beside the last one.

"A or B that is left of C" finds three sets, and the union joins the last to the first. A learned pointer reads from the
question which block found it, and fails on compositions that training lacked: a number read off a whole sentence. A
stack needs no learning: a step that begins a set puts the last one aside, a union or intersection takes one back. It is
the stack of Stack-NMN (Hu et al. 2018, section 3.2), soft, and driven by the operations that the steps are read as.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqa.clevr.programs import OPERATIONS

_NONE, _SCENE = OPERATIONS.index("none"), OPERATIONS.index("scene")
_UNION, _INTERSECT = OPERATIONS.index("union"), OPERATIONS.index("intersect")


class SetStack:
    """Which block found the set beneath the last one, step by step.

    Choices are probabilities (B, K + 1), as a `Pointer` makes them: none, then the K blocks.
    """

    def __init__(self, operations: Tensor) -> None:
        """Probabilities (B, K, `OPERATIONS`) of each block's operation."""
        batch, blocks, _ = operations.shape
        self.begins, self.idle = operations[..., _SCENE], operations[..., _NONE]
        self.joins = operations[..., _UNION] + operations[..., _INTERSECT]
        self.choices = torch.eye(blocks + 1, dtype=operations.dtype, device=operations.device)
        self.below = self.choices[0].expand(batch, max(1, blocks // 2), -1)
        self.last = self.choices[0].expand(batch, -1)
        self.steps = 0

    @property
    def beneath(self) -> Tensor:
        """Where the set beneath the last one is: after all steps what the head compares the last one to."""
        return self.below[:, 0]

    def step(self, learned: Tensor) -> Tensor:
        """What the next block reads, given what its pointer learned: a join the set beneath, another step just that.

        A step that reads another set than the last begins one, as "scene" does.
        """
        joins, begins, idle = (part[:, self.steps, None] for part in (self.joins, self.begins, self.idle))
        begins = begins + (1 - joins - begins - idle) * (1 - learned[:, :1])
        first, none = self.last[:, None], self.choices[0].expand(joins.shape[0], 1, -1)
        put, taken = torch.cat([first, self.below[:, :-1]], 1), torch.cat([self.below[:, 1:], none], 1)
        kept, beneath = 1 - begins - joins, self.beneath
        self.below = begins[..., None] * put + joins[..., None] * taken + kept[..., None] * self.below
        self.steps += 1
        self.last = idle * self.last + (1 - idle) * self.choices[self.steps]
        return joins * beneath + (1 - joins) * learned


class Pointer(nn.Module):
    """Soft choice of one earlier block's map, or of none, from the question."""

    def __init__(self, dim: int, choices: int, total: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, choices + 1)
        self.missing = total - choices

    def forward(
        self, view: Tensor, maps: Sequence[Tensor], like: Tensor, stack: SetStack | None = None
    ) -> tuple[Tensor, Tensor]:
        """View (B, D), maps (B, H, W) -> the chosen map (B, H, W) and logits (B, total + 1), -1e4 for later blocks.

        A stack is taken one step further.
        """
        logits = F.pad(self.score(view).float(), (0, self.missing), value=-1e4)
        if stack is not None:
            return read_choice(stack.step(logits.softmax(-1)), maps, like)
        return read_choice(logits.softmax(-1), maps, like)[0], logits


def read_choice(weights: Tensor, maps: Sequence[Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    """Choices (B, K + 1) of maps (B, H, W) -> their weighted sum (B, H, W), and the choices as logits."""
    chosen = torch.zeros_like(like)
    for j, seen in enumerate(maps):
        chosen = chosen + weights[:, j + 1, None, None] * seen
    return chosen, (weights + 1e-6).log()
