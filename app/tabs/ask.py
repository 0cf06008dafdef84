"""The tab "Ask": an image, a question, the answer, and what each block of the network did with them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
from PIL import Image

from app.context import MODEL, Turns, html
from app.examples import Example, all_questions, known_example, true_answer
from app.http.uploads import is_upload, read_upload, save_image, upload_name
from app.static.script import script
from app.suggestions import ANY_IMAGE, ON_CHOICE, completion, suggestions, suggestions_for
from app.views.answer import (
    PICTURE_WARNING,
    Asked,
    answer_card,
    blocks_section,
    hint_card,
    history_card,
    message_card,
)
from app.views.gallery import gallery, thumbnail
from app.views.seen import seen_card
from vqa import Answer, VisualQuestionAnswerer
from vqa.clevr.language import READ_WORDS
from vqa.clevr.scenes import Scene
from vqa.errors import InputError
from vqa.utils.images import load_image

MAX_HISTORY = 20
MAX_QUESTION = 1000

_CROP = "If it has such a scene in it, press “Crop” and drag over that part."
_PLACEHOLDER = "Drop a picture here, paste one, or click to upload"
_SMALL = (72, 48)
_Shown = dict[Any, Any]


class AskTab:
    """The tab's components and events. Each event returns what it changes, or nothing if a later one began since."""

    def __init__(self, answerer: VisualQuestionAnswerer, examples: Sequence[Example]) -> None:
        self.answerer = answerer
        self.examples = examples
        self.turns = Turns()

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out in the Blocks being built, with the first example answered, and listen."""
        first = self.examples[0]
        image, question = load_image(first.path), first.questions[0]
        answer = self.answerer.ask(image, question)
        with gr.Row(elem_classes="ask"):
            with gr.Column(scale=6, min_width=320, elem_classes="asking"):
                self._build_question(question, first)
                self.answer = html(self._answer_card(question, answer, image), elem_id="answer")
                self.history = html(history_card([]), js_on_load=ON_CHOICE + script("visit.js"), elem_id="history")
            with gr.Column(scale=5, min_width=320, elem_classes="looking"):
                self._build_image(first, seen_card(answer, image, first.scene))
        self.blocks = html(
            blocks_section(answer, image, self.answerer.model.config.factored),
            js_on_load=script("page.js"),
            elem_id="blocks",
        )
        self.asked = gr.State([])
        self.saved, self.late = gr.Textbox(visible=False), gr.Checkbox(visible=False)
        self._listen(demo)

    def _build_question(self, question: str, example: Example) -> None:
        with gr.Row(elem_classes="question"):
            self.question = gr.Textbox(
                question,
                label="Question",
                placeholder="What color is the cube left of the sphere?",
                max_length=MAX_QUESTION,
                elem_id="question",
                scale=5,
                min_width=200,
            )
            self.button = gr.Button("Ask", variant="primary", elem_id="ask", scale=1, min_width=88)
        known = {*self.answerer.processor.tokenizer.get_vocab(), *READ_WORDS}
        html(completion(known, all_questions()), js_on_load=script("complete.js"), elem_id="completion")
        self.suggestions = html(
            suggestions(example.questions, example.fitting), js_on_load=ON_CHOICE, elem_id="suggestions"
        )

    def _build_image(self, example: Example, seen: str) -> None:
        with gr.Column(elem_classes="framed"):
            self.image = gr.Image(
                str(example.path),
                label="Picture",
                show_label=False,
                type="filepath",
                sources=["upload", "clipboard", "webcam"],
                webcam_options=gr.WebcamOptions(mirror=False),  # left is to stay left
                buttons=[],
                height=342,
                elem_id="picture",
                alt_text="The picture to ask about",
                placeholder=_PLACEHOLDER,
            )
            self.seen = html(seen, js_on_load=script("seen.js"), elem_id="seen")
        self.gallery = html(gallery(self.examples, "Examples"), js_on_load=ON_CHOICE, elem_id="gallery")

    def _listen(self, demo: gr.Blocks) -> None:
        latest: dict[str, Any] = MODEL | {"trigger_mode": "always_last"}
        answered = [self.answer, self.seen, self.blocks, self.asked, self.history]
        everything = [self.image, self.question, self.suggestions, *answered]
        gr.on(
            [self.button.click, self.question.submit],
            self.on_ask,
            [self.image, self.question, self.asked],
            answered,
            **latest,
        )
        self.suggestions.select(self.on_suggestion, [self.image, self.asked], [self.question, *answered], **latest)
        self.gallery.select(self.on_example, self.asked, everything, **latest)
        self.history.select(self.on_history, self.asked, everything, **latest)
        self.seen.select(self.on_crop, self.image, everything, **latest)
        self.image.input(
            self.on_upload,
            [self.image, self.late, self.asked],
            everything,
            js="(image, late, asked) => [image, Boolean(image) && window.vqaVisit.isLate(), asked]",
            **latest,
        )
        demo.load(
            self.on_load,
            self.saved,
            everything,
            js="() => window.vqaVisit.restore()",
            **MODEL | {"show_progress": "hidden"},
        ).then(None, js="() => window.vqaVisit.openTab()")

    def on_ask(self, file: Any, question: Any, asked: list[Asked], request: gr.Request) -> _Shown:
        """The answer, the blocks, and the visit's history."""
        return self._unless_late(request, lambda: self._ask(file, question, asked))

    def on_suggestion(self, file: Any, asked: list[Asked], event: gr.EventData, request: gr.Request) -> _Shown:
        """The question of the button that was pressed, answered."""
        question = str(event._data.get("value", ""))[:MAX_QUESTION]
        return self._unless_late(request, lambda: {self.question: question} | self._ask(file, question, asked))

    def on_example(self, asked: list[Asked], event: gr.EventData, request: gr.Request) -> _Shown:
        """An image of the gallery with a question about it, answered."""
        index = event._data.get("index")
        if self._example(index) is None:
            raise gr.Error("gallery: no such picture", print_exception=False)
        return self._unless_late(request, lambda: self._ask_example(index, None, asked))

    def on_history(self, asked: list[Asked], event: gr.EventData, request: gr.Request) -> _Shown:
        """An earlier question of the visit with its image, answered again."""
        index = event._data.get("index")
        if type(index) is not int or not 0 <= index < len(asked):
            raise gr.Error("history: no such question", print_exception=False)
        return self._unless_late(request, lambda: self._ask_again(asked[index], asked))

    def on_upload(self, file: Any, late: Any, asked: list[Asked], request: gr.Request) -> _Shown:
        """Look at a new image at once: refuse a broken one, warn of an odd one, suggest questions that fit it.

        `late` is whether an example or an earlier question was chosen while the file was on its way: that stays.
        """
        if late and asked:
            return {self.image: asked[-1].path}
        return self._unless_late(request, lambda: self._look_at(file))

    def on_crop(self, file: Any, event: gr.EventData, request: gr.Request) -> _Shown:
        """Look at a part of the image, `box` being its left, top, right and bottom as fractions."""
        box = event._data.get("box")
        if not isinstance(box, list) or len(box) != 4 or not all(type(x) in (int, float) and 0 <= x <= 1 for x in box):
            raise gr.Error("crop: expected four fractions", print_exception=False)
        return self._unless_late(request, lambda: self._look_at_part(file, box))

    def on_load(self, saved: Any, request: gr.Request) -> _Shown:
        """What the browser kept of the visit before a reload, or what the page's address tells; see static/visit.js."""
        try:
            kept = json.loads(saved) if isinstance(saved, str) and len(saved) < 200_000 else {}
            asked = [entry for item in kept.get("visit", [])[-MAX_HISTORY:] if (entry := self._restored(item))]
            link = parse_qs(str(kept.get("link", "")).removeprefix("?")[:5000])
            example = int(link["example"][0]) if "example" in link else None
        except (ValueError, TypeError, AttributeError, KeyError):
            return {self.answer: gr.skip()}
        question = link.get("question", [None])[0]
        if self._example(example) is not None:
            return self._unless_late(request, lambda: self._ask_example(example, question, asked))
        if asked:
            return self._unless_late(request, lambda: self._ask_again(asked[-1], asked))
        return {self.answer: gr.skip()}

    def _unless_late(self, request: gr.Request, work: Callable[[], _Shown]) -> _Shown:
        visit = request.session_hash or ""
        turn = self.turns.begin(visit)
        shown = work()
        return shown if self.turns.is_latest(visit, turn) else {self.answer: gr.skip()}

    def _ask(self, file: Any, question: Any, asked: list[Asked]) -> _Shown:
        try:
            image = read_upload(file)
            answer = self.answerer.ask(image, question)
        except InputError as error:
            return {self.answer: message_card(str(error)), self.blocks: ""}
        entry = _entry(file, image, question, answer.answer)
        asked = [*(old for old in asked if (old.path, old.question) != (entry.path, question)), entry][-MAX_HISTORY:]
        return {
            self.answer: self._answer_card(question, answer, image),
            self.seen: seen_card(answer, image, _truth(image)),
            self.blocks: blocks_section(answer, image, self.answerer.model.config.factored),
            self.asked: asked,
            self.history: history_card(asked),
        }

    def _ask_example(self, index: Any, question: str | None, asked: list[Asked]) -> _Shown:
        example = self.examples[index]
        question = question or example.questions[0]
        return {
            self.image: gr.update(value=str(example.path), placeholder=_PLACEHOLDER),
            self.question: question,
            self.suggestions: suggestions(example.questions, example.fitting),
        } | self._ask({"path": str(example.path)}, question, asked)

    def _ask_again(self, entry: Asked, asked: list[Asked]) -> _Shown:
        if entry.example is not None:
            return self._ask_example(entry.example, entry.question, asked)
        file = {"path": entry.path, "orig_name": entry.name}
        return (
            {self.image: entry.path, self.question: entry.question}
            | self._look_at(file)
            | self._ask(file, entry.question, asked)
        )

    def _look_at_part(self, file: Any, box: Sequence[float]) -> _Shown:
        try:
            image = read_upload(file)
        except InputError as error:
            return {self.answer: message_card(str(error))}
        left, top, right, bottom = (round(part * side) for part, side in zip(box, image.size * 2, strict=True))
        part = image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
        path = save_image(part, "crop")
        return {self.image: path} | self._look_at({"path": path, "orig_name": f"part of {upload_name(file)}"})

    def _look_at(self, file: Any) -> _Shown:
        if file is None:
            return {self.answer: hint_card("Choose a picture."), self.blocks: "", self.seen: ""}
        try:
            image = read_upload(file)
        except InputError as error:
            refused = gr.update(value=None, placeholder=f"That did not work: {error}"[:300])
            cleared = dict.fromkeys([self.blocks, self.suggestions, self.seen], "")
            return {self.image: refused, self.answer: message_card(str(error))} | cleared
        found = self.answerer.ask(image, ANY_IMAGE[0])
        strange = "picture" in found.unfamiliar
        return {
            self.answer: hint_card("Ask a question about your picture.", [f"{PICTURE_WARNING} {_CROP}"] * strange),
            self.suggestions: "" if strange else suggestions_for(found.scene.scene if found.scene else None),
            self.seen: seen_card(None if strange else replace(found, question=""), image),
            self.blocks: "",
        }

    def _answer_card(self, question: str, answer: Answer, image: Image.Image) -> str:
        scene = _truth(image)
        return answer_card(question, answer, true_answer(question, scene)[0] if scene else None)

    def _restored(self, item: Any) -> Asked | None:
        """An entry that the browser kept; None for what is none, or whose file is gone."""
        texts = [item.get(name) for name in ("path", "name", "question", "answer")]
        if not all(isinstance(text, str) and len(text) <= MAX_QUESTION for text in texts):
            return None
        path, name, question, answer = texts
        example = self._example(item.get("example"))
        if example is None and not is_upload(path):
            return None
        file = {"path": path if example is None else str(example.path), "orig_name": name}
        try:
            return _entry(file, read_upload(file), question, answer)
        except InputError:
            return None

    def _example(self, index: Any) -> Example | None:
        return self.examples[index] if type(index) is int and 0 <= index < len(self.examples) else None


def _entry(file: dict[str, Any], image: Image.Image, question: str, answer: str) -> Asked:
    example = known_example(image)
    path = file["path"] if example is None else str(example.path)
    return Asked(
        path, upload_name(file), None if example is None else example.index, question, answer, thumbnail(image, _SMALL)
    )


def _truth(image: Image.Image) -> Scene | None:
    example = known_example(image)
    return None if example is None else example.scene
