"""Losses: the answer's cross-entropy, those that scenes and programs add, and the guard of the channel weights.

Each is a sum and the number of things it sums over, so that processes of different load can share one mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vqa.layers.entropy import entropy_penalties, gate_statistics
from vqa.model.modeling import FilmSEOutput
from vqa.model.scene import ATTRIBUTE_SIZES, STEP_SIZES
from vqa.training.targets import SceneTargets, StepTargets

WEIGHTS = {
    "answer": 1.0,
    "objectness": 0.1,
    "attributes": 0.3,
    "position": 3.0,
    "evidence": 3.0,
    "steps": 1.0,
    "pointers": 0.5,
    "entropy": 0.0,
}
"""Default weight of each loss in the total; `entropy` is the guard of the channel weights, off by default."""


class Loss(NamedTuple):
    """A loss as its sum () and the number () of terms in it."""

    total: Tensor
    number: Tensor


def object_cells(centre: Tensor, height: int, width: int) -> Tensor:
    """Index of the cell (row * width + column) that holds each centre, for fractions (N, M, 2) of the image."""
    column = (centre[..., 0] * width).long().clamp(0, width - 1)
    row = (centre[..., 1] * height).long().clamp(0, height - 1)
    return row * width + column


def answer_loss(output: FilmSEOutput, labels: Tensor) -> dict[str, Loss]:
    """Cross-entropy of the answers, for labels (B,); -100 is left out."""
    assert output.logits is not None
    return {"answer": _cross_entropy(output.logits, labels)}


def scene_losses(output: FilmSEOutput, targets: SceneTargets) -> dict[str, Loss]:
    """Objectness of every cell, and attributes and ground position of the cells that hold an object's centre."""
    scene = output.scene
    assert scene is not None
    height, width = scene.objectness.shape[-2:]
    cells = object_cells(targets.centre, height, width)
    present = torch.arange(cells.shape[1], device=cells.device) < targets.number[:, None]
    known = targets.number >= 0
    number = present.sum()
    where = torch.zeros(cells.shape[0], height * width, device=cells.device)
    where = where.scatter_add_(1, cells, present.float()).clamp(max=1)
    objectness = F.binary_cross_entropy_with_logits(scene.objectness.float().flatten(1), where, reduction="none")
    labels = targets.attributes[present].long()
    attributes = _at_cells(scene.attributes, cells)[present].float().split(ATTRIBUTE_SIZES, 1)
    attribute = torch.stack(
        [F.cross_entropy(part, labels[:, j], reduction="sum") for j, part in enumerate(attributes)]
    ).sum()
    position = _at_cells(scene.position, cells)[present].float()
    place = F.smooth_l1_loss(position, targets.position[present], beta=0.1, reduction="sum") / 2
    return {
        "objectness": Loss((objectness * known[:, None]).sum(), number),
        "attributes": Loss(attribute, number),
        "position": Loss(place, number),
    }


def program_losses(
    output: FilmSEOutput, steps: StepTargets, scenes: SceneTargets, image_index: Tensor
) -> dict[str, Loss]:
    """Each block's evidence at the objects' cells, and what blocks and head point at."""
    assert output.evidence_logits is not None
    assert output.pointer_logits is not None
    evidence = torch.stack(output.evidence_logits, 1)
    height, width = evidence.shape[-2:]
    cells = object_cells(scenes.centre, height, width)[image_index]
    logits = evidence.flatten(2).gather(2, cells[:, None].expand(-1, evidence.shape[1], -1))
    supervised = (steps.members >= 0) & steps.known[:, None, None] & (scenes.number[image_index] >= 0)[:, None, None]
    marks = F.binary_cross_entropy_with_logits(logits, steps.members.clamp(min=0).float(), reduction="none")
    nothing = ~steps.known[:, None]
    pointers = steps.pointers[:, : output.pointer_logits.shape[1]]  # a head that reads no evidence points at none
    return {
        "evidence": Loss((marks * supervised).sum(), supervised.sum()),
        "pointers": _cross_entropy(output.pointer_logits, pointers.masked_fill(nothing, -100)),
    }


def step_losses(output: FilmSEOutput, steps: StepTargets) -> dict[str, Loss]:
    """What each block's view of the question tells of its operation and its filters."""
    assert output.step_logits is not None
    nothing = ~steps.known[:, None]
    operation = steps.operation.masked_fill(nothing, -100)
    filters = steps.filters.masked_fill(nothing[..., None], -100)
    parts = output.step_logits.split(STEP_SIZES, -1)
    language = [_cross_entropy(parts[0], operation)]
    language += [_cross_entropy(part, filters[..., j]) for j, part in enumerate(parts[1:])]
    return {"steps": Loss(torch.stack([loss.total for loss in language]).sum(), language[0].number)}


def entropy_loss(output: FilmSEOutput, labels: Tensor) -> dict[str, Loss]:
    """The channel-entropy guard of every block's gate, for the questions whose labels (B,) are not -100."""
    assert output.channel_weights is not None
    asked = labels != -100
    penalties = [entropy_penalties(weights)[asked].sum() for weights in output.channel_weights]
    return {"entropy": Loss(torch.stack(penalties).sum(), asked.sum() * len(penalties))}


def gate_values(gates: Sequence[Tensor]) -> dict[str, float]:
    """What to log of each block's channel weights (B, C): "block_1/entropy" and so on, see `GateStatistics`."""
    return {
        f"block_{k}/{name}": value.item()
        for k, weights in enumerate(gates, 1)
        for name, value in gate_statistics(weights)._asdict().items()
    }


def _cross_entropy(logits: Tensor, labels: Tensor) -> Loss:
    total = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten().long(), reduction="sum", ignore_index=-100)
    return Loss(total, (labels != -100).sum())


def _at_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Maps (N, C, H, W) at cells (N, M) -> (N, M, C)."""
    flat = maps.flatten(2)
    return flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
