"""An explanation as one PNG, by matplotlib."""

import io
import textwrap
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from vqa.explain.channel_weights import CHANNEL_WEIGHTS, ChannelWeight, present
from vqa.explain.drawing import Scale
from vqa.explain.explanation import Explanation, step_in_words
from vqa.explain.explanation_html import explanation_figures, referents_note

_DIVERGING = LinearSegmentedColormap.from_list("down-up", ["#0064b0", "#ffffff", "#c44e00"])
_PASSING = LinearSegmentedColormap.from_list("pass", ["#ffffff", "#00795f"])
_DPI = 110


def png_explanation(explanation: Explanation) -> bytes:
    """The answer with what it rests on above; below a row for each block: what it selected, the words that it read, and
    its channels' weights."""
    answer = explanation.answer
    whole, selected = explanation_figures(explanation)
    blocks, weights = len(answer.blocks), present(answer)
    scales = {key: CHANNEL_WEIGHTS[key].scale(values) for key, values in weights.items()}
    figure = Figure((12, 3.1 + 1.9 * blocks), dpi=_DPI, layout="constrained")
    top, below = cast(np.ndarray, figure.subfigures(2, 1, height_ratios=[2.9, 1.9 * blocks]))
    ranked = ", ".join(f"{name} {p:.1%}" for name, p in answer.top_answers[:3])
    top.suptitle(_plain(f"{textwrap.fill(_cut(explanation.question, 330), 110)}\n{ranked}"), fontsize=12)
    for axes, item in zip(top.subplots(1, len(whole), squeeze=False)[0], whole, strict=True):
        _show(axes, item.image, item.title)
    if note := referents_note(explanation):
        top.supxlabel(note, fontsize=8, color="#59616b")
    for k, row in enumerate(np.atleast_1d(below.subfigures(blocks, 1))):
        block = answer.blocks[k]
        left, middle, right = row.subfigures(1, 3, width_ratios=[1, 1.6, 2.2])
        text = step_in_words(block.step, k + 1) if block.step else ""
        row.suptitle(_plain(f"Block {k + 1}  {text}"), fontsize=10, x=0.01, ha="left")
        if selected:
            _show(left.subplots(), selected[k].image, "")
        if block.word_attention is not None:
            _words(middle.subplots(), answer.words, block.word_attention)
        if weights:
            for axes, key in zip(right.subplots(len(weights), 1, squeeze=False)[:, 0], weights, strict=True):
                _strip(axes, CHANNEL_WEIGHTS[key], weights[key][k], scales[key])
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _show(axes: Axes, image: Image.Image, title: str) -> None:
    axes.imshow(np.asarray(image))
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def _words(axes: Axes, words: list[str], weights: np.ndarray) -> None:
    places = np.arange(len(words))
    axes.bar(places, weights, color="#58bda4")
    axes.set_xticks(places, [_plain(_cut(word, 14)) for word in words], rotation=90, fontsize=7)
    axes.set_ylim(0, 1)
    axes.tick_params(axis="y", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _strip(axes: Axes, kind: ChannelWeight, values: np.ndarray, scale: Scale) -> None:
    gate = kind.key == "channel_weights" and values.min() >= 0
    low = scale.centre if gate else scale.centre - scale.reach
    colors = _PASSING if gate else _DIVERGING
    axes.imshow(values[None], aspect="auto", cmap=colors, vmin=low, vmax=scale.centre + scale.reach)
    axes.set_title(f"{kind.symbol}, {values.min():.2f} to {values.max():.2f}", fontsize=7, loc="left", pad=2)
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=6, length=2)


def _cut(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")
