"""Two answers side by side, as HTML, and the channels that differ most between them."""

from dataclasses import dataclass

import numpy as np

from app.views.answer import warnings
from app.views.render import render
from app.views.weights import hints
from vqa import Answer
from vqa.explain.atlas import Atlas
from vqa.explain.channel_weights import CHANNEL_WEIGHTS, present

_MOST = 12


@dataclass(frozen=True)
class Side:
    """One of two: what it is called, what was asked, and the answer."""

    title: str
    question: str
    answer: Answer

    @property
    def warned(self) -> list[str]:
        """Reasons not to trust the answer."""
        return warnings(self.answer)


def side_by_side(left: Side, right: Side) -> str:
    """The two answers with their confidences; the right one says whether it is the same."""
    verdict = "the same answer" if left.answer.answer == right.answer.answer else "another answer"
    return render("pair", sides=[(left, ""), (right, verdict)])


def differing_channels(left: Answer, right: Answer, atlas: Atlas | None = None) -> str:
    """The channels whose weights differ most, over all blocks; the concepts are those of `atlas`.

    Differences of a kind count in units of its root mean square difference, so that kinds can be compared.
    """
    first, second = ({kind: np.array(v) for kind, v in present(answer).items()} for answer in (left, right))
    kinds = [kind for kind in first if kind in second and first[kind].shape == second[kind].shape]
    if not kinds:
        return hint("The two models have different channels, which cannot be told off against each other.")
    scores = np.zeros(first[kinds[0]].shape)
    for kind in kinds:
        difference = np.abs(first[kind] - second[kind])
        scale = float(np.sqrt((difference**2).mean()))
        scores = np.maximum(scores, difference / scale if scale > 1e-9 else 0.0)
    if not scores.any():
        return hint("No channel differs.")
    known = atlas if atlas is not None and len(atlas.blocks) == len(scores) else None
    rows = []
    for place in np.argsort(-scores, axis=None)[:_MOST]:
        block, channel = map(int, np.unravel_index(place, scores.shape))
        if scores[block, channel] > 0:
            concept = known.blocks[block].concept(channel) if known else None
            cells = [side[kind][block, channel] for kind in kinds for side in (first, second)]
            rows.append((block + 1, channel, concept or "–", cells))  # noqa: RUF001
    names = [CHANNEL_WEIGHTS[kind].symbol for kind in kinds]
    return render(
        "differing",
        names=names,
        tracks=known is not None,
        rows=rows,
        glossary=hints("gamma", "gate"),
    )


def hint(text: str) -> str:
    """Why there is no table of channels."""
    return render("hint", text=text, warned=())
