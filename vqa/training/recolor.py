"""Pictures in other hues, which teach that an object's shape, size and material do not hang on its colour.

In CLEVR-CoGenT (Johnson et al. 2017, section 4.7) every cube of the training pictures has one of four colours and every
cylinder one of the other four, so that colour gives the shape away. A picture whose hues are turned breaks that; what
is asked about its colours, and which colours its objects have, is then left out of the losses.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.training.data import Batch
from vqa.training.losses import StepTargets

_COLOR = list(ATTRIBUTES).index("color")
_LUMINANCE = torch.tensor([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


def turn_hues(pictures: Tensor, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
    """Turn all hues of a share of the pictures (N, 3, H, W) in 0..1 by an angle each; gray and luminance stay.

    Returns the pictures and which were turned, (N,). The generator lives on the CPU.
    """
    number = len(pictures)
    turned = torch.rand(number, generator=generator) < share
    angles = 2 * math.pi * (0.1 + 0.8 * torch.rand(number, generator=generator)) * turned
    matrices = torch.stack([_hue_rotation(float(angle)) for angle in angles]).to(pictures)
    return torch.einsum("nij,njhw->nihw", matrices, pictures).clamp(0, 1), turned.to(pictures.device)


def leave_out_colors(batch: Batch, turned: Tensor, color_labels: Tensor) -> Batch:
    """A batch in which nothing is learned of the colours of the turned pictures (N,).

    Left out are questions that filter by colour or whose answer is one (`color_labels`), and those without a program,
    which may; "the same colour as" stays true. Where that is all of them, one stays and counts for nothing. The batch's
    scenes and programs must be known to be of use.
    """
    told = (batch.steps.filters[..., _COLOR] > 0).any(1) | ~batch.steps.known | torch.isin(batch.labels, color_labels)
    left_out = told & turned[batch.image_index]
    attributes = batch.scenes.attributes.clone()
    attributes[turned, :, _COLOR] = -100
    steps = batch.steps._replace(known=batch.steps.known & ~left_out)
    kept = (~left_out).nonzero().squeeze(1) if not left_out.all() else left_out.new_zeros(1, dtype=torch.long)
    return replace(
        batch,
        input_ids=batch.input_ids[kept],
        attention_mask=batch.attention_mask[kept],
        image_index=batch.image_index[kept],
        labels=batch.labels.masked_fill(left_out, -100)[kept],
        scenes=batch.scenes._replace(attributes=attributes),
        steps=StepTargets(*(values[kept] for values in steps)),
    )


def _hue_rotation(angle: float) -> Tensor:
    """The rotation of RGB by `angle` about the gray axis, sheared so that luminance stays; (3, 3)."""
    axis = torch.full((3,), 1 / math.sqrt(3))
    cross = torch.tensor([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    outer = axis[:, None] * axis
    rotation = math.cos(angle) * (torch.eye(3) - outer) + math.sin(angle) * cross + outer
    change = _LUMINANCE - _LUMINANCE @ rotation
    return rotation + change  # the same amount on every channel
