"""What the page says about an answer, as HTML: the answer itself, the visit's history, and each block's part in it."""

import base64
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from app.views.render import render
from app.views.weights import hints, legend_item, strip_row
from vqa import Answer
from vqa.explain.channel_weights import CHANNEL_WEIGHTS, open_channels, present, reads_in_words
from vqa.explain.drawing import Scale, lit_places, shaded_words
from vqa.explain.explanation import step_in_words

PICTURE_WARNING = (
    "This picture does not look like the scenes of simple objects that the model learned from: the answer may mean "
    "nothing."
)
_OUT_OF_DISTRIBUTION = {
    "picture": PICTURE_WARNING,
    "question": "The model never learned to answer questions of this kind: it may have misunderstood.",
}


_BY_PROGRAM = "The network never learned questions of this kind: a program answers, from the objects that it sees."


class Asked(NamedTuple):
    """A question of this visit, about the file at `path` or about a shipped example."""

    path: str
    name: str
    example: int | None
    question: str
    answer: str
    thumbnail: str


def message_card(message: str) -> str:
    """A visitor's mistake and its remedy."""
    return render("message", message=message)


def hint_card(text: str, warned: Sequence[str] = ()) -> str:
    """What to do next, where there is no answer yet, and what to beware of."""
    return render("hint", text=text, warned=warned)


def answer_card(question: str, answer: Answer, truth: str | None = None) -> str:
    """The answer with its confidence, the next best ones, the `truth` where known, warnings, and JSON to download."""
    text = json.dumps({"question": question, **answer.to_json()}, ensure_ascii=True)
    encoded = base64.b64encode(text.encode()).decode()
    return render("answer", question=question, answer=answer, truth=truth, warned=warnings(answer), json=encoded)


def warnings(answer: Answer) -> list[str]:
    """Reasons not to trust an answer, for readers."""
    texts = []
    if answer.premise.status in ("absent", "ambiguous"):
        texts.append(f"{answer.premise.text} So the question has no answer here; the network gives one all the same.")
    elif answer.two_readings:
        texts.append(answer.two_readings)
    if answer.unknown_words:
        words = ", ".join(f"“{word[:30]}”" for word in answer.unknown_words[:8])
        texts.append(f"The model does not know {words}, and read a blank instead.")
    decided = answer.program is not None and answer.check is not None and answer.check.answer is not None
    texts += [
        _BY_PROGRAM if decided and name == "question" else _OUT_OF_DISTRIBUTION[name] for name in answer.unfamiliar
    ]
    if answer.confidence < 0.5:
        texts.append("The model is unsure: no answer has even half of its belief.")
    return texts


def history_card(asked: Sequence[Asked]) -> str:
    """The questions of this visit, newest first, as buttons; hidden until there are two.

    `data-visit` is what the browser keeps for a reload, `data-link` what its address tells of the newest question.
    """
    kept = [{name: value for name, value in entry._asdict().items() if name != "thumbnail"} for entry in asked]
    newest = asked[-1] if asked else None
    link = {} if newest is None or newest.example is None else {"example": newest.example, "question": newest.question}
    return render("history", entries=asked, visit=json.dumps(kept), link=json.dumps(link))


def blocks_section(answer: Answer, image: Image.Image, factored: bool = False) -> str:
    """For each block its step, the objects and words it attends to, and a strip for each kind of channel weight.

    Only channels that are open are drawn, see `open_channels`. Blocks that have no step of the question to do are
    folded into one line.
    """
    values = present(answer)
    scales = {kind: CHANNEL_WEIGHTS[kind].scale(some) for kind, some in values.items()}
    orders = [np.flatnonzero(opened) for opened in open_channels(answer, factored)] if values else []
    stages = [_stage(answer, index, image, scales, orders) for index in range(len(answer.blocks))]
    folded = set(unused_blocks(answer))
    pathways = [] if answer.pathway_weights is None else answer.pathway_weights.tolist()
    return render(
        "blocks",
        channels=len(next(iter(values.values()))[0]) if values else 0,
        used=[stage for stage in stages if stage["number"] not in folded],
        unused=[stage for stage in stages if stage["number"] in folded],
        unused_title=unused_title(sorted(folded)),
        legend_items=_legend(answer, scales),
        glossary=hints("film", "gamma", "gate"),
        pathways=[(f"Pathway {i}", p) for i, p in enumerate(pathways, 1)],
    )


def unused_blocks(answer: Answer) -> list[int]:
    """The blocks (from 1) that have no step of the question to do; empty where that is all of them."""
    found = [k for k, block in enumerate(answer.blocks, 1) if block.step and block.step.operation == "none"]
    return [] if len(found) == len(answer.blocks) else found


def unused_title(blocks: Sequence[int]) -> str:
    """The line that unused blocks are folded into."""
    names = [str(block) for block in blocks]
    if len(names) < 2:
        return f"Block {''.join(names)} has no step of this question to do"
    return f"Blocks {', '.join(names[:-1])} and {names[-1]} have no step of this question to do"


def _stage(
    answer: Answer, index: int, image: Image.Image, scales: dict[str, Scale], orders: Sequence[np.ndarray]
) -> dict[str, Any]:
    block = answer.blocks[index]
    step, spatial, words = block.step, block.object_attention, block.word_attention
    weights = {kind: CHANNEL_WEIGHTS[kind].of(answer)[index] for kind in scales}
    order = orders[index] if orders else np.empty(0, int)
    rows = [strip_row(kind, weights[kind], scale, order) for kind, scale in scales.items() if len(order)]
    count = "" if spatial is None else f"{spatial.sum():.1f}"
    return {
        "number": index + 1,
        "unused": step is not None and step.operation == "none",
        "step": step and step_in_words(step, index + 1),
        "reads": reads_in_words(block),
        "sure": step and step.probability,
        "lit": lit_places(image, spatial, answer.scene) if spatial is not None and answer.scene else None,
        "count": f"{count} object{'' if count == '1.0' else 's'} attended to",
        "words": "" if words is None else shaded_words(answer.words, words, answer.unknown_words),
        "rows": rows,
        "order": order.tolist(),
        "channels": len(next(iter(weights.values()))) if weights else 0,
    }


def _legend(answer: Answer, scales: dict[str, Scale]) -> list[dict[str, str]]:
    first = answer.blocks[0]
    items = []
    if first.object_attention is not None:
        meaning = "Lit are the objects that a block attends to, the brighter the surer."
        items.append({"name": "Places", "colors": "", "meaning": meaning})
    if first.word_attention is not None:
        meaning = "The stronger a word's color, the more a block read it."
        items.append({"name": "Words", "colors": "reading", "low": "0 %", "high": "100 %", "meaning": meaning})
    for kind, scale in scales.items():
        signed = min(float(values.min()) for values in present(answer)[kind]) < 0
        items.append(legend_item(kind, scale, signed))
    return items
