"""Questions ready for a model, in arrays: compact in memory, and those of a batch gathered on the device at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from vqa.training.losses import StepTargets
from vqa.training.targets import StepTarget


@dataclass
class Questions:
    """Q questions: the tokens of all in a row (T,) and where each begins (Q + 1,), label (Q,), targets, row and type.

    A label is -100 for an answer outside the vocabulary. Tensors are on one device; `starts`, `rows` and `types` are
    for choosing, and stay with the CPU.
    """

    tokens: Tensor
    starts: np.ndarray
    labels: Tensor
    targets: StepTargets
    rows: np.ndarray
    types: np.ndarray

    @classmethod
    def of(
        cls,
        tokens: Sequence[Sequence[int]],
        labels: Sequence[int],
        targets: Sequence[StepTarget] | StepTarget,
        rows: Sequence[int],
        types: Sequence[int],
    ) -> "Questions":
        """Questions on the CPU, one at least, from each one's tokens, label, targets (or all stacked), row and type."""
        starts = np.cumsum([0, *map(len, tokens)])
        flat = np.fromiter(chain.from_iterable(tokens), np.int32, int(starts[-1]))
        kind = next(kind for kind in (np.uint8, np.int16, np.int32) if flat.max(initial=0) <= np.iinfo(kind).max)
        return cls(
            torch.from_numpy(flat.astype(kind)),
            starts,
            torch.tensor(labels, dtype=torch.int16),
            StepTargets.of(targets, torch.device("cpu")),
            np.array(rows, np.int32),
            np.array(types, np.int8),
        )

    @classmethod
    def join(cls, parts: "Sequence[Questions]") -> "Questions":
        """All of several, numbered on from one to the next."""
        ends = np.cumsum([0, *(part.starts[-1] for part in parts)])
        return cls(
            torch.cat([part.tokens for part in parts]),
            np.concatenate([[0], *(part.starts[1:] + end for part, end in zip(parts, ends[:-1], strict=True))]),
            torch.cat([part.labels for part in parts]),
            StepTargets(*(torch.cat(values) for values in zip(*(part.targets for part in parts), strict=True))),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.types for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> "Questions":
        """The same with its tensors on `device`."""
        targets = StepTargets(*(value.to(device) for value in self.targets))
        return Questions(self.tokens.to(device), self.starts, self.labels.to(device), targets, self.rows, self.types)

    def of_rows(self, number: int) -> list[np.ndarray]:
        """The questions' numbers, row by row, for `number` rows."""
        order = np.argsort(self.rows, kind="stable")
        return np.split(order, np.searchsorted(self.rows[order], np.arange(1, number)))

    def tokens_of(self, number: int) -> list[int]:
        """The tokens of one question."""
        return self.tokens[self.starts[number] : self.starts[number + 1]].tolist()

    def padded(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Tokens (B, L) of some questions, padded with 0 on the right to the longest of them, and their mask (B, L)."""
        starts, ends = self.starts[numbers], self.starts[numbers + 1]
        places = starts[:, None] + np.arange((ends - starts).max(initial=1))
        inside = places < ends[:, None]
        mask = torch.from_numpy(inside.astype(np.int64)).to(self.tokens.device)
        return self.tokens[torch.from_numpy(places * inside).to(self.tokens.device)].long() * mask, mask

    @cached_property
    def steps(self) -> np.ndarray:
        """Reasoning steps of each question's program (Q,), see `vqa.clevr.steps`; 0 where it is not known."""
        return torch.count_nonzero(self.targets.operation, 1).cpu().numpy()
