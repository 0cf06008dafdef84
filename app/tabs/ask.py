"""The tab "Ask": an image, a question, the answer, and what each block of the network did with them."""

import base64
from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.examples import Example, all_questions
from app.http.uploads import read_upload, upload_name
from app.static.script import script
from app.suggestions import ANY_IMAGE, ON_CHOICE, completion, suggestions, suggestions_for
from app.views.answer import answer_card, blocks_section, hint_card, history_card, message_card
from vqa import VisualQuestionAnswerer
from vqa.errors import InputError
from vqa.explain.drawing import escape
from vqa.inference.predicted_scene import read_scene
from vqa.utils.images import load_image

MAX_HISTORY = 20

_Asked = list[tuple[str, str, str]]


class AskTab:
    """Lays the tab out in the Blocks being built, and answers its events with `answerer`."""

    def __init__(self, answerer: VisualQuestionAnswerer, examples: Sequence[Example]) -> None:
        self.answerer = answerer
        self.examples = examples
        first = self.examples[0]
        question = first.questions[0]
        image = load_image(first.path)
        answer = answerer.ask(image, question)

        with gr.Row(elem_classes="ask"):
            with gr.Column(scale=5, min_width=320):
                self.image = gr.Image(
                    str(first.path),
                    label="Picture",
                    type="filepath",
                    sources=["upload", "clipboard", "webcam"],
                    webcam_options=gr.WebcamOptions(mirror=False),  # left is to stay left
                    buttons=[],
                    height=300,
                    elem_id="picture",
                    alt_text="The picture to ask about",
                    placeholder="Drop a picture here, paste one, or click to upload",
                )
                self.gallery = gr.HTML(
                    gallery(self.examples), js_on_load=ON_CHOICE, elem_id="gallery", apply_default_css=False
                )
            with gr.Column(scale=6, min_width=320):
                with gr.Row(elem_classes="question"):
                    self.question = gr.Textbox(
                        question,
                        label="Question",
                        placeholder="What color is the cube left of the sphere?",
                        max_length=1000,
                        elem_id="question",
                        scale=5,
                        min_width=200,
                    )
                    self.button = gr.Button("Ask", variant="primary", elem_id="ask", scale=1, min_width=88)
                gr.HTML(
                    completion(answerer.processor.tokenizer.get_vocab(), all_questions()),
                    js_on_load=script("complete.js"),
                    elem_id="completion",
                    apply_default_css=False,
                )
                self.suggestions = gr.HTML(
                    suggestions(first.questions, first.fitting),
                    js_on_load=ON_CHOICE,
                    elem_id="suggestions",
                    apply_default_css=False,
                )
                self.answer = gr.HTML(answer_card(question, answer), elem_id="answer", apply_default_css=False)
                self.history = gr.HTML("", elem_id="history", apply_default_css=False)
        self.blocks = gr.HTML(
            blocks_section(answer, image), js_on_load=script("page.js"), elem_id="blocks", apply_default_css=False
        )
        self.asked = gr.State([])
        self._listen()

    def _listen(self) -> None:
        ask: dict[str, Any] = {
            "fn": self.on_ask,
            "inputs": [self.image, self.question, self.asked],
            "outputs": [self.answer, self.blocks, self.asked, self.history],
            "preprocess": False,
            "show_progress": "minimal",
            "trigger_mode": "always_last",
            "api_visibility": "private",
            "concurrency_id": "model",
        }
        gr.on([self.button.click, self.question.submit], **ask)
        quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        self.suggestions.select(self.on_suggestion, outputs=self.question, **quick).then(**ask)
        later = quick | {"queue": True}
        self.gallery.select(
            self.on_example,
            outputs=[self.image, self.question, self.suggestions, self.answer, self.blocks],
            **quick,
        )
        self.image.input(
            self.on_upload,
            self.image,
            [self.image, self.answer, self.blocks],
            preprocess=False,
            trigger_mode="always_last",
            **quick,
        ).then(self.on_looked_at, self.image, self.suggestions, preprocess=False, concurrency_id="model", **later)

    def on_ask(self, file: Any, question: Any, asked: _Asked) -> tuple[str, str, _Asked, str]:
        """The answer, the blocks, and the visit's history; a message instead of the first two for a mistake."""
        try:
            image = read_upload(file)
            answer = self.answerer.ask(image, question)
        except InputError as error:
            return message_card(str(error)), "", asked, history_card(asked)
        entry = (upload_name(file), question, answer.answer)
        asked = [*(old for old in asked if old != entry), entry][-MAX_HISTORY:]
        return answer_card(question, answer), blocks_section(answer, image), asked, history_card(asked)

    def on_suggestion(self, event: gr.EventData) -> str:
        """The question of the button that was pressed."""
        return str(event._data.get("value", ""))[:1000]

    def on_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """An image of the gallery, a question about it, and more of them."""
        index = event._data.get("index")
        if not isinstance(index, int) or not 0 <= index < len(self.examples):
            raise gr.Error("gallery: no such picture", print_exception=False)
        example = self.examples[index]
        hint = hint_card("Press Ask, or choose one of the questions.")
        shown = suggestions(example.questions, example.fitting)
        return str(example.path), example.questions[0], shown, hint, ""

    def on_upload(self, file: Any) -> tuple[Any, ...]:
        """Look at a new image at once, so that a broken one is refused before it is asked about."""
        if file is None:
            return gr.skip(), hint_card("Choose a picture."), ""
        try:
            read_upload(file)
        except InputError as error:
            return None, message_card(str(error)), ""
        return gr.skip(), hint_card("Ask a question about your picture."), ""

    def on_looked_at(self, file: Any) -> str:
        """Questions that fit the scene which the model sees in a new image."""
        try:
            return suggestions_for(read_scene(self.answerer, read_upload(file)))
        except InputError:
            return suggestions(ANY_IMAGE)


def gallery(examples: Sequence[Example]) -> str:
    """The shipped images as buttons."""
    buttons = "".join(
        f'<button type="button" data-index="{i}"><img src="{_uri(example)}" alt="Example {i + 1}, '
        f'{escape(example.description)}"></button>'
        for i, example in enumerate(examples)
    )
    return f'<h2>Examples</h2><div class="gallery">{buttons}</div>'


def _uri(example: Example) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(example.path.read_bytes()).decode()
