"""Two answers side by side, as HTML, and the channels that differ most between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.views.answer import bars, percent
from vqa import Answer
from vqa.explain.atlas import Atlas
from vqa.explain.drawing import data_uri, escape

_KINDS = {"film_gamma": "FiLM γ", "film_beta": "FiLM β", "channel_weights": "SE weight"}  # noqa: RUF001
_MOST = 12
_THUMB = (360, 240)


@dataclass(frozen=True)
class Side:
    """One of two: what it is called, what was asked, the answer, and the image where it is to be shown."""

    title: str
    question: str
    answer: Answer
    image: Image.Image | None = None


def side_by_side(left: Side, right: Side) -> str:
    """The two answers with their confidences; the right one says whether it is the same."""
    verdict = "the same answer" if left.answer.answer == right.answer.answer else "another answer"
    return f'<section class="pair" aria-live="polite">{_side(left)}{_side(right, verdict)}</section>'


def differing_channels(left: Answer, right: Answer, atlas: Atlas | None = None) -> str:
    """The channels whose weights differ most, over all blocks; the concepts are those of `atlas`.

    Differences of a kind count in units of its root mean square difference, so that kinds can be compared. Empty where
    the models have not the same blocks, or nothing differs.
    """
    rows: list[tuple[float, int, int]] = []
    shown = [kind for kind in _KINDS if _of_kind(left, kind).shape == _of_kind(right, kind).shape != (0,)]
    if not shown:
        return (
            '<p class="hint">The two models have different channels, which cannot be told off against each other.</p>'
        )
    scores = np.zeros(_of_kind(left, shown[0]).shape)
    for kind in shown:
        difference = np.abs(_of_kind(left, kind) - _of_kind(right, kind))
        scale = float(np.sqrt((difference**2).mean()))
        scores = np.maximum(scores, difference / scale if scale > 1e-9 else 0.0)
    for place in np.argsort(-scores, axis=None)[:_MOST]:
        block, channel = map(int, np.unravel_index(place, scores.shape))
        if scores[block, channel] > 0:
            rows.append((float(scores[block, channel]), block, channel))
    if not rows:
        return '<p class="hint">No channel differs.</p>'
    return _table(rows, shown, left, right, atlas)


def _table(
    rows: Sequence[tuple[float, int, int]], kinds: Sequence[str], left: Answer, right: Answer, atlas: Atlas | None
) -> str:
    heads = "".join(f'<th colspan="2">{_KINDS[kind]}, left and right</th>' for kind in kinds)
    known = atlas is not None and len(atlas.blocks) == len(left.weights)
    tracks = "<th>tracks</th>" if known else ""
    lines = [f"<tr><th>block</th><th>channel</th>{tracks}{heads}</tr>"]
    for _, block, channel in rows:
        concept = ""
        if known and atlas is not None:
            concept = f"<td>{escape(atlas.blocks[block].concept(channel) or '–')}</td>"  # noqa: RUF001
        cells = "".join(
            f"<td>{_of_kind(answer, kind)[block, channel]:z.2f}</td>" for kind in kinds for answer in (left, right)
        )
        lines.append(f"<tr><td>{block + 1}</td><td>{channel}</td>{concept}{cells}</tr>")
    return (
        '<section class="card"><h2>Channels that differ most</h2>'
        '<p class="about">γ multiplies a channel, β is added to it, the SE weight lets it through (1) or not (0).</p>'  # noqa: RUF001
        f'<div class="wide"><table class="numbers">{"".join(lines)}</table></div></section>'
    )


def _side(side: Side, verdict: str = "") -> str:
    answer = side.answer
    said = f"<em>{escape(verdict)}</em>" if verdict else ""
    thumb = ""
    if side.image is not None:
        image = side.image.copy()
        image.thumbnail(_THUMB)
        thumb = f'<img src="{data_uri(image)}" alt="The picture asked about">'
    return (
        f'<article class="card"><h2>{escape(side.title)}</h2>{thumb}<p class="asked">{escape(side.question)}</p>'
        f'<p class="said"><strong>{escape(answer.answer)}</strong> <span>{percent(answer.confidence)} sure</span> '
        f"{said}</p>"
        f"{bars('Most probable answers', answer.top_answers)}</article>"
    )


def _of_kind(answer: Answer, kind: str) -> np.ndarray:
    """(blocks, C); empty where the model lacks the kind."""
    found = [weights[kind] for weights in answer.weights.values()]
    return np.array([values for values in found if values is not None])
