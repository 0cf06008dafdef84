"""What the tabs share."""

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
