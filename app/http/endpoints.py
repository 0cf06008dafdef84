"""The endpoints `/ask` and `/explain` for programs, typed and documented; the same are the tools of the MCP server."""

import json
from typing import Any, TypedDict

import gradio as gr
import gradio.mcp
from gradio import FileData

from app.http.uploads import read_upload
from vqa import VisualQuestionAnswerer
from vqa.errors import InputError


class PremiseJSON(TypedDict):
    """Whether what the question takes for granted is there: holds, absent, ambiguous, or cannot tell."""

    status: str
    phrase: str | None
    text: str | None


class AnswerJSON(TypedDict):
    """What `vqa.Answer` says in short: `answer` is the network's, `together` that of it and its second reading."""

    answer: str
    confidence: float
    top_answers: list[tuple[str, float]]
    unknown_words: list[str]
    in_domain: bool | None
    unfamiliar: list[str]
    read_as: str | None
    premise: PremiseJSON
    because: str | None
    together: str


class BlockWeights(TypedDict):
    """One residual block's weights: C channels, L words, an h x w grid over the image; null for what it lacks."""

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


class CheckJSON(TypedDict):
    """The question's program executed on the scene that the model sees."""

    program: list[dict[str, Any]]
    answer: str | None
    confidence: float
    agrees: bool
    holds: float
    decides: bool


class ExplanationJSON(AnswerJSON):
    """The whole of `vqa.Answer`, as `vqa ask --json` prints it; see there."""

    weights: dict[str, BlockWeights]
    words: list[str]
    steps: list[Step] | None
    picture_box: tuple[float, float, float, float]
    pathway_weights: list[float] | None
    scene: dict[str, Any] | None
    check: CheckJSON | None


def add_endpoints(answerer: VisualQuestionAnswerer) -> None:
    """Add `/ask` and `/explain` to the Blocks being built."""

    def ask(image: FileData, question: str) -> AnswerJSON:
        """Answer a question about an image of simple objects (CLEVR): counts, existence, attributes, comparisons.

        Args:
            image: the image, as an uploaded file (`handle_file` of the Gradio clients uploads one) or, from an MCP client, as a data URI with base64 (data:image/png;base64,...) or the address that this server's upload gave. No other URL is fetched.
            question: in English, such as "What color is the cube left of the sphere?"
        """  # noqa: E501 (the tool's description has a line for each argument)
        found = _asked(answerer, image, question)
        return {name: found[name] for name in AnswerJSON.__annotations__}  # type: ignore[return-value]

    def explain(image: FileData, question: str) -> ExplanationJSON:
        """Answer a question about an image, with what every block of the network looked for and where, and all its weights.

        Args:
            image: the image, as an uploaded file (`handle_file` of the Gradio clients uploads one) or, from an MCP client, as a data URI with base64 (data:image/png;base64,...) or the address that this server's upload gave. No other URL is fetched.
            question: in English, such as "What color is the cube left of the sphere?"
        """  # noqa: E501
        return _asked(answerer, image, question)  # type: ignore[return-value]

    for function in (ask, explain):
        gr.api(function, api_name=function.__name__, concurrency_id="model")


def _asked(answerer: VisualQuestionAnswerer, image: FileData, question: str) -> dict[str, Any]:
    try:
        if not isinstance(question, str):
            raise InputError("question: expected text")
        return answerer.ask(read_upload(image), question).to_json()
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from None


class ToolServer(gradio.mcp.GradioMCPServer):
    """Gradio's, but an answer is JSON rather than Python's notation, and no tool's schema asks for URLs."""

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """What a tool returned as one text of JSON each; no file is ever among it."""
        return [self.types.TextContent(type="text", text=json.dumps(item)) for item in data]

    def simplify_filedata_schema(self, schema: dict[str, Any]) -> tuple[dict[str, Any], list[list[str | int]]]:
        """Images as strings; what they may be, their descriptions say."""
        simple, positions = super().simplify_filedata_schema(schema)
        for name, *_ in positions:
            simple["properties"][name].pop("format", None)
        return simple, positions


def use_tool_server() -> None:
    """Make Gradio build this one; it has no setting for that."""
    gradio.mcp.GradioMCPServer = ToolServer  # type: ignore[misc]
