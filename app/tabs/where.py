"""The tab "Where": which places of the image each block and the answer rest on."""

from typing import Any

import gradio as gr

from app.context import MODEL, AppContext, html
from app.examples import known_example
from app.http.uploads import read_upload
from app.views.answer import message_card, unused_blocks, unused_title, warnings
from app.views.render import render
from vqa.errors import InputError
from vqa.explain.explanation import Explanation, explain
from vqa.explain.explanation_html import attention_figures

_ABOUT = (
    "Lit is what the network looked at, dark what it did not. Rings mark the objects that the question means, worked "
    "out from its grammar and the list of objects that comes with the example pictures: a light inside its ring is "
    "evidence in the right place. Grad-CAM is a common method that knows nothing of this network's own maps."
)


def build_tab(context: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    html(f'<p class="about">{_ABOUT}</p>')
    shown = html(elem_id="where")

    def on_show(file: Any, question: Any) -> str:
        try:
            image = read_upload(file)
            example = known_example(image)
            return where_section(explain(context.answerer, image, question, example.scene if example else None))
        except InputError as error:
            return message_card(str(error))

    tab.select(on_show, [context.image, context.question], shown, trigger_mode="always_last", **MODEL)


def where_section(explanation: Explanation) -> str:
    """The object attention of the answer and of each block; those without a step to do are folded into one line."""
    whole, blocks = attention_figures(explanation)
    folded = unused_blocks(explanation.answer)
    return render(
        "where",
        question=explanation.question,
        answer=explanation.answer,
        warned=warnings(explanation.answer),
        whole=whole,
        used=[figure for k, figure in enumerate(blocks, 1) if k not in folded],
        unused=[figure for k, figure in enumerate(blocks, 1) if k in folded],
        unused_title=unused_title(folded),
    )
