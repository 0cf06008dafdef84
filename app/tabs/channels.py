"""The tab "Channels": every channel's weights, and for a chosen one what it tracks, where it speaks and when."""

from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image

from app.context import PRIVATE, AppContext
from app.http.uploads import read_upload
from app.static.script import script
from app.views.answer import hint_card, message_card
from app.views.channels import IN_PLACE, KINDS, atlas_table, channel_card, depth_card, strips
from app.views.faithfulness import faithfulness_card
from vqa import Answer, VisualQuestionAnswerer
from vqa.errors import InputError
from vqa.explain.atlas import Atlas, weight_kinds
from vqa.explain.explanation import model_inputs
from vqa.explain.faithfulness_report import read_faithfulness
from vqa.explain.interventions import Watch

DEVIATION, RAW = "against its usual weight", "as it is"

_ABOUT = (
    "Each block of the network has channels, maps of one learned feature each. The question and the picture decide how "
    "loud each is: FiLM multiplies it by γ and adds β, and a gate lets a part of it, the SE weight, through. "  # noqa: RUF001
    "Choose a channel to see where in the picture it speaks, and what it tracks over many pictures."
)

_NO_ATLAS = (
    "This model has no channel atlas, which tells what channels track and what weights they usually have. Make one "
    "with `vqa explain atlas --data DIR --checkpoint FOLDER`."
)


def build_tab(site: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    atlas, config = site.atlas, site.answerer.model.config
    first = (1, 0) if atlas is None else clearest(atlas)
    kinds = {name: kind for kind, name in KINDS.items() if kind in weight_kinds(config)}
    gr.HTML(f'<p class="about">{_ABOUT}</p>', apply_default_css=False)
    if atlas is None:
        gr.HTML(hint_card(_NO_ATLAS), apply_default_css=False)
    with gr.Row():
        values = gr.Radio(
            [DEVIATION, RAW],
            value=DEVIATION if atlas else RAW,
            label="Show each weight",
            info="usual is its mean over many questions and pictures",
            interactive=atlas is not None,
            elem_id="channels-values",
        )
        order = gr.Radio(
            [IN_PLACE, *(f"by {name}" for name in kinds)],
            value=IN_PLACE,
            label="Order of the channels",
            info="each block sorts its own",
            elem_id="channels-order",
        )
    drawn = gr.HTML(
        "", js_on_load=script("page.js") + script("channels.js"), elem_id="channels-strips", apply_default_css=False
    )
    with gr.Row(elem_classes="choice"):
        block = gr.Number(
            first[0],
            label="Block",
            precision=0,
            minimum=1,
            maximum=config.num_blocks,
            min_width=90,
            elem_id="channels-block",
        )
        channel = gr.Number(
            first[1],
            label="Channel",
            precision=0,
            minimum=0,
            maximum=config.width - 1,
            min_width=90,
            elem_id="channels-channel",
        )
    card = gr.HTML("", elem_id="channels-card", apply_default_css=False)
    table = None
    if atlas is not None:
        gr.HTML(depth_card(atlas), elem_id="channels-depth", apply_default_css=False)
    if (measured := _faithfulness(site)) is not None:
        gr.HTML(faithfulness_card(measured), elem_id="channels-faithful", apply_default_css=False)
    if atlas is not None:
        table = gr.HTML(
            atlas_table(atlas), js_on_load=script("table.js"), elem_id="channels-table", apply_default_css=False
        )

    def on_show(file: Any, question: Any, values: Any, order: Any) -> str:
        try:
            answer = site.answerer.ask(read_upload(file), question)
        except InputError as error:
            return message_card(str(error))
        return strips(question, answer, atlas if values == DEVIATION else None, kinds.get(str(order)[3:]))

    def on_channel(file: Any, question: Any, block: Any, channel: Any) -> str:
        try:
            _check_choice(block, config.num_blocks, channel, config.width)
            image = read_upload(file)
            answer, spatial = activation(site.answerer, image, question, block, channel)
        except InputError as error:
            return message_card(str(error))
        return channel_card(answer, image, spatial, block, channel, atlas)

    def on_pick(event: gr.EventData) -> list[int]:
        picked = [event._data.get(name) for name in ("block", "channel")]
        try:
            _check_choice(picked[0], config.num_blocks, picked[1], config.width)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return picked

    show: dict[str, Any] = {
        "fn": on_show,
        "inputs": [site.image, site.question, values, order],
        "outputs": drawn,
        "trigger_mode": "always_last",
        "concurrency_id": "model",
        **PRIVATE,
    }
    look: dict[str, Any] = {
        "fn": on_channel,
        "inputs": [site.image, site.question, block, channel],
        "outputs": card,
        "trigger_mode": "always_last",
        "concurrency_id": "model",
        **PRIVATE,
    }
    tab.select(**show).then(**look)
    gr.on([values.change, order.change], **show)
    gr.on([block.change, channel.change], **look)
    for source in [drawn, *([table] if table else [])]:
        source.select(on_pick, outputs=[block, channel], queue=False, **PRIVATE)


def clearest(atlas: Atlas) -> tuple[int, int]:
    """The block (from 1) and channel (from 0) whose concept stands out most from chance."""
    lead = [block.areas.max(1) - block.baseline for block in atlas.blocks]
    block, channel = divmod(int(np.concatenate(lead).argmax()), len(lead[0]))
    return block + 1, channel


def activation(
    answerer: VisualQuestionAnswerer, image: Image.Image, question: str, block: int, channel: int
) -> tuple[Answer, np.ndarray]:
    """The answer, and the map (h, w) of a channel (from 0) of a block (from 1) after its gate.

    Raises InputError as `answerer.ask` does.
    """
    answer = answerer.ask(image, question)
    watch = Watch(answerer.model)
    with torch.inference_mode():
        watch(**model_inputs(answerer, image, question))
    return answer, watch.maps[block - 1][0, channel].float().cpu().numpy()


def _check_choice(block: Any, blocks: int, channel: Any, channels: int) -> None:
    if not isinstance(block, int) or isinstance(block, bool) or not 1 <= block <= blocks:
        raise InputError(f"block: {block!r:.20} is none; there are 1 to {blocks}")
    if not isinstance(channel, int) or isinstance(channel, bool) or not 0 <= channel < channels:
        raise InputError(f"channel: {channel!r:.20} is none; there are 0 to {channels - 1}")


def _faithfulness(site: AppContext) -> dict[str, Any] | None:
    try:
        return read_faithfulness(site.models.folders[site.models.names[0]])
    except InputError:
        return None
