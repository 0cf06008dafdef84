"""An answer, and what every block of the network did to find it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from vqa.clevr.language import parse_question, restate
from vqa.clevr.programs import OPERATIONS, Program
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError
from vqa.inference.predicted_scene import PredictedScene, decode
from vqa.inference.second_reading import Check, Premise, check, premise, together
from vqa.inference.sentence import attended_objects, because, because_of_program
from vqa.model.modeling import FilmSEOutput
from vqa.model.scene import STEP_SIZES, SceneMaps
from vqa.utils.json_values import plain


@dataclass(frozen=True)
class Step:
    """What a block takes its part of the question to be.

    Args:
        operation: one of `vqa.clevr.programs.OPERATIONS`, "none" where the block has nothing to do.
        probability: of that operation, 0 to 1.
        filters: attribute -> value of the objects that it keeps.
        reads: for each earlier block, the probability that this one reads its object attention besides the last one's.
    """

    operation: str
    probability: float
    filters: dict[str, str]
    reads: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The same in plain values, earlier blocks by name."""
        return vars(self) | {"reads": {f"block_{j}": p for j, p in enumerate(self.reads, 1)}}


@dataclass(frozen=True, eq=False, repr=False)
class Block:
    """What a residual block did; None for what the configuration lacks.

    Args:
        film_gamma, film_beta: FiLM's scale and shift of each channel, (C,).
        channel_gate: the channel attention's weight of each channel, (C,).
        word_attention: how much it read each of `Answer.words`, (L,).
        object_attention: the probability of an object that it selects, (h, w) over the model's grid.
        step: what it takes its part of the question to be.
    """

    film_gamma: np.ndarray | None
    film_beta: np.ndarray | None
    channel_gate: np.ndarray | None
    word_attention: np.ndarray | None
    object_attention: np.ndarray | None
    step: Step | None = None

    def to_json(self) -> dict[str, np.ndarray | None]:
        """The arrays by their names in JSON, which are those of `FilmSEOutput`."""
        return {name: getattr(self, attribute) for name, attribute in ARRAYS.items()}

    def __repr__(self) -> str:
        shapes = [f"{name}={array.shape}" for name, array in vars(self).items() if isinstance(array, np.ndarray)]
        return f"Block({', '.join([*shapes, f'step={self.step}'])})"


