"""Pictures that hide the colours or the shapes of their objects, so that a model learns to see each without the other.

In CLEVR-CoGenT (Johnson et al. 2017, section 4.7) every cube of the training pictures has one of four colours and every
cylinder one of the other four: either gives the other away, and a model that uses it fails where they are swapped.
Where colours are hidden nothing is asked or taught about them, and what shapes are is taught there alone; where shapes
are hidden, so that a blurred spot of colour is left, it is the other way round.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.training.data import Batch
from vqa.training.losses import StepTargets

_COLOR, _SHAPE = (list(ATTRIBUTES).index(name) for name in ("color", "shape"))
_LUMINANCE = torch.tensor([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


class Hiding:
    """Hides the colours of a share of the pictures and the shapes of a share of the others.

    Args:
        colors, shapes: the shares, together at most 1.
        answers: the model's.
    """

    def __init__(self, colors: float, shapes: float, answers: Sequence[str]) -> None:
        self.colors, self.shapes = colors, shapes
        self._color_labels = torch.tensor([answers.index(color) for color in ATTRIBUTES["color"] if color in answers])

    def __call__(self, pictures: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Pictures (N, 3, H, W) in 0..1 that hide something, and the batch, its own untouched, that may be learned.

        The batch's scenes and programs must be known to be of use. The generator lives on the CPU.
        """
        drawn = torch.rand(len(pictures), generator=generator)
        colorless, shapeless = drawn < self.colors, drawn >= 1 - self.shapes
        pictures = pictures.clone()
        for chosen, change in ((colorless, other_colors), (shapeless, blurred_spots)):
            for i in torch.nonzero(chosen).flatten().tolist():
                pictures[i] = change(pictures[i], generator)
        return pictures, self.learnable(batch, colorless.to(pictures.device), shapeless.to(pictures.device))

    def learnable(self, batch: Batch, colorless: Tensor, shapeless: Tensor) -> Batch:
        """What may be learned of a batch where N pictures hide their colours or their shapes (N,).

        Nothing of what a picture hides: left out are questions that filter by it, or whose answer is a colour that is
        hidden, and those without a program, which may; "the same colour as" stays true. Where that is all of them, one
        stays and counts for nothing. And of what is hidden in some pictures, nothing where the other shows.
        """
        filters, unknown = batch.steps.filters, ~batch.steps.known
        answers = torch.isin(batch.labels, self._color_labels.to(batch.labels.device))
        about_colors = (filters[..., _COLOR] > 0).any(1) | answers | unknown
        about_shapes = (filters[..., _SHAPE] > 0).any(1) | unknown
        left_out = about_colors & colorless[batch.image_index] | about_shapes & shapeless[batch.image_index]
        attributes = batch.scenes.attributes.clone()
        attributes[~shapeless if self.shapes else colorless, :, _COLOR] = -100
        attributes[~colorless if self.colors else shapeless, :, _SHAPE] = -100
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


def other_colors(picture: Tensor, generator: torch.Generator) -> Tensor:
    """A picture (3, H, W) in which no colour tells what it was.

    A random mixture of its channels and a random gamma give the brightness; its hues, all turned by one angle and
    paled, and a smooth field of other hues, which gray things need, give the colours.
    """
    height, width = picture.shape[1:]
    strength, paleness, gamma, angle = torch.rand(4, generator=generator).tolist()
    mixture = torch.rand(3, generator=generator).log()
    shade = torch.einsum("c,chw->hw", (mixture / mixture.sum()).to(picture), picture) ** (0.7 + 0.8 * gamma)
    rows = int(torch.randint(2, 9, (), generator=generator))
    field = torch.randn(3, rows, rows * 3 // 2, generator=generator).to(picture)
    field = F.interpolate(_chroma(field)[None], (height, width), mode="bicubic")[0]
    hues = torch.einsum("ij,jhw->ihw", _turn(2 * math.pi * angle).to(picture), _chroma(picture))
    return (shade + paleness * hues + strength * (0.3 + shade) * field / 4).clamp(0, 1)


def blurred_spots(picture: Tensor, generator: torch.Generator) -> Tensor:
    """A picture (3, H, W) whose pixels went 2 to 6 pixels astray, then in coarse blocks: colours, but no shapes."""
    height, width = picture.shape[1:]
    reach = 2 + 4 * torch.rand((), generator=generator).item()
    astray = (2 * torch.rand(1, height, width, 2, generator=generator) - 1) * reach / torch.tensor([width, height])
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 3, height, width], align_corners=False) + 2 * astray
    found = F.grid_sample(picture[None], grid.to(picture), padding_mode="border", align_corners=False)
    block = int(torch.randint(1, 7, (), generator=generator))
    small = F.interpolate(found, (max(1, height // block), max(1, width // block)), mode="area")
    return F.interpolate(small, (height, width), mode="bilinear")[0]


def _chroma(picture: Tensor) -> Tensor:
    """What is left of (3, H, W) without its luminance."""
    return picture - torch.einsum("c,chw->hw", _LUMINANCE.to(picture), picture)


def _turn(angle: float) -> Tensor:
    """The rotation (3, 3) of RGB by `angle` about the gray axis."""
    axis = torch.full((3,), 1 / math.sqrt(3))
    cross = torch.tensor([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    outer = axis[:, None] * axis
    return math.cos(angle) * (torch.eye(3) - outer) + math.sin(angle) * cross + outer
