"""An explanation as HTML that needs no other file, and its figures for the page's tab and for other formats."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from vqa.explain.channel_weights import CHANNEL_WEIGHTS, present
from vqa.explain.drawing import data_uri, lit_places, lit_smoothly, ring_objects, shaded_words, small, strip
from vqa.explain.explanation import Explanation, step_in_words
from vqa.explain.object_regions import discs_of


@dataclass(frozen=True)
class ExplanationFigure:
    """A drawing of an explanation; `css` is "unused" for a block without a step to do."""

    image: Image.Image
    title: str
    text: str = ""
    css: str = ""


def explanation_figures(explanation: Explanation) -> tuple[list[ExplanationFigure], list[ExplanationFigure]]:
    """Figures of the answer (the image, what it is read from, Grad-CAM), and of each block's object attention, if any.

    Objects that the question refers to have rings where scene and program are known.
    """
    answer, found, box = explanation.answer, explanation.referents, explanation.answer.picture_box
    discs = discs_of(explanation.scene) if explanation.scene else np.zeros((0, 4))

    def figure(image: Image.Image, chosen: Sequence[int] | None, *texts: str) -> ExplanationFigure:
        return ExplanationFigure(ring_objects(image, discs, chosen or ()), *texts)

    asked = found.answer if found else None
    about = "the objects that the answer is read from are ringed" if asked else referents_note(explanation)
    whole = [figure(small(explanation.image), asked, "The image", about)]
    if explanation.answer_map is not None and answer.scene is not None:
        lit = lit_places(explanation.image, explanation.answer_map, answer.scene)
        whole.append(figure(lit, asked, "Object attention of the answer", "what the model itself selected and read"))
    pushed = "which places push towards this answer, by gradients"
    heat = lit_smoothly(explanation.image, explanation.grad_cam, box)
    note = pushed if explanation.grad_cam.any() else "nothing speaks for it"
    whole.append(figure(heat, asked, "Grad-CAM, for comparison", note))
    blocks = []
    for k, block in enumerate(answer.blocks):
        if block.object_attention is not None and answer.scene is not None:
            lit = lit_places(explanation.image, block.object_attention, answer.scene)
            text = step_in_words(block.step, k + 1) if block.step else ""
            css = "unused" if block.step and block.step.operation == "none" else ""
            blocks.append(figure(lit, found.blocks[k] if found else None, f"Block {k + 1}", text, css))
    return whole, blocks


def attention_figures(explanation: Explanation) -> tuple[list[Markup], list[Markup]]:
    """The figures of `explanation_figures` as HTML."""
    template = _ENVIRONMENT.get_template("figure.html")
    whole, blocks = ([Markup(template.render(item=item)) for item in some] for some in explanation_figures(explanation))
    return whole, blocks


def referents_note(explanation: Explanation) -> str:
    """Why no object is ringed; empty if some are."""
    if explanation.referents is not None:
        return "" if explanation.referents.answer else "the question refers to no object here"
    if explanation.program is None:
        return "not in CLEVR's wording, so nothing says which objects are meant"
    if explanation.scene is None:
        return "this image's objects are not known, so none is ringed"
    return "the question does not fit this image: it means exactly one object where there is none or several"


def html_explanation(explanation: Explanation) -> str:
    """A page that needs no other file: the answer, what it rests on, and each block's words and channel strips."""
    answer = explanation.answer
    whole, blocks = attention_figures(explanation)
    kinds = [(CHANNEL_WEIGHTS[key], values) for key, values in present(answer).items()]
    scaled = [(kind, values, kind.scale(values)) for kind, values in kinds]
    strips = [[(kind, values[k], scale) for kind, values, scale in scaled] for k in range(len(answer.blocks))]
    template = _ENVIRONMENT.get_template("explanation.html")
    page = template.render(question=explanation.question, answer=answer, whole=whole, blocks=blocks, strips=strips)
    return page + "\n"


_ENVIRONMENT = Environment(
    loader=PackageLoader("vqa.explain"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_ENVIRONMENT.filters |= {"data_uri": data_uri, "in_words": step_in_words}
_ENVIRONMENT.globals |= {"shaded_words": shaded_words, "strip": strip}
