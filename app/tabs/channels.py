"""The tab "Channels": every channel's weights, and for a chosen one what it tracks, where it speaks and when."""

from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image

from app.context import MODEL, QUICK, AppContext, html
from app.http.uploads import read_upload
from app.static.script import script
from app.views.answer import hint_card, message_card
from app.views.channels import IN_PLACE, atlas_table, channel_card, depth_card, strips
from app.views.faithfulness import faithfulness_card
from vqa import Answer, VisualQuestionAnswerer
from vqa.errors import InputError
from vqa.explain.atlas import Atlas, weight_kinds
from vqa.explain.channel_weights import CHANNEL_WEIGHTS
from vqa.explain.explanation import model_inputs
from vqa.explain.faithfulness_report import read_faithfulness
from vqa.explain.interventions import Watch

DEVIATION, RAW = "against its usual weight", "as it is"

_ABOUT = (
    "Each block of the network has channels, maps of one learned feature each. The question and the picture decide how "
    "loud each is: FiLM multiplies it by γ and adds β, and a channel gate lets a part of it through. "  # noqa: RUF001
    "Choose a channel to see where in the picture it speaks, and what it tracks over many pictures."
)
_NO_ATLAS = (
    "This model has no channel atlas, which tells what channels track and what weights they usually have. Make one "
    "with `vqa explain atlas --data DIR --checkpoint FOLDER`."
)


def build_tab(context: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    atlas = context.atlas
    events = ChannelEvents(context, atlas)
    html(f'<p class="about">{_ABOUT}</p>')
    if atlas is None:
        html(hint_card(_NO_ATLAS))
    values, order = _build_settings(events)
    drawn = html(js_on_load=script("page.js") + script("channels.js"), elem_id="channels-strips")
    block, channel = _build_choice(events)
    card = html(elem_id="channels-card")
    pickers = [drawn]
    if atlas is not None:
        html(depth_card(atlas), elem_id="channels-depth")
    html(_faithfulness(context), elem_id="channels-faithful")
    if atlas is not None:
        pickers.append(html(atlas_table(atlas), js_on_load=script("table.js"), elem_id="channels-table"))

    latest: dict[str, Any] = MODEL | {"trigger_mode": "always_last"}
    asked = [context.image, context.question]
    show: dict[str, Any] = {"fn": events.on_show, "inputs": [*asked, values, order], "outputs": drawn, **latest}
    look: dict[str, Any] = {"fn": events.on_channel, "inputs": [*asked, block, channel], "outputs": card, **latest}
    tab.select(**show).then(**look)
    gr.on([values.change, order.change], **show)
    gr.on([block.change, channel.change], **look)
    for picker in pickers:
        picker.select(events.on_pick, outputs=[block, channel], **QUICK)


def _build_settings(events: "ChannelEvents") -> tuple[gr.Radio, gr.Radio]:
    with gr.Row():
        values = gr.Radio(
            [DEVIATION, RAW],
            value=DEVIATION if events.atlas else RAW,
            label="Show each weight",
            info="usual is its mean over many questions and pictures",
            interactive=events.atlas is not None,
            elem_id="channels-values",
        )
        order = gr.Radio(
            [IN_PLACE, *events.orders],
            value=IN_PLACE,
            label="Order of the channels",
            info="each block sorts its own",
            elem_id="channels-order",
        )
    return values, order


def _build_choice(events: "ChannelEvents") -> list[gr.Number]:
    config = events.context.answerer.model.config
    first = (1, 0) if events.atlas is None else clearest(events.atlas)
    limits = (("Block", 1, config.num_blocks), ("Channel", 0, config.width - 1))
    with gr.Row(elem_classes="choice"):
        return [
            gr.Number(
                value,
                label=name,
                precision=0,
                minimum=low,
                maximum=high,
                min_width=90,
                elem_id=f"channels-{name.lower()}",
            )
            for value, (name, low, high) in zip(first, limits, strict=True)
        ]


@dataclass(frozen=True)
class ChannelEvents:
    """What the tab does when a visitor looks, sorts or chooses."""

    context: AppContext
    atlas: Atlas | None = field(repr=False)

    @property
    def orders(self) -> dict[str, str]:
        """Title of each order of the channels -> the kind of weight that sorts."""
        kinds = weight_kinds(self.context.answerer.model.config)
        return {f"by {kind.symbol}": name for name, kind in CHANNEL_WEIGHTS.items() if name in kinds}

    def on_show(self, file: Any, question: Any, values: Any, order: Any) -> str:
        """The strips of all blocks."""
        try:
            answer = self.context.answerer.ask(read_upload(file), question)
        except InputError as error:
            return message_card(str(error))
        return strips(question, answer, self.atlas if values == DEVIATION else None, self.orders.get(str(order)))

    def on_channel(self, file: Any, question: Any, block: Any, channel: Any) -> str:
        """The card of the chosen channel."""
        try:
            self._check(block, channel)
            image = read_upload(file)
            answer, spatial = activation(self.context.answerer, image, question, block, channel)
        except InputError as error:
            return message_card(str(error))
        return channel_card(answer, image, spatial, block, channel, self.atlas)

    def on_pick(self, event: gr.EventData) -> list[int]:
        """The block and channel that were pressed."""
        picked = [event._data.get(name) for name in ("block", "channel")]
        try:
            self._check(*picked)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return picked

    def _check(self, block: Any, channel: Any) -> None:
        config = self.context.answerer.model.config
        for name, value, low, high in (
            ("block", block, 1, config.num_blocks),
            ("channel", channel, 0, config.width - 1),
        ):
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"{name}: {value!r:.20} is not one of {low} to {high}")


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


def _faithfulness(context: AppContext) -> str:
    """What `vqa explain faithfulness` measured, or why it is not shown and how to make it."""
    folder = context.models.folders[context.models.names[0]]
    try:
        return faithfulness_card(read_faithfulness(folder))
    except InputError as error:  # visitors need not know the folder
        return hint_card(f"Whether gates and channels matter is not shown. {error}".replace(f"{folder}/", ""))
