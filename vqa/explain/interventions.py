"""Interventions: what would the model answer with channels off, a gate fixed, or the FiLM of another question?

`intervene` gives a second model that shares every weight with the first but changes some blocks as they run. The first
stays as it is, so that threads can ask both at once and nothing has to be undone:

>>> edited = intervene(model, [Scale(block=3, channels=[4, 17], factor=0.0), SetGate(block=5, weights=1.0)])
>>> edited(image_features=features, input_ids=tokens).logits

Blocks count from 1, as in "block 1"; channels from 0. A channel of a block is one of the C maps that the block
adds to its skip connection: y = weight * relu(gamma * norm(conv) + beta). The skip itself is left alone.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from vqa.errors import InputError
from vqa.inference.answerer import Answer, VisualQuestionAnswerer
from vqa.layers.film import FiLM
from vqa.layers.functional import film_modulate
from vqa.model.modeling import FilmSEBlock, FilmSEForVisualQuestionAnswering, FilmSEOutput
from vqa.model.processing import ImageLike

Values = float | Sequence[float] | np.ndarray | Tensor
Channels = Sequence[int] | Tensor | None
"""Indices of channels; a boolean mask (C,) or (B, C); or None for all."""

LARGEST = 1e3
"""Larger values are refused: they only make activations overflow."""


@dataclass(frozen=True, eq=False)
class Scale:
    """Multiply channels of a block: 0 switches them off, 2 doubles them. `factor` is one number, (C,) or (B, C)."""

    block: int
    channels: Channels = None
    factor: Values = 0.0


@dataclass(frozen=True, eq=False)
class Fill:
    """Replace channels of a block by a constant at every place, such as their means. One number, (C,) or (B, C)."""

    block: int
    channels: Channels = None
    values: Values = 0.0


@dataclass(frozen=True, eq=False)
class SetGate:
    """Give channels of a block this weight instead of the gate's; 1 is no gate. One number, (C,) or (B, C).

    Of an input gate the channels are the 15 attribute channels that the block reads, and the head is one block more.
    """

    block: int
    channels: Channels = None
    weights: Values = 1.0


@dataclass(frozen=True, eq=False)
class SetFilm:
    """Give a block this gamma and beta instead of the question's; None keeps its own. One number, (C,) or (B, C)."""

    block: int
    channels: Channels = None
    gamma: Values | None = None
    beta: Values | None = None


@dataclass(frozen=True, eq=False)
class Observe:
    """Call `see` with the block's maps y (B, C, H, W) and gate weights (B, C), None without a gate, after the edits
    before it in the list."""

    block: int
    see: Callable[[Tensor, Tensor | None], object]


Intervention = Scale | Fill | SetGate | SetFilm | Observe


def intervene(
    model: FilmSEForVisualQuestionAnswering, interventions: Sequence[Intervention]
) -> FilmSEForVisualQuestionAnswering:
    """A model of the same weights whose blocks run with `interventions`, in their order; see the module.

    Raises InputError for a block or channel that the model lacks, for values that are not finite or of a wrong shape,
    and for `SetFilm` where the model has no FiLM.
    """
    blocks = [cast(FilmSEBlock, block) for block in model.blocks]
    gate = model.input_gate
    for item in interventions:
        if gate is not None and isinstance(item, SetGate):
            _check(item, len(blocks) + 1, gate.channels)
        else:
            _check(item, len(blocks), model.config.trunk_width)
    for k, block in enumerate(blocks):
        mine = [item for item in interventions if item.block == k + 1]
        if gate is not None and (set_gates := [item for item in mine if isinstance(item, SetGate)]):
            mine = [item for item in mine if not isinstance(item, SetGate)]
            block = _with_input_gate(block, set_gates)
        blocks[k] = _edited(block, mine) if mine else block
    twin = twin_with(model, blocks)
    if head := [item for item in interventions if isinstance(item, SetGate) and item.block == len(blocks) + 1]:
        twin.open_for_head = lambda weights: _set_gates(head, model.open_for_head(weights))  # type: ignore[method-assign]
    return twin


