"""The tab "Channels": every channel's weights, and for a chosen one what it tracks, where it speaks and when."""

from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image

from app.context import MODEL, AppContext, html
from app.http.uploads import read_upload
from app.static.script import script
from app.tabs.intervene import Edits, asked_with, pressed, told
from app.views.answer import hint_card, message_card
from app.views.channels import IN_PLACE, atlas_table, channel_card, depth_card, strips
from app.views.comparison import Side, side_by_side
from app.views.faithfulness import faithfulness_card
from vqa import Answer, VisualQuestionAnswerer
from vqa.errors import InputError
from vqa.explain.atlas import Atlas, weight_kinds
from vqa.explain.channel_weights import CHANNEL_WEIGHTS
from vqa.explain.explanation import model_inputs
from vqa.explain.faithfulness_report import read_faithfulness
from vqa.explain.interventions import Scale, Watch, ask_with, intervene

_CANDIDATES = 12
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
    scripts = "".join(script(name) for name in ("page.js", "channels.js", "intervene.js"))
    drawn = html(js_on_load=scripts, elem_id="channels-strips")
    forced = html(elem_id="channels-forced")
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
    about = gr.State(None)
    opened = tab.select(events.on_select, [*asked, about, block, channel], [about, block, channel, forced], **latest)
    opened.then(**show).then(**look)
    gr.on([values.change, order.change], **show)
    gr.on([block.change, channel.change], **look)
    for picker in pickers:
        picker.select(events.on_pick, asked, [block, channel, forced], **latest)


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
    limits = (("Block", 1, config.num_blocks), ("Channel", 0, config.trunk_width - 1))
    with gr.Row(elem_classes="choice"):
        return [
            gr.Number(
                low,
                label=name,
                precision=0,
                minimum=low,
                maximum=high,
                min_width=90,
                elem_id=f"channels-{name.lower()}",
            )
            for name, low, high in limits
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

    def on_select(self, file: Any, question: Any, about: Any, block: Any, channel: Any) -> list[Any]:
        """The channel that mattered most for the answer, where image or question are new."""
        now = (file.get("path") if isinstance(file, dict) else None, question)
        try:
            if now == about:
                return [gr.skip()] * 4
            return [now, *most_important(self.context.answerer, read_upload(file), question), ""]
        except InputError:  # the strips say it
            return [None, block, channel, ""]

    def on_show(self, file: Any, question: Any, values: Any, order: Any) -> str:
        """The strips of all blocks."""
        try:
            image = read_upload(file)
            answer = self.context.answerer.ask(image, question)
        except InputError as error:
            return message_card(str(error))
        atlas = self.atlas if values == DEVIATION else None
        factored = self.context.answerer.model.config.factored
        return strips(question, answer, atlas, self.orders.get(str(order)), factored)

    def on_channel(self, file: Any, question: Any, block: Any, channel: Any) -> str:
        """The card of the chosen channel."""
        try:
            self._check(block, channel)
            image = read_upload(file)
            answer, maps = watched(self.context.answerer, image, question)
            without = ask_with(self.context.answerer, image, question, [Scale(block, [channel], 0.0)])
        except InputError as error:
            return message_card(str(error))
        return channel_card(answer, image, maps[block - 1][channel], block, channel, self.atlas, without)

    def on_pick(self, file: Any, question: Any, event: gr.EventData) -> list[Any]:
        """The block and channel that were pressed; or the answer with the gate that was pressed forced."""
        picked = [event._data.get(name) for name in ("block", "channel")]
        try:
            if event._data.get("do") == "gate":
                return [gr.skip(), gr.skip(), self._forced(file, question, event._data)]
            self._check(*picked)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return [*picked, gr.skip()]

    def _forced(self, file: Any, question: Any, pressed_gate: Any) -> str:
        image = read_upload(file)
        before = self.context.answerer.ask(image, question)
        edits = pressed(Edits("", question), before, pressed_gate)
        after = asked_with(self.context.answerer, image, edits, before)
        return side_by_side(Side("As it is", question, before), Side("; ".join(told(edits, before)), question, after))

    def _check(self, block: Any, channel: Any) -> None:
        config = self.context.answerer.model.config
        for name, value, low, high in (
            ("block", block, 1, config.num_blocks),
            ("channel", channel, 0, config.trunk_width - 1),
        ):
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"{name}: {value!r:.20} is not one of {low} to {high}")


def watched(answerer: VisualQuestionAnswerer, image: Image.Image, question: str) -> tuple[Answer, list[np.ndarray]]:
    """The answer, and every block's maps (C, h, w) after its gate. Raises InputError as `answerer.ask` does."""
    answer = answerer.ask(image, question)
    watch = Watch(answerer.model)
    with torch.inference_mode():
        watch(**model_inputs(answerer, image, question))
    return answer, [found[0].float().cpu().numpy() for found in watch.maps]


def most_important(answerer: VisualQuestionAnswerer, image: Image.Image, question: str) -> tuple[int, int]:
    """The block (from 1) and the channel (from 0) without which the answer's probability falls most.

    Of the `_CANDIDATES` channels with the largest |sum of map x gradient|, each is switched off. Raises InputError as
    `answerer.ask` does.
    """
    model, width = answerer.model, answerer.model.config.trunk_width
    best = model.config.answers.index(answerer.ask(image, question).top_answers[0][0])
    inputs = model_inputs(answerer, image, question)
    watch = Watch(model)
    with torch.enable_grad():
        logits = watch(**inputs).logits
        assert logits is not None
        slopes = torch.autograd.grad(logits[0, best], watch.maps, allow_unused=True)
    effects = [
        torch.zeros(width) if slope is None else (slope * found).sum((2, 3))[0].detach().abs().cpu()
        for slope, found in zip(slopes, watch.maps, strict=True)
    ]
    places = torch.cat(effects).topk(min(_CANDIDATES, width)).indices
    off = torch.nn.functional.one_hot(places, width * len(effects)).bool().view(len(places), -1, width)
    edits = [Scale(k, off[:, k - 1], 0.0) for k in range(1, len(effects) + 1)]
    tokens = {name: inputs[name].expand(len(places), -1) for name in ("input_ids", "attention_mask")}
    index = torch.zeros(len(places), dtype=torch.long, device=answerer.device)
    with torch.inference_mode():
        output = intervene(model, edits)(image_features=inputs["image_features"], image_index=index, **tokens)
    worst = int(places[int(output.logits.softmax(-1)[:, best].argmin())])
    return worst // width + 1, worst % width


def _faithfulness(context: AppContext) -> str:
    """What `vqa explain faithfulness` measured, or why it is not shown and how to make it."""
    folder = context.models.folders[context.models.names[0]]
    try:
        return faithfulness_card(read_faithfulness(folder))
    except InputError as error:  # visitors need not know the folder
        return hint_card(f"Whether gates and channels matter is not shown. {error}".replace(f"{folder}/", ""))
