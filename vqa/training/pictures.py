"""The pictures of a pack where training wants them: on the device as a whole, or read batch by batch."""

import numpy as np
import torch
from torch import Tensor

from vqa.clevr.packing import PackedDataset
from vqa.errors import InputError


class Pictures:
    """Pictures of a pack by row, on `device`: uploaded once where half of its free memory holds them all.

    Others are read from the pack's file, whose mapped pages would count as memory of this process. `free` is the
    device's free memory in bytes (asked of a CUDA device; nothing is uploaded to others).
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
        """Pictures (N, 3, H, W) as uint8, channels last in memory. Raises InputError where the file was cut short."""
        if self.resident is not None:
            found = self.resident[torch.from_numpy(rows).to(self.device)]
        else:
            found = torch.from_numpy(self._read(rows)).to(self.device)
        return found.permute(0, 3, 1, 2)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), *self.shape), np.uint8)
        for picture, row in zip(found, rows.tolist(), strict=True):
            self._file.seek(self.pack.images_offset + row * picture.nbytes)
            if self._file.readinto(picture) != picture.nbytes:
                raise InputError(f"{self.pack.path}: cut short while it was read; make it again with `vqa data pack`")
        return found
