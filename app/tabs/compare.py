"""The tab "Compare": two questions, two images or two models side by side, and the channels that tell them apart."""

from typing import Any

import gradio as gr

from app.context import PRIVATE, AppContext
from app.http.uploads import read_upload
from app.suggestions import ANY_IMAGE
from app.views.answer import hint_card, message_card
from app.views.comparison import Side, differing_channels, side_by_side
from vqa.errors import InputError

_ABOUT = (
    "Change one thing between left and right: the question, the picture or the model. What differs then, comes from "
    "that."
)


def build_tab(site: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    gr.HTML(f'<p class="about">{_ABOUT}</p>', apply_default_css=False)
    names = site.models.names
    sides: list[Any] = []
    with gr.Row(elem_classes="compare"):
        for side in ("Left", "Right"):
            with gr.Column(min_width=300):
                image = gr.Image(
                    label=f"{side} picture",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=220,
                    elem_id=f"compare-{side.lower()}-picture",
                    alt_text=f"The {side.lower()} picture",
                    placeholder="Drop a picture here, paste one, or click to upload",
                )
                question = gr.Textbox(
                    label=f"{side} question", max_length=1000, elem_id=f"compare-{side.lower()}-question"
                )
                model = gr.Dropdown(
                    names,
                    value=names[0],
                    label=f"{side} model",
                    visible=len(names) > 1,
                    elem_id=f"compare-{side.lower()}-model",
                )
                sides += [image, question, model]
    button = gr.Button("Compare", variant="primary", elem_id="compare-go")
    result = gr.HTML(hint_card("Press “Compare”."), elem_id="compare-result", apply_default_css=False)

    def on_select(file: Any, question: Any, *now: Any) -> list[Any]:
        """Begin with what was asked last, where nothing was chosen yet."""
        path = file.get("path") if isinstance(file, dict) else None
        images = [gr.skip() if some is not None else path for some in (now[0], now[2])]
        questions = [gr.skip() if some else text for some, text in ((now[1], question), (now[3], ANY_IMAGE[0]))]
        return [images[0], questions[0], images[1], questions[1]]

    def on_compare(*values: Any) -> str:
        try:
            return _compared(site, values[:3], values[3:])
        except InputError as error:
            return message_card(str(error))

    shown = [sides[0], sides[1], sides[3], sides[4]]
    tab.select(on_select, [site.image, site.question, *shown], shown, queue=False, **PRIVATE)
    gr.on(
        [button.click, sides[1].submit, sides[4].submit], on_compare, sides, result, concurrency_id="model", **PRIVATE
    )


def _compared(site: AppContext, left: Any, right: Any) -> str:
    sides, models = [], []
    for word, (file, question, name) in (("left", left), ("right", right)):
        try:
            model = site.models.answerer(name)
            image = read_upload(file)
            answer = model.ask(image, question)
        except InputError as error:
            raise InputError(f"{word}: {error}") from None
        models.append(name)
        title = f"{word.capitalize()}: {name}" if left[2] != right[2] else word.capitalize()
        sides.append(Side(title, question, answer))
    one, other = sides
    atlas = site.models.atlas(models[0]) if models[0] == models[1] else None
    if models[0] != models[1]:
        table = (
            '<p class="hint">Channels of two models have no more in common than their numbers; none are compared.</p>'
        )
    else:
        table = differing_channels(one.answer, other.answer, atlas)
    return side_by_side(one, other) + table
