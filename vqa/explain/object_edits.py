"""Interventions on objects: what would the model answer if it saw one otherwise, or attended elsewhere?

The scene head's readings are edited before any block reads them; a block's object attention after it was made, before
later blocks and the head read it.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError
from vqa.explain.interventions import Intervention, intervene, twin_of
from vqa.inference.answerer import Answer, VisualQuestionAnswerer
from vqa.inference.predicted_scene import SeenObject
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.object_attention import ObjectAttention
from vqa.model.processing import ImageLike
from vqa.model.scene import ATTRIBUTE_SIZES, Grid, SceneMaps

_SURE = 20.0
"""A logit whose probability is 1 for all that follows."""


@dataclass(frozen=True, eq=False)
class ChangeObject:
    """Show the model an object of `Answer.scene` with another `value` of an attribute; or, without both, hide it."""

    item: SeenObject
    attribute: str | None = None
    value: str | None = None


@dataclass(frozen=True, eq=False)
class SetAttention:
    """Have a block (from 1) attend to an object, or not."""

    block: int
    item: SeenObject
    attended: bool


ObjectEdit = ChangeObject | SetAttention


def ask_edited(
    answerer: VisualQuestionAnswerer,
    image: ImageLike,
    question: str,
    objects: Sequence[ObjectEdit],
    interventions: Sequence[Intervention] = (),
) -> Answer:
    """`answerer.ask` with edited objects, and under interventions on channels and gates.

    Raises InputError as `ask` and `intervene` do, and for a model without object attention.
    """
    edited = copy.copy(answerer)
    edited.model = intervene(edit_objects(answerer.model, objects) if objects else answerer.model, interventions)
    return edited.ask(image, question)


def edit_objects(
    model: FilmSEForVisualQuestionAnswering, edits: Sequence[ObjectEdit]
) -> FilmSEForVisualQuestionAnswering:
    """A model of the same weights that sees and attends to objects as `edits` say; images are encoded as before."""
    if model.scene is None or model.evidence is None:
        raise InputError("objects: this model has no object attention, and so sees none")
    twin = twin_of(model)
    twin.encode_images = model.encode_images  # type: ignore[method-assign]
    twin.scene = _EditedScene(model.scene, [edit for edit in edits if isinstance(edit, ChangeObject)])
    attending = [edit for edit in edits if isinstance(edit, SetAttention)]
    twin.evidence = nn.ModuleList(
        _edited(attention, [edit for edit in attending if edit.block == k])  # type: ignore[arg-type]
        for k, attention in enumerate(model.evidence, 1)
    ).train(model.training)
    return twin


class _EditedScene(nn.Module):
    """A scene head whose readings are edited before they are used."""

    def __init__(self, head: nn.Module, edits: Sequence[ChangeObject]) -> None:
        super().__init__()
        self.head, self.edits = head, edits

    def forward(self, features: Tensor) -> SceneMaps:
        maps = self.head(features)
        maps.objectness, maps.attributes = maps.objectness.clone(), maps.attributes.clone()
        starts = dict(zip(ATTRIBUTES, torch.tensor((0, *ATTRIBUTE_SIZES)).cumsum(0).tolist(), strict=False))
        for edit in self.edits:
            rows, columns = zip(*edit.item.cells, strict=True)
            if edit.attribute is None or edit.value is None:
                maps.objectness[:, rows, columns] = -_SURE
                continue
            values = ATTRIBUTES[edit.attribute]
            first = starts[edit.attribute]
            for k, value in enumerate(values, first):
                maps.attributes[:, k, rows, columns] = _SURE if value == edit.value else -_SURE
        return maps


def _edited(attention: ObjectAttention, edits: Sequence[SetAttention]) -> ObjectAttention:
    if not edits:
        return attention
    twin = twin_of(attention)

    def attend(x: Tensor, condition: Tensor, grid: Grid, gate: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits, attended = attention.attend(x, condition, grid, gate)
        attended = attended.clone()
        for edit in edits:
            rows, columns = zip(*edit.item.cells, strict=True)
            attended[:, rows, columns] = grid.presence[:, rows, columns] * float(edit.attended)
        return logits, attended

    twin.attend = attend  # type: ignore[method-assign]
    return twin
