"""The endpoint `/ask` for programs: the same JSON as `vqa ask --json`, typed and documented."""

from typing import TypedDict

import gradio as gr
from gradio import FileData

from app.uploads import read_upload
from vqa import VisualQuestionAnswerer
from vqa.errors import InputError


class BlockWeights(TypedDict):
    """One residual block's weights: C channels, L words, an h x w grid over the picture; null for what it lacks."""

    film_gamma: list[float] | None
    film_beta: list[float] | None
    channel_weights: list[float] | None
    word_weights: list[float] | None
    spatial_weights: list[list[float]] | None


class Step(TypedDict):
    """What a block takes its part of the question to be."""

    operation: str
    probability: float
    filters: dict[str, str]
    reads: dict[str, float]


class AnswerJSON(TypedDict):
    """`vqa.Answer` as JSON; see there."""

    answer: str
    confidence: float
    top_answers: list[tuple[str, float]]
    unknown_words: list[str]
    in_domain: bool | None
    weights: dict[str, BlockWeights]
    words: list[str]
    steps: list[Step] | None
    picture_box: tuple[float, float, float, float]
    pathway_weights: list[float] | None


def add_endpoint(answerer: VisualQuestionAnswerer) -> None:
    """Add `/ask` to the Blocks being built."""

    def ask(image: FileData, question: str) -> AnswerJSON:
        """Answer a question about a picture of simple objects, with the weights of every block behind the answer.

        Args:
            image: picture file, uploaded first (`handle_file` of the Gradio clients does it).
            question: in English, such as "What color is the cube left of the sphere?"
        """
        try:
            return answerer.ask(read_upload(image), question).to_json()  # type: ignore[return-value]
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    gr.api(ask, api_name="ask")
