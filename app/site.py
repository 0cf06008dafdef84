"""What the tabs share."""

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from app.examples import Example
from vqa import VisualQuestionAnswerer


@dataclass(frozen=True)
class Site:
    """The model, the shipped examples, and the picture and question of the tab "Ask", which the other tabs look into.

    As event inputs, with `preprocess=False`: `picture` comes as an uploaded file for `read_upload`, `question` as text.
    """

    answerer: VisualQuestionAnswerer
    examples: Sequence[Example]
    picture: gr.Image
    question: gr.Textbox
