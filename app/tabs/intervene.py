"""The tab "Intervene": change what the network sees, reads and attends to, and see what becomes of the answer."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
from PIL import Image

from app.context import MODEL, AppContext, html
from app.http.uploads import read_upload
from app.static.script import script
from app.views.answer import message_card
from app.views.intervene import GATE_GROUPS, in_words, intervene_section
from app.views.seen import name_of
from vqa import Answer, VisualQuestionAnswerer
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError
from vqa.explain.interventions import Intervention, Scale, SetGate, film_of, gates_of
from vqa.explain.object_edits import ChangeObject, ObjectEdit, SetAttention, ask_edited

_ABOUT = (
    "Does what the network sees and reads decide its answer? Click an object to hide it or to give it another color, "
    "or, further down, to have a block attend to it; open or shut what a block may read. The answer follows at once."
)
_MOST = 60
Key = tuple[str, ...]


@dataclass(frozen=True)
class Edits:
    """What a visitor has changed about the answer to a question.

    Args:
        path, question: what is asked, so that another image or question begins anew.
        changes: ("hide", object), ("set", object, attribute), ("attend", block, object), ("gate", block, group),
            ("borrow", "gates" or "FiLM"), ("off", block) -> the value, text as all that comes from a browser; objects
            count from 0, blocks from 1.
        chosen: the object whose settings are shown.
    """

    path: str = ""
    question: str = ""
    changes: Mapping[Key, str] = field(default_factory=dict)
    chosen: int | None = None

    def toggled(self, key: Key, value: str) -> "Edits":
        """With this change; without it, where it was made already."""
        rest = {name: old for name, old in self.changes.items() if name != key}
        again = self.changes.get(key) == value or (key in self.changes and key[0] in ("attend", "gate"))
        if not again and len(rest) >= _MOST:
            raise InputError(f"changes: at most {_MOST} at a time")
        return replace(self, changes=rest if again else {**rest, key: value})


def build_tab(context: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    events = InterveneEvents(context)
    html(f'<p class="about">{_ABOUT}</p>')
    result = html(js_on_load=script("intervene.js"), elem_id="intervene-result")
    with gr.Row(elem_classes="borrowing"):
        other = gr.Textbox("How many things are there?", label="Another question", max_length=1000, elem_id="other")
        borrow = [gr.Button(f"Take its {kind}", min_width=110, elem_id=f"borrow-{kind}") for kind in events.kinds]
    with gr.Row(elem_classes="borrowing"):
        blocks = [f"block {k}" for k in range(1, context.answerer.model.config.num_blocks + 1)]
        block = gr.Dropdown(blocks, value=blocks[-1], label="Channels of", min_width=110, elem_id="off-block")
        numbers = gr.Textbox("0-15", label="Numbers, such as 3, 17, 40-45", max_length=500, elem_id="off-channels")
        off = gr.Button("Switch them off", min_width=110, elem_id="off")
    edits = gr.State(Edits())

    asked = [context.image, context.question, edits]
    latest: dict[str, Any] = MODEL | {"trigger_mode": "always_last", "show_progress": "hidden"}
    tab.select(events.on_select, asked, [edits, result], **latest)
    result.select(events.on_do, asked, [edits, result], **latest | {"trigger_mode": "multiple"})
    for kind, button in zip(events.kinds, borrow, strict=True):
        button.click(events.borrower(kind), [*asked, other], [edits, result], **latest)
    off.click(events.on_off, [*asked, block, numbers], [edits, result], **latest)


@dataclass(frozen=True)
class InterveneEvents:
    """What the tab does; every event returns the edits and what is shown of them."""

    context: AppContext

    @property
    def kinds(self) -> list[str]:
        """What another question can lend this model."""
        config = self.context.answerer.model.config
        return ["gates"] * (config.channel_attention != "none") + ["FiLM"] * bool(config.film)

    def on_select(self, file: Any, question: Any, edits: Edits) -> tuple[Edits, str]:
        """The edits as they were; of another image or question, one that changes the answer."""
        return self._shown(file, question, edits, lambda now, before: now)

    def on_do(self, file: Any, question: Any, edits: Edits, event: gr.EventData) -> tuple[Edits, str]:
        """What was pressed; see `pressed`."""
        return self._shown(file, question, edits, lambda now, before: pressed(now, before, event._data))

    def on_off(self, file: Any, question: Any, edits: Edits, block: Any, numbers: Any) -> tuple[Edits, str]:
        """Channels of a block switched off."""
        match = re.fullmatch(r"block (\d{1,3})", str(block))

        def change(now: Edits, before: Answer) -> Edits:
            k = _index(match and match[1], "block", len(before.blocks), first=1)
            parse_channels(numbers, self.context.answerer.model.config.trunk_width)
            return replace(now, changes={**now.changes, ("off", str(k)): numbers})

        return self._shown(file, question, edits, change)

    def borrower(self, kind: str) -> Any:
        """The event of the button that takes another question's gates or FiLM."""

        def on_borrow(file: Any, question: Any, edits: Edits, other: Any) -> tuple[Edits, str]:
            def change(now: Edits, before: Answer) -> Edits:
                return replace(now, changes={**now.changes, ("borrow", kind): str(other)})

            return self._shown(file, question, edits, change)

        return on_borrow

    def _shown(self, file: Any, question: Any, edits: Edits, change: Any) -> tuple[Edits, str]:
        answerer, path = self.context.answerer, file.get("path", "") if isinstance(file, dict) else ""
        try:
            image = read_upload(file)
            before = answerer.ask(image, question)
            if (edits.path, edits.question) != (path, question):
                edits = opening(answerer, image, Edits(path, question), before)
            changed = change(edits, before)
            after = asked_with(answerer, image, changed, before)
        except InputError as error:
            return edits, message_card(str(error))
        shown = intervene_section(
            image, question, before, after, changed.changes, changed.chosen, told(changed, before)
        )
        return changed, shown


