"""Losses: the answer's cross-entropy, and those that scenes and programs add."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqa.model.evidence import ATTRIBUTE_SIZES, STEP_SIZES
from vqa.model.modeling import FilmSEOutput


@dataclass
class SceneTargets:
    """Batch of `SceneTarget`: centre (N, M, 2), attributes (N, M, 4), position (N, M, 2), count (N,)."""

    centre: Tensor
    attributes: Tensor
    position: Tensor
    count: Tensor


@dataclass
class StepTargets:
    """Batch of `StepTarget`: operation (B, K), filters (B, K, 4), pointers (B, K + 1), members (B, K, M), known (B,)."""

    operation: Tensor
    filters: Tensor
    pointers: Tensor
    members: Tensor
    known: Tensor


def object_cells(centre: Tensor, height: int, width: int) -> Tensor:
    """Index of the cell (row * width + column) that holds each centre, for fractions (N, M, 2) of the picture."""
    column = (centre[..., 0] * width).long().clamp(0, width - 1)
    row = (centre[..., 1] * height).long().clamp(0, height - 1)
    return row * width + column


def scene_losses(output: FilmSEOutput, targets: SceneTargets) -> dict[str, Tensor]:
    """Objectness of every cell, and attributes and ground position of the cells that hold an object's centre."""
    scene = output.scene
    assert scene is not None
    height, width = scene.objectness.shape[-2:]
    cells = object_cells(targets.centre, height, width)
    present = torch.arange(cells.shape[1], device=cells.device) < targets.count[:, None]
    total = present.sum().clamp(min=1)
    where = torch.zeros(cells.shape[0], height * width, device=cells.device)
    where.scatter_add_(1, cells, present.float())
    objectness = F.binary_cross_entropy_with_logits(
        scene.objectness.float().flatten(1), where.clamp(max=1), reduction="sum"
    )
    attributes = _at_cells(scene.attributes, cells)[present].float()
    position = _at_cells(scene.position, cells)[present].float()
    labels = targets.attributes[present]
    attribute = sum(
        F.cross_entropy(part, labels[:, j]) for j, part in enumerate(attributes.split(ATTRIBUTE_SIZES, 1))
    )
    return {
        "objectness": objectness / total,
        "attributes": torch.as_tensor(attribute),
        "position": F.smooth_l1_loss(position, targets.position[present], beta=0.1),
    }


def program_losses(
    output: FilmSEOutput, steps: StepTargets, scenes: SceneTargets, image_index: Tensor
) -> dict[str, Tensor]:
    """Each block's evidence at the objects' cells, its operation and filters, and what blocks and head point at."""
    assert output.evidence_logits is not None and output.step_logits is not None and output.pointer_logits is not None
    evidence = torch.stack(output.evidence_logits, 1)
    height, width = evidence.shape[-2:]
    cells = object_cells(scenes.centre, height, width)[image_index]
    logits = evidence.flatten(2).gather(2, cells[:, None].expand(-1, evidence.shape[1], -1))
    member = steps.members
    supervised = (member >= 0) & steps.known[:, None, None]
    marks = F.binary_cross_entropy_with_logits(logits, member.clamp(min=0).float(), reduction="none")
    known = steps.known
    parts = output.step_logits[known].float().flatten(0, 1).split(STEP_SIZES, 1)
    language = F.cross_entropy(parts[0], steps.operation[known].flatten())
    for j, part in enumerate(parts[1:]):
        language = language + F.cross_entropy(part, steps.filters[known][..., j].flatten())
    pointers = F.cross_entropy(output.pointer_logits[known].flatten(0, 1), steps.pointers[known].flatten())
    return {
        "evidence": (marks * supervised).sum() / supervised.sum().clamp(min=1),
        "steps": language,
        "pointers": pointers,
    }


def _at_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Maps (N, C, H, W) at cells (N, M) -> (N, M, C)."""
    flat = maps.flatten(2)
    return flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
