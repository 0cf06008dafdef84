"""Losses: the answer's cross-entropy, those that scenes and programs supervise, and the entropy regularizer.

Each is a sum over the things that `numbers` counts, so that processes and batches of different load share one mean.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vqa.clevr.programs import OPERATIONS
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.layers.entropy import entropy_penalties, gate_statistics
from vqa.model.modeling import FilmSEOutput
from vqa.model.scene import ATTRIBUTE_SIZES, STEP_SIZES
from vqa.training.targets import SceneTargets, StepTargets

WEIGHTS = {
    "answer": 1.0,
    "objectness": 0.1,
    "attributes": 0.3,
    "position": 3.0,
    "center": 20.0,
    "evidence": 3.0,
    "steps": 1.0,
    "kind": 0.3,
    "pointers": 0.5,
    "gates": 3.0,
    "entropy": 0.0,
}
"""Default weight of each loss in the total; `entropy`, the regularizer of the channel weights, is off."""


def numbers(labels: Tensor, scenes: SceneTargets, steps: StepTargets, image_index: Tensor) -> dict[str, Tensor]:
    """What each loss is the mean over, counted in a batch: questions with a target, objects, or objects of steps.

    The targets alone tell it, so that it is known before the forward pass. Each is a scalar on the device.
    """
    answered, known, objects = (labels != -100).sum(), steps.known.sum(), scenes.number.clamp(min=0).sum()
    return {
        "answer": answered,
        "entropy": answered,
        **dict.fromkeys(("objectness", "attributes", "position", "center"), objects),
        **dict.fromkeys(("steps", "kind", "pointers", "gates"), known),
        "evidence": _supervised(steps, scenes, image_index).sum(),
    }


def object_cells(centre: Tensor, height: int, width: int) -> Tensor:
    """Index of the cell (row * width + column) that holds each centre, for fractions (N, M, 2) of the image."""
    column = (centre[..., 0] * width).long().clamp(0, width - 1)
    row = (centre[..., 1] * height).long().clamp(0, height - 1)
    return row * width + column


def answer_loss(output: FilmSEOutput, labels: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of the answers, for labels (B,); -100 is left out."""
    assert output.logits is not None
    return {"answer": _cross_entropy(output.logits, labels)}


def scene_losses(output: FilmSEOutput, targets: SceneTargets) -> dict[str, Tensor]:
    """Objectness of every cell, and attributes and ground position of the cells that hold an object's centre."""
    scene = output.scene
    assert scene is not None
    height, width = scene.objectness.shape[-2:]
    cells = object_cells(targets.centre, height, width)
    present = torch.arange(cells.shape[1], device=cells.device) < targets.number[:, None]
    known = targets.number >= 0
    where = torch.zeros(cells.shape[0], height * width, device=cells.device)
    where = where.scatter_add_(1, cells, present.float()).clamp(max=1)
    objectness = F.binary_cross_entropy_with_logits(scene.objectness.float().flatten(1), where, reduction="none")
    # cells without an object are masked rather than left out, which would make a GPU wait for their number
    labels = targets.attributes.long().masked_fill(~present[..., None], -100)
    attributes = _at_cells(scene.attributes, cells).split(ATTRIBUTE_SIZES, 2)
    attribute = [_cross_entropy(part, labels[..., j]) for j, part in enumerate(attributes)]
    losses = {
        "objectness": (objectness * known[:, None]).sum(),
        "attributes": torch.stack(attribute).sum(),
        "position": _distance(scene.position, cells, targets.position, present, 0.1),
    }
    if scene.center is not None:
        losses["center"] = _distance(scene.center, cells, targets.centre, present, 0.01)
    return losses


def program_losses(
    output: FilmSEOutput, steps: StepTargets, scenes: SceneTargets, image_index: Tensor
) -> dict[str, Tensor]:
    """Each block's object attention at the objects' cells, and what blocks and head point at."""
    assert output.evidence_logits is not None
    assert output.pointer_logits is not None
    evidence = torch.stack(output.evidence_logits, 1)
    height, width = evidence.shape[-2:]
    cells = object_cells(scenes.centre, height, width)[image_index]
    logits = evidence.flatten(2).gather(2, cells[:, None].expand(-1, evidence.shape[1], -1))
    supervised = _supervised(steps, scenes, image_index)
    marks = F.binary_cross_entropy_with_logits(logits, steps.members.clamp(min=0).float(), reduction="none")
    nothing = ~steps.known[:, None]
    pointers = steps.pointers[:, : output.pointer_logits.shape[1]]  # a head that reads no evidence points at none
    return {
        "evidence": (marks * supervised).sum(),
        "pointers": _cross_entropy(output.pointer_logits, pointers.masked_fill(nothing, -100)) / pointers.shape[1],
    }


