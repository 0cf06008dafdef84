"""The tab "Compare": two questions, two images or two models side by side, and the channels that tell them apart."""

from typing import Any, NamedTuple

import gradio as gr

from app.context import MODEL, QUICK, AppContext, html
from app.http.uploads import read_upload
from app.suggestions import ANY_IMAGE
from app.views.answer import hint_card, message_card
from app.views.comparison import Side, differing_channels, hint, side_by_side
from vqa.errors import InputError

_ABOUT = (
    "Change one thing between left and right: the question, the picture or the model. What differs then, comes from "
    "that."
)


class _Inputs(NamedTuple):
    """What is asked on one side."""

    image: gr.Image
    question: gr.Textbox
    model: gr.Dropdown


def build_tab(context: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    html(f'<p class="about">{_ABOUT}</p>')
    with gr.Row(elem_classes="compare"):
        left, right = (_build_side(side, context.models.names) for side in ("Left", "Right"))
    button = gr.Button("Compare", variant="primary", elem_id="compare-go")
    result = html(hint_card("Press “Compare”."), elem_id="compare-result")
    taken = gr.State(None)

    def on_compare(*values: Any) -> str:
        try:
            return _compared(context, values[:3], values[3:])
        except InputError as error:
            return message_card(str(error))

    asked = [context.image, context.question]
    sides = [left.image, left.question, right.image, right.question]
    tab.select(on_select, [*asked, taken, right.question], [*sides, taken], **QUICK)
    gr.on([button.click, left.question.submit, right.question.submit], on_compare, [*left, *right], result, **MODEL)


def _build_side(side: str, models: list[str]) -> _Inputs:
    name = f"compare-{side.lower()}"
    with gr.Column(min_width=300):
        return _Inputs(
            gr.Image(
                label=f"{side} picture",
                type="filepath",
                sources=["upload", "clipboard"],
                buttons=[],
                height=220,
                elem_id=f"{name}-picture",
                alt_text=f"The {side.lower()} picture",
                placeholder="Drop a picture here, paste one, or click to upload",
            ),
            gr.Textbox(label=f"{side} question", max_length=1000, elem_id=f"{name}-question"),
            gr.Dropdown(
                models, value=models[0], label=f"{side} model", visible=len(models) > 1, elem_id=f"{name}-model"
            ),
        )


def on_select(file: Any, question: Any, taken: Any, other: Any) -> list[Any]:
    """Take over the image and question of the tab "Ask", unless it was done already: what is set here stays then."""
    path = file.get("path") if isinstance(file, dict) else None
    if taken == (path, question):
        return [gr.skip()] * 5
    return [path, question, path, other or ANY_IMAGE[0], (path, question)]


def _compared(context: AppContext, left: Any, right: Any) -> str:
    names = left[2], right[2]
    sides = []
    for word, (file, question, name) in (("left", left), ("right", right)):
        try:
            answer = context.models.answerer(name).ask(read_upload(file), question)
        except InputError as error:
            raise InputError(f"{word}: {error}") from None
        title = f"{word.capitalize()}: {name}" if names[0] != names[1] else word.capitalize()
        sides.append(Side(title, question, answer))
    if names[0] != names[1]:
        table = hint("Channels of two models have no more in common than their numbers; none are compared.")
    else:
        table = differing_channels(sides[0].answer, sides[1].answer, context.models.atlas(names[0]))
    return side_by_side(*sides) + table
