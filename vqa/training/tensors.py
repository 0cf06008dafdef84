"""Questions and images as tensors: compact in memory, and gathered for a batch on the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from vqa.clevr.dataset.packed import PackedDataset
from vqa.errors import InputError
from vqa.training.targets import StepTarget, StepTargets

Encode = Callable[[Sequence[str]], Sequence[Sequence[int]]]
"""Texts -> token ids, without padding."""


def upload(values: Tensor | np.ndarray, device: torch.device) -> Tensor:
    """Values of the host on a device, without waiting for the work begun there, as a copy of pageable memory would."""
    tensor = torch.as_tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@lru_cache(maxsize=32)
def constant(values: tuple, device: torch.device) -> Tensor:
    """Nested numbers as a tensor that is kept on the device."""
    return torch.tensor(values, device=device)


@dataclass
class Questions:
    """Q questions: the tokens of all in a row (T,) and where each begins (Q + 1,), label (Q,), targets, row and type.

    A label is -100 for an answer outside the vocabulary. Tensors are on one device; `starts`, `rows`, `types` and
    `answered` (Q,), whether there is a label, are for choosing and counting and stay on the CPU.
    """

    tokens: Tensor
    starts: np.ndarray
    labels: Tensor
    targets: StepTargets
    rows: np.ndarray
    types: np.ndarray
    answered: np.ndarray

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
            np.array(labels, np.int16) >= 0,
        )

    @classmethod
    def join(cls, parts: "Sequence[Questions]") -> "Questions":
        """Concatenate several, numbered consecutively."""
        ends = np.cumsum([0, *(part.starts[-1] for part in parts)])
        return cls(
            torch.cat([part.tokens for part in parts]),
            np.concatenate([[0], *(part.starts[1:] + end for part, end in zip(parts, ends[:-1], strict=True))]),
            torch.cat([part.labels for part in parts]),
            StepTargets(*(torch.cat(values) for values in zip(*(part.targets for part in parts), strict=True))),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.types for part in parts]),
            np.concatenate([part.answered for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> "Questions":
        """The same with its tensors on `device`."""
        targets = StepTargets(*(value.to(device) for value in self.targets))
        return replace(self, tokens=self.tokens.to(device), labels=self.labels.to(device), targets=targets)

    def of_rows(self, number: int) -> list[np.ndarray]:
        """The questions' numbers, row by row, for `number` rows."""
        order = np.argsort(self.rows, kind="stable")
        return np.split(order, np.searchsorted(self.rows[order], np.arange(1, number)))

    def of_row(self, row: int) -> np.ndarray:
        """The numbers of one row's questions."""
        order, rows = self._by_row
        return order[slice(*np.searchsorted(rows, (row, row + 1)))]

    @cached_property
    def _by_row(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.rows, kind="stable")
        return order, self.rows[order]

    def take(self, numbers: np.ndarray) -> "Questions":
        """Some of the questions, in this order."""
        ends = np.cumsum([0, *(self.starts[numbers + 1] - self.starts[numbers])])
        places = np.arange(ends[-1]) + np.repeat(self.starts[numbers] - ends[:-1], np.diff(ends))
        chosen = upload(numbers, self.tokens.device)
        return Questions(
            self.tokens[upload(places, self.tokens.device)],
            ends,
            self.labels[chosen],
            StepTargets(*(values[chosen] for values in self.targets)),
            self.rows[numbers],
            self.types[numbers],
            self.answered[numbers],
        )

    def tokens_of(self, number: int) -> list[int]:
        """The tokens of one question."""
        return self.tokens[self.starts[number] : self.starts[number + 1]].tolist()

    def padded(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Tokens (B, L) of some questions, padded with 0 on the right to the longest of them, and their mask (B, L)."""
        starts, ends = self.starts[numbers], self.starts[numbers + 1]
        places = starts[:, None] + np.arange((ends - starts).max(initial=1))
        inside = places < ends[:, None]
        mask = upload(inside.astype(np.int64), self.tokens.device)
        return self.tokens[upload(places * inside, self.tokens.device)].long() * mask, mask

    @cached_property
    def steps(self) -> np.ndarray:
        """Reasoning steps of each question's program (Q,), see `vqa.clevr.programs`; 0 if unknown."""
        return torch.count_nonzero(self.targets.operation, 1).cpu().numpy()


class Images:
    """Images of a pack by row, on `device`: uploaded once if they fit in half of its free memory.

    If not they are read from the pack's file, whose mapped pages would count as memory of this process. `free` is the
    device's free memory in bytes (queried for a CUDA device; nothing is uploaded to others).
    """

    def __init__(self, pack: PackedDataset, device: torch.device, free: int | None = None) -> None:
        assert pack.images is not None
        self.pack, self.device, self.shape = pack, device, pack.images.shape[1:]
        self._file = pack.path.open("rb", buffering=0)
        if free is None:
            free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        self.resident: Tensor | None = None
        if pack.images.nbytes <= free // 2:
            self.resident = torch.empty(pack.images.shape, dtype=torch.uint8, device=device)
            for rows in np.array_split(np.arange(len(pack)), -(-len(pack) // 1024)):
                self.resident[rows[0] : rows[-1] + 1] = torch.from_numpy(self._read(rows)).to(device)

    def at(self, rows: np.ndarray) -> Tensor:
        """Images (N, 3, H, W) as uint8, channels last in memory. Raises InputError if the file was cut short."""
        resident = self.resident
        found = upload(self._read(rows) if resident is None else rows, self.device)
        return (found if resident is None else resident[found]).permute(0, 3, 1, 2)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), *self.shape), np.uint8)
        for image, row in zip(found, rows.tolist(), strict=True):
            self._file.seek(self.pack.images_offset + row * image.nbytes)
            if self._file.readinto(image) != image.nbytes:
                raise InputError(f"{self.pack.path}: cut short while it was read; make it again with `vqa data pack`")
        return found
