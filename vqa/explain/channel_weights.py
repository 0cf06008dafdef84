"""What sets how loud a channel is, in the order of a block's steps: FiLM's gamma and beta, and the gate's weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.explain.drawing import Scale
from vqa.inference.answer import ARRAYS, Answer, Block
from vqa.model.scene import ATTRIBUTE_SIZES


@dataclass(frozen=True)
class ChannelWeight:
    """How one kind is called and drawn.

    Args:
        key: its name in `FilmSEOutput`, in an atlas and in JSON.
        name, symbol: in text and on the page.
        centre: the value drawn blank: it leaves a channel as it is, or closes the gate.
        least_reach: differences from the usual value that are fully colored, unless there are larger ones.
    """

    key: str
    name: str
    symbol: str
    centre: float
    least_reach: float

    def of(self, answer: Answer) -> list[np.ndarray]:
        """The weights (C,) of each block of an answer; empty if the model has none of this kind."""
        found = [getattr(block, ARRAYS[self.key]) for block in answer.blocks]
        return [values for values in found if values is not None]

    def scale(self, blocks: Sequence[np.ndarray]) -> Scale:
        """The color scale for all blocks' weights; the whole range for a gate that does not amplify."""
        if self.key == "channel_weights" and max(float(np.abs(values).max()) for values in blocks) <= 1:
            return Scale(0.0, 1.0)
        return Scale.fit(blocks, self.centre)


CHANNEL_WEIGHTS = {
    kind.key: kind
    for kind in (
        ChannelWeight("film_gamma", "FiLM gamma", "FiLM γ", 1.0, 0.5),  # noqa: RUF001
        ChannelWeight("film_beta", "FiLM beta", "FiLM β", 0.0, 0.5),
        ChannelWeight("channel_weights", "channel gate", "Channel gate", 0.0, 0.05),
    )
}


def present(answer: Answer) -> dict[str, list[np.ndarray]]:
    """The kinds that an answer's model has -> each block's weights (C,).

    An input gate weighs what a block reads and not its channels: see `open_attributes`.
    """
    found = {key: kind.of(answer) for key, kind in CHANNEL_WEIGHTS.items()}
    if any(open_attributes(block) is not None for block in answer.blocks):
        del found["channel_weights"]
    return {key: blocks for key, blocks in found.items() if blocks}


def open_attributes(block: Block) -> list[str] | None:
    """The attributes that an input gate lets a block read, such as ["color"]; None for a model without such a gate."""
    gate, gamma = block.channel_gate, block.film_gamma
    if gate is None or len(gate) != sum(ATTRIBUTE_SIZES) or (gamma is not None and len(gamma) == len(gate)):
        return None
    groups = np.split(gate, np.cumsum(ATTRIBUTE_SIZES)[:-1])
    return [name for name, group in zip(ATTRIBUTES, groups, strict=True) if group.max() > 0]


def open_channels(answer: Answer, factored: bool) -> list[np.ndarray]:
    """Which channels of each block have a say, boolean masks (C,): all that its gate does not shut.

    In a `factored` block those of places, and of the attributes that its input gate lets through.
    """
    width = len(next(iter(present(answer).values()))[0])
    found = []
    for block in answer.blocks:
        attributes = open_attributes(block)
        if attributes is not None and factored:
            heard = [True, *(name in attributes for name in ATTRIBUTES)]
            found.append(np.repeat(heard, width // len(heard)))
        elif attributes is not None or block.channel_gate is None:
            found.append(np.ones(width, bool))
        else:
            found.append(block.channel_gate != 0)
    return found


def reads_in_words(block: Block) -> str:
    """What an input gate lets a block read: "reads color and place; size, material and shape are shut"; "" without."""
    opened = open_attributes(block)
    if opened is None:
        return ""
    shut = [name for name in ATTRIBUTES if name not in opened]
    closed = f"; {_listed(shut)} {'is' if len(shut) == 1 else 'are'} shut" if shut else ""
    return f"reads {_listed([*opened, 'place'])}{closed}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