def step_losses(output: FilmSEOutput, steps: StepTargets) -> dict[str, Tensor]:
    """The operation and filters of each block's step, read from its view of the question."""
    assert output.step_logits is not None
    nothing = ~steps.known[:, None]
    operation = steps.operation.masked_fill(nothing, -100)
    filters = steps.filters.masked_fill(nothing[..., None], -100)
    parts = output.step_logits.split(STEP_SIZES, -1)
    language = [_cross_entropy(parts[0], operation)]
    language += [_cross_entropy(part, filters[..., j]) for j, part in enumerate(parts[1:])]
    losses = {"steps": torch.stack(language).sum() / operation.shape[1]}
    if output.kind_logits is not None:
        losses["kind"] = _cross_entropy(output.kind_logits, steps.kind.masked_fill(~steps.known, -100))
    return losses if output.gate_logits is None else losses | gate_losses(output, steps)


def gate_losses(output: FilmSEOutput, steps: StepTargets) -> dict[str, Tensor]:
    """Which attribute channels an input gate opens: those that the step filters by or compares, or the answer names."""
    assert output.gate_logits is not None
    compared = torch.stack([steps.operation == OPERATIONS.index(f"same_{name}") for name in ATTRIBUTES], -1)
    asked = torch.arange(1, len(ATTRIBUTES) + 1, device=steps.asked.device) == steps.asked[:, None]
    wanted = torch.cat([(steps.filters > 0) | compared, asked[:, None]], 1).float()
    channels = [wanted[..., j : j + 1].expand(-1, -1, size) for j, size in enumerate(ATTRIBUTE_SIZES)]
    logits = output.gate_logits.float()
    loss = F.binary_cross_entropy_with_logits(logits, torch.cat(channels, -1), reduction="none").mean((1, 2))
    return {"gates": (loss * steps.known).sum()}


def entropy_loss(output: FilmSEOutput, labels: Tensor) -> dict[str, Tensor]:
    """The channel-entropy regularizer of every block's gate, for the questions whose labels (B,) are not -100."""
    assert output.channel_weights is not None
    penalties = torch.stack([entropy_penalties(weights) for weights in output.channel_weights]).mean(0)
    return {"entropy": (penalties * (labels != -100)).sum()}


@torch.no_grad()
def gate_values(channel_weights: Sequence[Tensor], logits: Tensor | None) -> dict[str, Tensor]:
    """What to log of gates, as scalars on their device.

    Of each block's channel weights (B, C): "block_1/entropy" and so on, see `GateStatistics`. Of an input gate's logits
    (B, K, C): the share of open gates, the share of decided ones (probability below 0.05 or above 0.95), and what they
    tell of the question: of the variance of gates drawn with these probabilities, the share between questions. It is 0
    for gates that are alike for all questions, and 1 for decided ones that differ.
    """
    values = {
        f"block_{k}/{name}": value
        for k, weights in enumerate(channel_weights, 1)
        for name, value in gate_statistics(weights)._asdict().items()
    }
    if logits is None:
        return values
    open_, mean = logits.float().sigmoid(), logits.float().sigmoid().mean(0)
    return values | {
        "gate_open": (open_ > 0.5).float().mean(),
        "gate_decided": ((open_ - 0.5).abs() > 0.45).float().mean(),
        "gate_information": open_.var(0, correction=0).sum() / (mean * (1 - mean)).sum().clamp(min=1e-6),
    }


def _supervised(steps: StepTargets, scenes: SceneTargets, image_index: Tensor) -> Tensor:
    """Which objects each step has a target for, (B, K, M): those of known scenes, in steps that exist."""
    return (steps.members >= 0) & (steps.known & (scenes.number[image_index] >= 0))[:, None, None]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The sum over labels that are not -100."""
    return F.cross_entropy(logits.float().flatten(0, -2), labels.flatten().long(), reduction="sum", ignore_index=-100)


def _distance(maps: Tensor, cells: Tensor, targets: Tensor, present: Tensor, beta: float) -> Tensor:
    """The sum over objects of how far maps (N, 2, H, W) are from targets (N, M, 2) at their cells (N, M)."""
    found = _at_cells(maps, cells).float()
    each = F.smooth_l1_loss(found, targets, beta=beta, reduction="none").mean(-1)
    return (each * present).sum()


def _at_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Maps (N, C, H, W) at cells (N, M) -> (N, M, C)."""
    flat = maps.flatten(2)
    return flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
