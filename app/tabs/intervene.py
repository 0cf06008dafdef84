"""The tab "Intervene": does a channel matter? Switch it off, and see what becomes of the answer."""

import re
from typing import Any

import gradio as gr

from app.context import MODEL, QUICK, AppContext, html
from app.http.uploads import read_upload
from app.views.answer import hint_card, message_card
from app.views.comparison import Side, side_by_side
from vqa.errors import InputError
from vqa.explain.interventions import Intervention, Scale, SetGate, ask_with, film_of

CHANNELS, CONCEPT, GATES, SWAP = (
    "Some channels",
    "All channels of a concept",
    "All gates of a block",
    "FiLM of another question",
)

ALL = "all blocks"

_SETTINGS = {
    "block": (CHANNELS, GATES, CONCEPT, SWAP),
    "channels": (CHANNELS,),
    "concept": (CONCEPT,),
    "factor": (CHANNELS, CONCEPT),
    "gate": (GATES,),
    "other": (SWAP,),
}
"""Setting -> the ways that have it, in the order of `interventions`' arguments."""
_ABOUT = (
    "A weight that looks important may not be. Here you change what the network does while it answers the question of "
    "the tab “Ask”, and see whether the answer changes too."
)


def build_tab(context: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    html(f'<p class="about">{_ABOUT}</p>')
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            settings = _build_settings(context)
            button = gr.Button("Try it", variant="primary", elem_id="intervene-go")
        with gr.Column(scale=7, min_width=320):
            result = html(hint_card("Press “Try it”."), elem_id="intervene-result")

    def on_try(file: Any, question: Any, *chosen: Any) -> str:
        try:
            return before_and_after(context, file, question, *chosen)
        except InputError as error:
            return message_card(str(error))

    settings[0].change(shown_settings, settings[0], settings[1:], **QUICK)
    button.click(on_try, [context.image, context.question, *settings], result, **MODEL)


def shown_settings(way: Any) -> list[Any]:
    """Show the settings that a way of changing the network has, and hide the others."""
    return [gr.update(visible=way in ways) for ways in _SETTINGS.values()]


def _build_settings(context: AppContext) -> list[Any]:
    """The way, then the components of `_SETTINGS` in their order."""
    config, concepts = context.answerer.model.config, _concepts(context)
    ways = [CHANNELS, *[CONCEPT] * bool(concepts), *[GATES] * (config.channel_attention != "none")]
    ways += [SWAP] * bool(config.film)
    blocks = [ALL, *(f"block {k}" for k in range(1, config.num_blocks + 1))]
    way = gr.Radio(ways, value=ways[0], label="What to change", elem_id="intervene-way")

    def shared(name: str, label: str, info: str | None = None) -> dict[str, Any]:
        visible = ways[0] in _SETTINGS[name]
        return {"label": label, "info": info, "visible": visible, "elem_id": f"intervene-{name}"}

    numbers = f"by number, 0 to {config.width - 1}, such as 3, 17, 40-45"
    return [
        way,
        gr.Dropdown(blocks, value=blocks[-1], **shared("block", "Where")),
        gr.Textbox("0-15", max_length=500, **shared("channels", "Channels", numbers)),
        gr.Dropdown(
            concepts,
            value=concepts[0] if concepts else None,
            **shared("concept", "Concept", "which channels track it, the channel atlas tells"),
        ),
        gr.Slider(-2, 4, 0, step=0.25, **shared("factor", "Multiply by", "0 is off, 1 as it was, 2 twice as loud")),
        gr.Slider(0, 1, 1, step=0.05, **shared("gate", "Channel gate", "1 lets all through")),
        gr.Textbox(
            "How many things are there?",
            max_length=1000,
            **shared("other", "Another question", "its FiLM takes the place of your question's"),
        ),
    ]


def before_and_after(context: AppContext, file: Any, question: Any, *settings: Any) -> str:
    """The answer as it is, and with what `settings` change. Raises InputError."""
    image = read_upload(file)
    before = context.answerer.ask(image, question)
    edits, said = interventions(context, image, *settings)
    after = ask_with(context.answerer, image, question, edits)
    return side_by_side(Side("As it is", question, before, image), Side(said, question, after, image))


def interventions(
    context: AppContext,
    image: Any,
    way: Any,
    block: Any,
    channels: Any,
    concept: Any,
    factor: Any,
    gate: Any,
    other: Any,
) -> tuple[list[Intervention], str]:
    """What a visitor has set, as interventions and in words. Raises InputError for settings that make no sense."""
    answerer, atlas = context.answerer, context.atlas
    chosen = _blocks(block, answerer.model.config.num_blocks)
    where = block if isinstance(block, str) else ALL
    if way == CHANNELS:
        numbers = parse_channels(channels, answerer.model.config.width)
        times = _number(factor, "times", -2, 4)
        return [Scale(k, numbers, times) for k in chosen], f"{len(numbers)} channels of {where} times {times:g}"
    if way == CONCEPT and atlas is not None:
        if concept not in _concepts(context):
            raise InputError(f"concept: {concept!r:.60} is none that a channel tracks")
        times = _number(factor, "times", -2, 4)
        found = {k: atlas.blocks[k - 1].channels_of(concept) for k in chosen}
        count = sum(map(len, found.values()))
        if not count:
            raise InputError(f"concept: no channel of {where} tracks {concept}; choose {ALL}")
        word = f"without “{concept}”" if times == 0 else f"“{concept}” times {times:g}"
        edits: list[Intervention] = [Scale(k, numbers, times) for k, numbers in found.items() if numbers]
        return edits, f"{word}: {count} channel{'s' * (count > 1)} of {where}"
    if way == GATES:
        weight = _number(gate, "gate", 0, 1)
        if block == ALL and answerer.model.input_gate is not None:
            chosen = [*chosen, len(chosen) + 1]  # the head reads through a gate of its own
        return [SetGate(k, None, weight) for k in chosen], f"gates of {where} fixed at {weight:g}"
    if way == SWAP:
        film = film_of(answerer.ask(image, other))
        return [item for item in film if item.block in chosen], f"FiLM of {where} from “{other}”"
    raise InputError(f"what to change: {way!r:.60} is not on offer")


def parse_channels(text: Any, width: int) -> list[int]:
    """ "3, 17, 40-45" -> channels, each once, ascending. Raises InputError for anything else, or beyond `width`."""
    expected = f"channels: expected numbers from 0 to {width - 1}, such as 3, 17, 40-45"
    if not isinstance(text, str) or len(text) > 500:
        raise InputError(expected)
    numbers: set[int] = set()
    for part in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*[-–]\s*", "-", text.strip()))):  # noqa: RUF001
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < width:
            raise InputError(f"{expected}; got {part[:30]!r}")
        numbers.update(range(first, last + 1))
    if not numbers:
        raise InputError(expected)
    return sorted(numbers)


def _concepts(context: AppContext) -> list[str]:
    """The concepts that some channel tracks, by name."""
    atlas = context.atlas
    if atlas is None:
        return []
    tracked = {block.concept(channel) for block in atlas.blocks for channel in range(len(block.baseline))}
    return sorted(name for name in tracked if name)


def _blocks(block: Any, count: int) -> list[int]:
    if block == ALL:
        return list(range(1, count + 1))
    match = re.fullmatch(r"block (\d{1,3})", block) if isinstance(block, str) else None
    if match is None or not 1 <= int(match[1]) <= count:
        raise InputError(f"where: {block!r:.60} is not {ALL} or one of block 1 to block {count}")
    return [int(match[1])]


def _number(value: Any, name: str, low: float, high: float) -> float:
    if type(value) not in (int, float) or not low <= value <= high:
        raise InputError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r:.30}")
    return float(value)
