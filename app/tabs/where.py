"""The tab "Where": which places of the image each block and the answer rest on."""

import hashlib
from functools import cache
from typing import Any

import gradio as gr
from PIL import Image

from app.context import PRIVATE, AppContext
from app.examples import FOLDER, SPLIT
from app.http.uploads import read_upload
from app.views.answer import message_card
from vqa.clevr.annotations import image_path, read_scenes, scenes_path
from vqa.clevr.scenes import Scene
from vqa.errors import InputError
from vqa.explain.drawing import escape
from vqa.explain.explanation import Explanation, explain
from vqa.explain.explanation_html import evidence_figures
from vqa.utils.images import load_image
from vqa.utils.resources import shipped

_ABOUT = (
    "Lit is what the network looked at, dark what it did not. Rings mark the objects that the question means, worked "
    "out from its grammar and the list of objects that comes with the example pictures: a light inside its ring is "
    "evidence in the right place. Grad-CAM is a common method that knows nothing of this network's own maps."
)


def build_tab(site: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    gr.HTML(f'<p class="about">{_ABOUT}</p>', apply_default_css=False)
    shown = gr.HTML("", elem_id="where", apply_default_css=False)

    def on_show(file: Any, question: Any) -> str:
        try:
            image = read_upload(file)
            return where_section(explain(site.answerer, image, question, known_scene(image)))
        except InputError as error:
            return message_card(str(error))

    tab.select(
        on_show,
        [site.image, site.question],
        shown,
        trigger_mode="always_last",
        concurrency_id="model",
        **PRIVATE,
    )


def where_section(explanation: Explanation) -> str:
    """The evidence of the answer, and of each block that has a step to do."""
    whole, blocks = evidence_figures(explanation)
    answer = explanation.answer
    rest = f'<h2>What each block picked out</h2><div class="evidence">{"".join(blocks)}</div>' if blocks else ""
    return (
        f'<section class="where" aria-live="polite"><p class="asked">{escape(explanation.question)} '
        f"<strong>{escape(answer.answer)}</strong></p>"
        f'<div class="evidence">{"".join(whole)}</div>{rest}</section>'
    )


def known_scene(image: Image.Image) -> Scene | None:
    """The scene of an example image, told by its pixels; None for any other image."""
    return _scenes().get(_fingerprint(image))


@cache
def _scenes() -> dict[str, Scene]:
    root = shipped(FOLDER)
    scenes = read_scenes(scenes_path(root, SPLIT))
    return {_fingerprint(load_image(image_path(root, SPLIT, name))): scene for name, scene in scenes.items()}


def _fingerprint(image: Image.Image) -> str:
    return hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
