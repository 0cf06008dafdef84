"""What the tabs share."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app.examples import Example
from app.models import Models
from vqa import VisualQuestionAnswerer
from vqa.explain.atlas import Atlas

PRIVATE: dict[str, Any] = {"preprocess": False, "api_visibility": "private", "show_progress": "minimal"}
"""How the tabs listen: their events are no endpoints, and `app.http.uploads` checks what visitors send."""

QUICK: dict[str, Any] = PRIVATE | {"queue": False, "show_progress": "hidden"}
"""The same for events that only set what is shown."""

MODEL: dict[str, Any] = PRIVATE | {"concurrency_id": "model"}
"""The same for events that ask the model."""

_VISITS = 10_000


@dataclass(frozen=True)
class AppContext:
    """The models, the shipped examples, and the image and question of the tab "Ask", which the other tabs look into.

    As event inputs, with `PRIVATE`: `image` comes as an uploaded file for `read_upload`, `question` as text.
    """

    models: Models
    examples: Sequence[Example]
    image: gr.Image
    question: gr.Textbox
    results: Sequence[Path] = ()
    blender: str | None = None

    @property
    def answerer(self) -> VisualQuestionAnswerer:
        """The page's own model."""
        return self.models.answerer()

    @property
    def atlas(self) -> Atlas | None:
        """Its channel atlas, where it has one."""
        return self.models.atlas()


class Turns:
    """Which event of each visit began last, so that a slower earlier one does not overwrite what that one shows."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, visit: str) -> int:
        """The number of an event that begins now."""
        with self._lock:
            turn = self._last.pop(visit, 0) + 1
            self._last[visit] = turn
            if len(self._last) > _VISITS:
                self._last.popitem(last=False)
            return turn

    def is_latest(self, visit: str, turn: int) -> bool:
        """Whether no other event of the visit began since."""
        return self._last.get(visit, turn) == turn


def html(value: str = "", **settings: Any) -> gr.HTML:
    """A `gr.HTML` with the page's own looks."""
    return gr.HTML(value, apply_default_css=False, **settings)
