"""Attribute masking: images without their objects' colors, or with nothing else of them, to learn each by itself.

In CLEVR-CoGenT (Johnson et al. 2017, section 4.7) every cube of the training images has one of four colors and every
cylinder one of the other four: either predicts the other, and a model that relies on it fails where they are swapped.
Images with masked colors have no questions about colors and do not supervise them, and the dense head learns shapes
from these images only, since colors are easier to see; images in which only blobs of color are left of the objects
supervise no other attribute. Answers do not supervise the vision encoder, for on unmasked images they would reward
the shortcut.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vqa.clevr.vocabulary import ATTRIBUTES, SYNONYMS
from vqa.training.data import Batch, Encode
from vqa.training.targets import StepTargets

_COLOR, _SHAPE = (list(ATTRIBUTES).index(name) for name in ("color", "shape"))

_LUMINANCE = torch.tensor([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


class AttributeMasking:
    """Masks the colors of a share of the images, and all but the colors of a share of the others.

    Args:
        colors, shapes: the shares, together at most 1.
        encode: texts -> token ids, to tell what a question is about by its words.
    """

    def __init__(self, colors: float, shapes: float, encode: Encode) -> None:
        self.colors, self.shapes = colors, shapes
        self._color_words = _tokens(encode, ["color"])
        self._other_words = _tokens(encode, [name for name in ATTRIBUTES if name != "color"])

    def __call__(self, images: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """The batch's images (N, 3, H, W) in 0..1, some of them masked, and the batch without what is masked.

        The scenes' centres must be those in the images; of images with an unknown scene only colors are masked. The
        generator is on the CPU.
        """
        drawn = torch.rand(len(images), generator=generator)
        numbers = batch.scenes.number.tolist()
        colorless, shapeless = drawn < self.colors, (drawn >= 1 - self.shapes) & (torch.tensor(numbers) >= 0)
        images = images.clone()
        for i in torch.nonzero(colorless).flatten().tolist():
            images[i] = other_colors(images[i], generator)
        for i in torch.nonzero(shapeless).flatten().tolist():
            images[i] = blobs(images[i], batch.scenes.centre[i, : numbers[i]], generator)
        return images, self.learnable(batch, colorless.to(images.device), shapeless.to(images.device))

    def learnable(self, batch: Batch, colorless: Tensor, shapeless: Tensor) -> Batch:
        """A batch without the targets of what is masked in its images; boolean masks (N,) say in which.

        Questions with a word about a masked attribute are left out; if that is all of them, one stays without
        targets, for a batch cannot be empty. If colors are masked at all, only images without colors supervise
        shapes, so with a small share shapes are learned slowly.
        """
        about_colors, about_others = (
            torch.isin(batch.input_ids, words.to(batch.input_ids.device)).any(1)
            for words in (self._color_words, self._other_words)
        )
        left_out = about_colors & colorless[batch.image_index] | about_others & shapeless[batch.image_index]
        attributes = batch.scenes.attributes.clone()
        for j in range(len(ATTRIBUTES)):
            if j != _COLOR:
                attributes[shapeless, :, j] = -100
        attributes[colorless, :, _COLOR] = -100
        if self.colors:
            attributes[~colorless, :, _SHAPE] = -100
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


def other_colors(image: Tensor, generator: torch.Generator) -> Tensor:
    """An image (3, H, W) recolored so that no color tells what it was.

    The brightness is a random mixture of its channels with a random gamma. The colors are its hues, all rotated by one
    angle and desaturated, plus a smooth random field of hues, without which gray objects would stay gray.
    """
    height, width = image.shape[1:]
    strength, paleness, gamma, angle = torch.rand(4, generator=generator).tolist()
    mixture = (1 - torch.rand(3, generator=generator)).log()
    shade = torch.einsum("c,chw->hw", (mixture / mixture.sum()).to(image), image) ** (0.7 + 0.8 * gamma)
    rows = int(torch.randint(2, 9, (), generator=generator))
    field = torch.randn(3, rows, rows * 3 // 2, generator=generator).to(image)
    field = F.interpolate(_chroma(field)[None], (height, width), mode="bicubic")[0]
    hues = torch.einsum("ij,jhw->ihw", _turn(2 * math.pi * angle).to(image), _chroma(image))
    return (shade + paleness * hues + strength * (0.3 + shade) * field / 4).clamp(0, 1)


def blobs(image: Tensor, centres: Tensor, generator: torch.Generator) -> Tensor:
    """An image (3, H, W) with a blob in place of each object, whose centres (K, 2) are fractions of the image.

    A blob has the colors of a few pixels at the object's centre, and a random outline and size; near objects occlude
    far ones. The background is the image, blurred beyond recognition.
    """
    height, width = image.shape[1:]
    found = F.interpolate(F.adaptive_avg_pool2d(image, (4, 6))[None], (height, width), mode="bicubic")[0]
    rows, columns = (torch.arange(size, device=image.device) for size in (height, width))
    padded = F.pad(image[None], (2,) * 4, mode="replicate")[0]
    for x, y in sorted(centres.clamp(0, 1).tolist(), key=lambda centre: centre[1]):
        column, row = min(int(x * width), width - 1), min(int(y * height), height - 1)
        size, ratio, roundness = torch.rand(3, generator=generator).tolist()
        reach = height * (0.03 + 0.1 * size)
        across, down = reach * (0.7 + 0.6 * ratio), reach * (1.3 - 0.6 * ratio)
        power = 1 + 4 * roundness
        inside = ((columns - column).abs() / across) ** power + ((rows - row).abs() / down)[:, None] ** power < 1
        patch = padded[:, row : row + 5, column : column + 5]
        side = 2 * int(max(across, down)) + 1
        texture = F.interpolate(patch[None], (side, side), mode="bilinear")[0]
        top, left = row - side // 2, column - side // 2
        place = [torch.clamp(indices - first, 0, side - 1) for indices, first in ((rows, top), (columns, left))]
        found = torch.where(inside, texture[:, place[0]][:, :, place[1]], found)
    return F.avg_pool2d(F.pad(found[None], (1,) * 4, mode="replicate"), 3, 1)[0].clamp(0, 1)


def _tokens(encode: Encode, attributes: Sequence[str]) -> Tensor:
    """The tokens, whole words or their pieces, of all words that CLEVR has for some attributes and their values."""
    values = [value for name in attributes for value in ATTRIBUTES[name]]
    words = [word for value in values for word in SYNONYMS.get(value, (value,))]
    words += [f"{word}s" for word in words] + [*attributes, *["made"] * ("material" in attributes)]
    nothing = encode(["qqq"])[0]  # special tokens and the unknown word, which are about no attribute
    return torch.tensor(sorted({token for ids in encode(words) for token in ids}.difference(nothing)))


def _chroma(image: Tensor) -> Tensor:
    """An image (3, H, W) minus its luminance."""
    return image - torch.einsum("c,chw->hw", _LUMINANCE.to(image), image)


def _turn(angle: float) -> Tensor:
    """The rotation (3, 3) of RGB by `angle` about the gray axis."""
    axis = torch.full((3,), 1 / math.sqrt(3))
    cross = torch.tensor([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    outer = axis[:, None] * axis
    return math.cos(angle) * (torch.eye(3) - outer) + math.sin(angle) * cross + outer