def pressed(edits: Edits, before: Answer, data: Any) -> Edits:
    """The edits after a press on what `data["do"]` names. Raises InputError for what is not on the page."""
    told = {name: str(value)[:80] for name, value in data.items()} if isinstance(data, dict) else {}
    objects = before.scene.objects if before.scene else ()

    def index(name: str, count: int, first: int = 0) -> int:
        return _index(told.get(name), name, count, first)

    match told.get("do"):
        case "reset":
            return replace(edits, changes={})
        case "undo":
            keys = list(edits.changes)
            gone = keys[index("number", len(keys))]
            return replace(edits, changes={key: value for key, value in edits.changes.items() if key != gone})
        case "choose":
            return replace(edits, chosen=index("object", len(objects)))
        case "hide":
            return edits.toggled(("hide", str(index("object", len(objects)))), "")
        case "set":
            number, attribute, value = index("object", len(objects)), told.get("attribute", ""), told.get("value")
            if value not in ATTRIBUTES.get(attribute, ()):
                raise InputError(f"{attribute[:20]}: {str(value)[:20]!r} is not one of its values")
            return edits.toggled(("set", str(number), attribute), str(value))
        case "attend":
            block, number = index("block", len(before.blocks), first=1), index("object", len(objects))
            return edits.toggled(("attend", str(block), str(number)), told.get("value", ""))
        case "gate":
            block, group = index("block", len(before.blocks) + 1, first=1), told.get("group", "")
            if group not in GATE_GROUPS:
                raise InputError(f"gate: {group[:20]!r} is not one")
            return edits.toggled(("gate", str(block), group), told.get("value", ""))
    raise InputError("change: this is not on the page; reload it")


def asked_with(answerer: VisualQuestionAnswerer, image: Image.Image, edits: Edits, before: Answer) -> Answer:
    """The answer under the edits. Raises InputError."""
    objects = before.scene.objects if before.scene else ()
    seen: list[ObjectEdit] = []
    network: list[Intervention] = []
    for (kind, *rest), value in edits.changes.items():
        if kind == "hide":
            seen.append(ChangeObject(objects[int(rest[0])]))
        elif kind == "set":
            seen.append(ChangeObject(objects[int(rest[0])], rest[1], value))
        elif kind == "attend":
            seen.append(SetAttention(int(rest[0]), objects[int(rest[1])], value == "1"))
        elif kind == "off":
            numbers = parse_channels(value, answerer.model.config.trunk_width)
            network.append(Scale(int(rest[0]), numbers, 0.0))
        elif kind == "borrow":
            other = answerer.ask(image, value)
            network = [*(gates_of(other) if rest[0] == "gates" else film_of(other)), *network]
        else:
            network.append(SetGate(int(rest[0]), GATE_GROUPS[rest[1]], float(value == "1")))
    return ask_edited(answerer, image, edits.question, seen, network)


def told(edits: Edits, before: Answer) -> list[str]:
    """The changes in words."""
    names = [name_of(item.as_object()) for item in before.scene.objects] if before.scene else []
    return [in_words(key, value, names) for key, value in edits.changes.items()]


def opening(answerer: VisualQuestionAnswerer, image: Image.Image, edits: Edits, before: Answer) -> Edits:
    """One edit that changes the answer, of those that bear on it most; none where none does."""
    for found in _candidates(edits, before):
        if asked_with(answerer, image, found, before).answer != before.answer:
            return found
    return edits


def _candidates(edits: Edits, before: Answer) -> Iterator[Edits]:
    """The object that the answer was read from, with another value of what was asked, or hidden; other objects hidden;
    what the last block reads, shut."""
    read = (before.attended[-1] if before.attended else None) or ()
    asked = before.check.program[-1].function.removeprefix("query_") if before.check else ""
    for i in read:
        for value in ATTRIBUTES.get(asked, ()):
            if value != before.answer:
                yield replace(edits, changes={("set", str(i), asked): value}, chosen=i)
    others = range(len(before.scene.objects) if before.scene else 0)
    for i in (*read, *others):
        yield replace(edits, changes={("hide", str(i)): ""}, chosen=i)
    for group in GATE_GROUPS if before.head_gate is not None else ():
        yield replace(edits, changes={("gate", str(len(before.blocks)), group): "0"})


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


def _index(text: Any, name: str, count: int, first: int = 0) -> int:
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,4}", text, re.ASCII):
        raise InputError(f"{name}: expected a number")
    if not first <= int(text) < first + count:
        raise InputError(f"{name}: there is no {name} {int(text)}")
    return int(text)