ARRAYS = {
    "film_gamma": "film_gamma",
    "film_beta": "film_beta",
    "channel_weights": "channel_gate",
    "word_weights": "word_attention",
    "spatial_weights": "object_attention",
}
"""Name in `FilmSEOutput` and in JSON -> attribute of a `Block`."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model answers, and with which channels. Arrays are float32; `to_json` makes lists of them.

    Args:
        answer: the network's most probable answer; `together` weighs the second reading in.
        confidence: its probability, 0 to 1.
        top_answers: the most probable answers with their probabilities, falling.
        unknown_words: words of the question that the model does not know; it answered as if each were the same blank.
        in_domain: whether image and question look like those of training (`vqa.inference.ood`); None where the
            checkpoint is not calibrated.
        blocks: what each residual block did, the first block first.
        words: the L tokens of the question as the model reads it: in CLEVR's words, where its own are free or misspelt.
        picture_box: left, top, right, bottom of the image as fractions of the model's grid: within 0..1 where it got
            a border, being of another ratio, and beyond where a plain border of its own was cut off.
        pathway_weights: how much each of the nine pathways of the `pathways` head counts, (9,); None for other heads.
        head_gate: what an input gate lets the head read, (15,); None for a model without such a gate.
        unfamiliar: which of "picture" and "question" are out of distribution.
        read_as: the question as the model reads it, where that is not word by word as it was asked.
        question: as it was asked.
        readings: what the model reads from every cell of its grid; None for a model without object attention.
        program: what gave the answer instead of the network, which has no such form of questions; else None.

    What is made of these, `scene`, `check`, `premise` and `because`, is only worked out when it is asked for.
    """

    answer: str
    confidence: float
    top_answers: list[tuple[str, float]]
    unknown_words: list[str]
    in_domain: bool | None
    blocks: tuple[Block, ...] = field(repr=False)
    words: list[str]
    picture_box: tuple[float, float, float, float]
    pathway_weights: np.ndarray | None = field(default=None, repr=False)
    head_gate: np.ndarray | None = field(default=None, repr=False)
    unfamiliar: tuple[str, ...] = ()
    read_as: str | None = None
    question: str = field(default="", repr=False)
    readings: SceneMaps | None = field(default=None, repr=False)
    program: Program | None = field(default=None, repr=False)

    @cached_property
    def scene(self) -> PredictedScene | None:
        """The objects that the model sees; None for a model without object attention."""
        return None if self.readings is None else decode(self.readings, self.picture_box)

    @cached_property
    def check(self) -> Check | None:
        """The question's program executed on `scene`; None without a scene, and for what is not CLEVR's language."""
        if self.scene is None:
            return None
        if self.program is not None:
            return check(self.program, self.scene, self.answer)
        try:
            program = parse_question(restate(self.question) if self.read_as else self.question)
        except InputError:
            return None
        return check(program, self.scene, self.answer)

    @property
    def together(self) -> str:
        """The answer of network and `check` together, by a rule chosen on held-out questions (docs/results.md)."""
        return together(self.answer, self.check)

    @property
    def two_readings(self) -> str | None:
        """The network's answer and the `check`'s, by name, where they differ and the question's premise holds."""
        if self.check is None or self.check.answer is None or self.check.agrees or self.premise.text:
            return None
        return (
            f"The network says {self.answer}; its scene, read step by step, says {self.check.answer} "
            f"({self.check.confidence:.0%}). Both together: {self.together}."
        )

    @cached_property
    def premise(self) -> Premise:
        """Whether what the question takes for granted is there, once."""
        if self.check is None and self.unknown_words:
            words = ", ".join(repr(word[:30]) for word in self.unknown_words[:4])
            return Premise("cannot tell", None, f"The model knows nothing that is called {words}.")
        return premise(self.check)

    @cached_property
    def attended(self) -> list[tuple[int, ...] | None] | None:
        """For each reasoning step of the program, the objects of `scene` that the network attended to.

        Where the `check` agrees they are its objects, if any block attended to just these, else None; where it does
        not, those of the step's own block; the check's for steps that no block has. None where there is no `check`.
        """
        if self.check is None or self.scene is None or self.program is not None:
            return None
        maps = [block.object_attention for block in self.blocks]
        return attended_objects(self.check.program, maps, self.scene.objects, self.check)

    @cached_property
    def because(self) -> str | None:
        """Why, in one sentence, from the objects that the blocks attended to; None where there is no `check`."""
        if self.check is None or self.scene is None:
            return None
        if self.premise.text is not None:
            return self.premise.text
        if self.attended is None:
            read = self.check.program[-1].inputs[0]
            return because_of_program(self.check.program, self.check.objects[read], self.answer)
        return because(self.check.program, self.attended, self.scene.objects, self.answer)

    @property
    def weights(self) -> dict[str, dict[str, np.ndarray | None]]:
        """`blocks` as JSON has them: "block_1" -> "channel_weights" -> array or None; see `ARRAYS`."""
        return {f"block_{k}": block.to_json() for k, block in enumerate(self.blocks, 1)}

    @property
    def steps(self) -> list[dict[str, Any]] | None:
        """Each block's step as JSON has it; None for a model whose blocks have none."""
        found = [block.step.to_json() for block in self.blocks if block.step is not None]
        return found or None

    def to_json(self) -> dict[str, Any]:
        """The same as plain lists, numbers and strings, rounded to five digits."""
        values = {name: getattr(self, name) for name in _JSON_KEYS}
        if self.check is not None:
            values["check"] = self.check.to_json() | {"decides": self.program is not None}
        written = {name: value.to_json() if hasattr(value, "to_json") else value for name, value in values.items()}
        return {name: plain(value, 5) for name, value in written.items()}


_JSON_KEYS = (
    *("answer", "confidence", "top_answers", "unknown_words", "in_domain", "weights", "words", "steps"),
    *("picture_box", "pathway_weights", "unfamiliar", "read_as", "scene", "check", "premise", "because", "together"),
)


def read_block(output: FilmSEOutput, k: int, i: int = 0) -> Block:
    """What block k (from 0) did for question i of a batch."""
    found = {attribute: getattr(output, name) for name, attribute in ARRAYS.items()}
    arrays = {attribute: array_of(per_block and per_block[k], i) for attribute, per_block in found.items()}
    return Block(**arrays, step=None if output.step_logits is None else read_step(output, k, i))


def read_step(output: FilmSEOutput, k: int, i: int = 0) -> Step:
    """What block k (from 0) takes its part of question i of a batch to be."""
    assert output.step_logits is not None
    assert output.pointer_logits is not None
    logits = output.step_logits[i, k].float().cpu().numpy()
    operation, *filters = np.split(logits, np.cumsum(STEP_SIZES)[:-1])  # in NumPy, which is quicker on so few numbers
    best = int(operation.argmax())
    probability = float(np.exp(operation[best] - np.logaddexp.reduce(operation)))
    chosen = {
        name: values[int(scores.argmax()) - 1]
        for (name, values), scores in zip(ATTRIBUTES.items(), filters, strict=True)
        if scores.argmax() > 0
    }
    reads = output.pointer_logits[i, k].float().softmax(0)[1 : k + 1]
    return Step(OPERATIONS[best], probability, chosen, tuple(reads.tolist()))


def array_of(batch: Tensor | None, i: int = 0) -> np.ndarray | None:
    """What a batch holds of question i, in float32; None of None."""
    return None if batch is None else batch.float().cpu().numpy()[i]
