"""One answer explained: what each block used, where the evidence lies, and what the question is about."""

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
from vqa.explain.gradcam import grad_cam
from vqa.explain.object_regions import Referents, find_referents
from vqa.inference.answerer import Answer, VisualQuestionAnswerer
from vqa.model.modeling import FilmSEOutput


@dataclass(frozen=True, eq=False)
class Explanation:
    """An answer with its evidence.

    Args:
        question, image: what was asked about what; the image upright and in RGB.
        answer: with all weights, among them each block's spatial evidence.
        answer_map: (h, w), the evidence that the answer is read from: the last block's map, and as far as the head
            reads an earlier one, that; None for a model without evidence.
        grad_cam: (h, w), 0 to 1; see `vqa.explain.gradcam`.
        program: the question's, None where it is not in CLEVR's language.
        scene: the image's, where it is known.
        referents: the objects that the question refers to; None without program or scene, or where it has no answer
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
            "answer_map": _rounded(self.answer_map),
            "grad_cam": _rounded(self.grad_cam),
            "program": [step.to_json() for step in self.program] if self.program else None,
            "referents": None if found is None else asdict(found),
            "objects": self.scene.to_json()["objects"] if self.scene else None,
        }


def explain(
    answerer: VisualQuestionAnswerer, image: Image.Image, question: str, scene: Scene | None = None
) -> Explanation:
    """Ask, and gather the evidence of the answer.

    Args:
        image: as `vqa.utils.images.load_image` gives it.
        scene: the image's, to find the objects that the question refers to.

    Raises InputError as `answerer.ask` does.
    """
    answer = answerer.ask(image, question)
    model = answerer.model
    with torch.no_grad():
        inputs = model_inputs(answerer, image, question)
        evidence = answer_map(model(**inputs))
    heat = grad_cam(model, inputs.pop("image_features"), inputs, model.config.answers.index(answer.answer))
    try:
        program: Program | None = parse_question(question)
    except InputError:
        program = None
    found = find_referents(program, scene, model.config.num_blocks) if program and scene else None
    return Explanation(question, image, answer, evidence, heat, program, scene, found)


def model_inputs(answerer: VisualQuestionAnswerer, image: Image.Image, question: str) -> dict[str, Tensor]:
    """What the model reads of one image and question: image_features, input_ids and attention_mask."""
    images, device = answerer.processor.image_processor, answerer.device
    pixels = torch.from_numpy(images.to_array(image))[None].to(device)
    tokens = answerer.processor(text=question, return_tensors="pt").to(device)
    return {"image_features": answerer.model.encode_images(images.normalize_pixels(pixels)), **tokens}


def answer_map(output: FilmSEOutput) -> np.ndarray | None:
    """The evidence under the head: the last map, joined with the earlier one that its pointer chooses."""
    if output.spatial_weights is None:
        return None
    maps = torch.stack(output.spatial_weights)[:, 0].float()
    joined = maps[-1]
    if output.pointer_logits is not None and output.pointer_logits.shape[1] > len(maps):
        reads = output.pointer_logits[0, -1].float().softmax(0)[1 : len(maps)]
        joined = torch.maximum(joined, (reads[:, None, None] * maps[:-1]).sum(0))
    return joined.cpu().numpy()


def _rounded(values: np.ndarray | None) -> list | None:
    return None if values is None else np.round(values.astype(float), 4).tolist()


_RELATIONS = {"left": "left of", "right": "right of", "behind": "behind", "front": "in front of"}


def step_in_words(step: dict[str, Any], block: int) -> str:
    """A block's step (an entry of `Answer.steps`; `block` counts from 1) as a phrase about objects."""
    filters = step["filters"]
    kind = filters.get("shape")
    things = " ".join(
        [*(filters[name] for name in ("size", "color", "material") if name in filters), f"{kind or 'thing'}s"]
    )
    operation, before = step["operation"], f"what block {block - 1} picked out"
    other = max(step["reads"], key=step["reads"].get).replace("_", " ") if step["reads"] else "an earlier block"
    if operation == "none":
        return "has no step of this question to do"
    if operation == "scene" or block == 1:
        return things if filters else "all things"
    if operation in _RELATIONS:
        return f"{things} {_RELATIONS[operation]} {before}"
    if operation.startswith("same_"):
        return f"other {things} of the same {operation[5:]} as {before}"
    if operation == "union":
        return f"{things} that block {block - 1} or {other} picked out"
    return f"{things} that block {block - 1} and {other} both picked out"
