"""One answer explained: what each block used, where it looked, and which objects the question is about."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import Program
from vqa.clevr.scenes import Scene
from vqa.errors import InputError
from vqa.explain.attribution import grad_cam
from vqa.explain.object_regions import Referents, find_referents
from vqa.inference.answer import Answer, Step
from vqa.inference.answerer import VisualQuestionAnswerer
from vqa.model.modeling import FilmSEOutput
from vqa.model.processing import encode_pixels
from vqa.utils.json_values import plain


@dataclass(frozen=True, eq=False)
class Explanation:
    """An answer with what it rests on.

    Args:
        question, image: as asked; the image upright and in RGB.
        answer: with what each block did.
        answer_map: (h, w), the object attention that the answer is read from; see `answer_map`. None for a model
            without object attention.
        grad_cam: (h, w), 0 to 1; see `vqa.explain.attribution`.
        program: the question's, None if it is not in CLEVR's language.
        scene: the image's, if it is known.
        referents: the objects that the question refers to; None without program or scene, or if it has no answer
            on the scene.
    """

    question: str
    image: Image.Image
    answer: Answer
    answer_map: np.ndarray | None
    grad_cam: np.ndarray
    program: Program | None
    scene: Scene | None
    referents: Referents | None

    def to_json(self) -> dict[str, Any]:
        """All but the image as plain lists, numbers and strings."""
        found = self.referents
        return {
            "question": self.question,
            **self.answer.to_json(),
            "answer_map": plain(self.answer_map, 4),
            "grad_cam": plain(self.grad_cam, 4),
            "program": [step.to_json() for step in self.program] if self.program else None,
            "referents": None if found is None else asdict(found),
            "objects": self.scene.to_json()["objects"] if self.scene else None,
        }


def explain(
    answerer: VisualQuestionAnswerer, image: Image.Image, question: str, scene: Scene | None = None
) -> Explanation:
    """Asks, and explains the answer.

    Args:
        image: as `vqa.utils.images.load_image` gives it.
        scene: the image's, to find the objects that the question refers to.

    Raises InputError as `answerer.ask` does.
    """
    answer = answerer.ask(image, question)
    model = answerer.model
    with torch.no_grad():
        inputs = model_inputs(answerer, image, question)
        joined = answer_map(model(**inputs))
    heat = grad_cam(model, inputs.pop("image_features"), inputs, model.config.answers.index(answer.answer))
    try:
        program: Program | None = parse_question(question)
    except InputError:
        program = None
    found = find_referents(program, scene, model.config.num_blocks) if program and scene else None
    return Explanation(question, image, answer, joined, heat, program, scene, found)


def model_inputs(answerer: VisualQuestionAnswerer, image: Image.Image, question: str) -> dict[str, Tensor]:
    """The model's inputs for one image and question: image_features, input_ids and attention_mask."""
    processor = answerer.processor
    tokens = processor.pad_tokens(processor.encode_questions([question]), answerer.device)
    pixels = processor.image_processor.to_array(image)
    return {"image_features": encode_pixels(answerer.model, processor, pixels[None]), **tokens}


def answer_map(output: FilmSEOutput) -> np.ndarray | None:
    """The object attention that the head reads (h, w): the last map, joined with the earlier one that it points at."""
    if output.spatial_weights is None:
        return None
    maps = torch.stack(output.spatial_weights)[:, 0].float()
    joined = maps[-1]
    if output.pointer_logits is not None and output.pointer_logits.shape[1] > len(maps):
        reads = output.pointer_logits[0, -1].float().softmax(0)[1 : len(maps)]
        joined = torch.maximum(joined, (reads[:, None, None] * maps[:-1]).sum(0))
    return joined.cpu().numpy()


_RELATIONS = {"left": "left of", "right": "right of", "behind": "behind", "front": "in front of"}


def step_in_words(step: Step, block: int) -> str:
    """A block's step as a phrase about objects; `block` counts from 1."""
    kept = [step.filters[name] for name in ("size", "color", "material") if name in step.filters]
    things = " ".join([*kept, f"{step.filters.get('shape', 'thing')}s"])
    before = f"what block {block - 1} selected"
    other = f"block {int(np.argmax(step.reads)) + 1}" if step.reads else "an earlier block"
    if step.operation == "none":
        return "has no step of this question to do"
    if step.operation == "scene" or block == 1:
        return things if step.filters else "all things"
    if step.operation in _RELATIONS:
        return f"{things} {_RELATIONS[step.operation]} {before}"
    if step.operation.startswith("same_"):
        return f"other {things} of the same {step.operation[5:]} as {before}"
    if step.operation == "union":
        return f"{things} that block {block - 1} or {other} selected"
    return f"{things} that block {block - 1} and {other} both selected"