def twin_with(model: FilmSEForVisualQuestionAnswering, blocks: Sequence[nn.Module]) -> FilmSEForVisualQuestionAnswering:
    """The same model, its weights shared, with other blocks."""
    twin = twin_of(model)
    twin.blocks = nn.ModuleList(blocks).train(model.training)
    return twin


def ask_with(
    answerer: VisualQuestionAnswerer, image: ImageLike, question: str, interventions: Sequence[Intervention]
) -> Answer:
    """`answerer.ask` under interventions; the stem's features of the image are shared with the answerer.

    The answer's weights are those that the edited blocks used. Raises InputError as `ask` and `intervene` do.
    """
    edited = copy.copy(answerer)
    edited.model = intervene(answerer.model, interventions)
    return edited.ask(image, question)


class Watch:
    """Runs a model and keeps every block's maps: `maps[k]` (B, C, H, W) after a call, with interventions or without.

    Call it like the model.
    """

    def __init__(self, model: FilmSEForVisualQuestionAnswering, interventions: Sequence[Intervention] = ()) -> None:
        self.maps: list[Tensor] = []
        watching = [Observe(k + 1, lambda y, weights: self.maps.append(y)) for k in range(model.config.num_blocks)]
        self.model = intervene(model, [*interventions, *watching])

    def __call__(self, **inputs: Tensor) -> FilmSEOutput:
        self.maps.clear()
        return self.model(**inputs)


def film_of(answer: Answer) -> list[SetFilm]:
    """The FiLM parameters behind an answer as interventions: asking another question with them swaps the two.

    Raises InputError for an answer of a model without FiLM.
    """
    if any(block.film_gamma is None for block in answer.blocks):
        raise InputError("FiLM: this model has none; only its gates read the question")
    return [SetFilm(k, None, block.film_gamma, block.film_beta) for k, block in enumerate(answer.blocks, 1)]


def gates_of(answer: Answer) -> list[SetGate]:
    """The gates behind an answer as interventions, the head's too; see `film_of`.

    Raises InputError for an answer of a model without gates.
    """
    gates = [*(block.channel_gate for block in answer.blocks), *[answer.head_gate] * (answer.head_gate is not None)]
    if any(gate is None for gate in gates):
        raise InputError("gates: this model has none; only its FiLM reads the question")
    return [SetGate(k, None, gate) for k, gate in enumerate(gates, 1)]  # type: ignore[arg-type]


