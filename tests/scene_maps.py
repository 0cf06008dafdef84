"""Readings of a scene head as if it saw a scene without doubt."""

import numpy as np
import torch

from vqa.model.scene import ATTRIBUTE_SIZES, SceneMaps
from vqa.training.targets import scene_target


def maps_of(scene, rows=16, columns=24, sure=9.0):
    """Readings that tell a scene; `sure` are the logits of its attributes."""
    target = scene_target(scene)
    maps = SceneMaps(
        torch.full((1, rows, columns), -9.0), torch.zeros(1, 15, rows, columns), torch.zeros(1, 2, rows, columns)
    )
    starts = np.cumsum([0, *ATTRIBUTE_SIZES[:-1]])
    for i in range(int(target.number)):
        column, row = (int(share * size) for share, size in zip(target.centre[i], (columns, rows), strict=True))
        maps.objectness[0, row, column] = 9.0
        maps.position[0, :, row, column] = torch.tensor(target.position[i])
        maps.attributes[0, starts + target.attributes[i].astype(int), row, column] = sure
    return maps
