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
        begins, idle = operations[..., _SCENE], operations[..., _NONE]
        joins = operations[..., _UNION] + operations[..., _INTERSECT]
        none, *found = torch.eye(blocks + 1, dtype=operations.dtype, device=operations.device).unbind()
        columns = (begins, 1 - joins - begins - idle, joins, idle)
        self.begins, self.others, self.joins, self.idle = (column[..., None].unbind(1) for column in columns)
        self.found = ((1 - idle)[..., None] * torch.stack(found)).unbind(1)
        self.none = none.expand(batch, 1, -1)
        self.below = none.expand(batch, max(1, blocks // 2), -1)
        self.last = none.expand(batch, -1)
        self.steps = 0

    @property
    def beneath(self) -> Tensor:
        """Where the set beneath the last one is: after all steps what the head compares the last one to."""
        return self.below[:, 0]

    def step(self, learned: Tensor) -> Tensor:
        """What the next block reads, given what its pointer learned: a join the set beneath, another step just that.

        A step that reads another set than the last begins one, as "scene" does.
        """
        k = self.steps
        joins = self.joins[k]
        begins = torch.addcmul(self.begins[k], self.others[k], 1 - learned[:, :1])
        chosen = torch.lerp(learned, self.beneath, joins)
        sets = torch.cat([self.last[:, None], self.below, self.none], 1)
        kept = torch.addcmul(begins[..., None] * sets[:, :-2], joins[..., None], sets[:, 2:])
        self.below = torch.addcmul(kept, (1 - begins - joins)[..., None], sets[:, 1:-1])
        self.last = torch.addcmul(self.found[k], self.idle[k], self.last)
        self.steps += 1
        return chosen


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
    for weight, seen in zip(weights[:, 1:, None, None].unbind(1), maps, strict=False):
        chosen = torch.addcmul(chosen, weight, seen)
    return chosen, (weights + 1e-6).log()