class _EditedFilm(nn.Module):
    """A block's FiLM whose parameters are edited before they are used."""

    def __init__(self, film: FiLM, edits: Sequence[SetFilm]) -> None:
        super().__init__()
        self.film, self.edits = film, edits

    def parameters_for(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        gamma, beta = self.film.parameters_for(condition)
        for edit in self.edits:
            mask = _mask(edit.channels, gamma)
            gamma = gamma if edit.gamma is None else torch.where(mask, _like(edit.gamma, gamma), gamma)
            beta = beta if edit.beta is None else torch.where(mask, _like(edit.beta, beta), beta)
        return gamma, beta


def _edited(block: FilmSEBlock, edits: Sequence[Intervention]) -> FilmSEBlock:
    twin = twin_of(block)
    film = [edit for edit in edits if isinstance(edit, SetFilm)]
    if film:
        if block.film is None:
            raise InputError(f"block {film[0].block}: this model has no FiLM to swap")
        twin.film = cast(FiLM, _EditedFilm(block.film, film))
    rest = [edit for edit in edits if not isinstance(edit, SetFilm)]

    def apply_gate(x: Tensor, question: Tensor) -> tuple[Tensor, Tensor | None]:
        y, weights = block.apply_gate(x, question)

        def gated(given: Tensor) -> Tensor:
            return film_modulate(x, given) if block.gate is None else block.gate(x, question, given)

        for edit in rest:
            y, weights = _apply(edit, gated, y, weights)
        return y, weights

    twin.apply_gate = apply_gate  # type: ignore[method-assign]
    return twin


def _with_input_gate(block: FilmSEBlock, edits: Sequence[SetGate]) -> FilmSEBlock:
    twin = twin_of(block)
    twin.open_channels = lambda weights: _set_gates(edits, block.open_channels(weights))  # type: ignore[method-assign]
    return twin


def _set_gates(edits: Sequence[SetGate], weights: Tensor) -> Tensor:
    for edit in edits:
        weights = torch.where(_mask(edit.channels, weights), _like(edit.weights, weights), weights)
    return weights


def _apply(
    edit: Intervention, gated: Callable[[Tensor], Tensor], y: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """One edit of a block's maps y (B, C, H, W) and gate weights (B, C); `gated` gives the maps under other weights."""
    if isinstance(edit, Observe):
        edit.see(y, weights)
        return y, weights
    assert not isinstance(edit, SetFilm)
    before = y.new_ones(y.shape[:2]) if weights is None else weights
    mask = _mask(edit.channels, before)
    if isinstance(edit, Fill):
        return torch.where(mask[..., None, None], _like(edit.values, before)[..., None, None], y), weights
    if isinstance(edit, Scale):
        factor = torch.where(mask, _like(edit.factor, before), 1.0)
        return film_modulate(y, factor), None if weights is None else weights * factor
    chosen = torch.where(mask, _like(edit.weights, before), before)
    # The difference, so that what earlier edits did to other channels stays.
    return y + (gated(chosen) - gated(before)), None if weights is None else chosen


def _mask(channels: Channels, like: Tensor) -> Tensor:
    """Boolean mask of the shape of `like` (B, C): which channels are meant."""
    if channels is None:
        return torch.ones_like(like, dtype=torch.bool)
    if isinstance(channels, Tensor) and channels.dtype == torch.bool:
        return channels.to(like.device).expand_as(like)
    mask = torch.zeros(like.shape[1], dtype=torch.bool, device=like.device)
    mask[torch.as_tensor(channels, dtype=torch.long, device=like.device)] = True
    return mask.expand_as(like)


def _like(values: Values, like: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).expand_as(like)


def _check(item: Intervention, blocks: int, width: int) -> None:
    if not 1 <= item.block <= blocks:
        raise InputError(f"no block {item.block}; this model's blocks are 1 to {blocks}")
    if isinstance(item, Observe):
        return
    channels, where = item.channels, f"block {item.block}"
    if isinstance(channels, Tensor) and channels.dtype == torch.bool:
        if channels.ndim not in (1, 2) or channels.shape[-1] != width:
            raise InputError(f"{where}: a mask of shape {tuple(channels.shape)}; the block has {width} channels")
    else:
        for channel in () if channels is None else channels:
            if not 0 <= int(channel) < width:
                raise InputError(f"{where}: no channel {int(channel)}; its channels are 0 to {width - 1}")
    for name in _VALUES[type(item)]:
        value = getattr(item, name)
        if value is not None:
            array = torch.as_tensor(value, dtype=torch.float32)
            if array.ndim > 2 or (array.ndim and array.shape[-1] != width):
                raise InputError(f"{where}, {name}: {tuple(array.shape)} values for {width} channels")
            if not bool((array.abs() <= LARGEST).all()):
                raise InputError(f"{where}, {name}: must be finite and within -{LARGEST:g} to {LARGEST:g}")


_VALUES = {Scale: ("factor",), Fill: ("values",), SetGate: ("weights",), SetFilm: ("gamma", "beta")}

_Part = TypeVar("_Part", bound=nn.Module)


def twin_of(module: _Part) -> _Part:
    """A shallow copy with its own table of submodules: weights are shared, and a part can be exchanged."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin
