"""An explanation as one PNG, by matplotlib."""

import io
import textwrap
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from vqa.explain.atlas import NAMES
from vqa.explain.drawing import lit_places, lit_smoothly, ring_objects, small
from vqa.explain.explanation import Explanation, step_in_words
from vqa.explain.explanation_html import referents_note
from vqa.explain.object_regions import discs_of

_DIVERGING = LinearSegmentedColormap.from_list("down-up", ["#0064b0", "#ffffff", "#c44e00"])
_PASSING = LinearSegmentedColormap.from_list("pass", ["#ffffff", "#00795f"])
_CENTRES = {"film_gamma": 1.0, "film_beta": 0.0}
_DPI = 110


def png_explanation(explanation: Explanation) -> bytes:
    """The answer with its evidence and Grad-CAM above; below a row for each block: what it picked out, the words that
    it read, and its channels' weights."""
    answer, found, image = explanation.answer, explanation.referents, explanation.image
    box, blocks = answer.picture_box, len(answer.weights)
    discs = discs_of(explanation.scene) if explanation.scene else np.zeros((0, 4))
    figure = Figure((12, 3.1 + 1.9 * blocks), dpi=_DPI, layout="constrained")
    top, below = cast(np.ndarray, figure.subfigures(2, 1, height_ratios=[2.9, 1.9 * blocks]))
    ranked = ", ".join(f"{name} {p:.1%}" for name, p in answer.top_answers[:3])
    top.suptitle(_plain(f"{textwrap.fill(_cut(explanation.question, 330), 110)}\n{ranked}"), fontsize=12)
    asked = found.answer if found else ()
    whole = [("The image", small(image))]
    if explanation.answer_map is not None:
        whole.append(("Evidence of the answer", lit_places(image, explanation.answer_map, box)))
    whole.append(("Grad-CAM", lit_smoothly(image, explanation.grad_cam, box)))
    for axes, (title, shown) in zip(top.subplots(1, len(whole), squeeze=False)[0], whole, strict=True):
        _show(axes, ring_objects(shown, discs, asked), title)
    if note := referents_note(explanation):
        top.supxlabel(note, fontsize=8, color="#59616b")
    for k, row in enumerate(np.atleast_1d(below.subfigures(blocks, 1))):
        weights = answer.weights[f"block_{k + 1}"]
        left, middle, right = row.subfigures(1, 3, width_ratios=[1, 1.6, 2.2])
        text = step_in_words(answer.steps[k], k + 1) if answer.steps else ""
        row.suptitle(_plain(f"Block {k + 1}  {text}"), fontsize=10, x=0.01, ha="left")
        if weights["spatial_weights"] is not None:
            chosen = found.blocks[k] if found else None
            image = ring_objects(lit_places(image, weights["spatial_weights"], box), discs, chosen or ())
            _show(left.subplots(), image, "")
        if weights["word_weights"] is not None:
            _words(middle.subplots(), answer.words, weights["word_weights"])
        kinds = [kind for kind in NAMES if weights[kind] is not None]
        if kinds:
            for axes, kind in zip(right.subplots(len(kinds), 1, squeeze=False)[:, 0], kinds, strict=True):
                _strip(axes, kind, np.asarray(weights[kind]))
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


def _strip(axes: Axes, kind: str, values: np.ndarray) -> None:
    if kind in _CENTRES:
        centre = _CENTRES[kind]
        reach = max(float(np.quantile(np.abs(values - centre), 0.95)), 1e-3)
        axes.imshow(values[None], aspect="auto", cmap=_DIVERGING, vmin=centre - reach, vmax=centre + reach)
    else:
        axes.imshow(values[None], aspect="auto", cmap=_PASSING, vmin=0, vmax=max(1.0, float(values.max())))
    axes.set_title(f"{NAMES[kind]}, {values.min():.2f} to {values.max():.2f}", fontsize=7, loc="left", pad=2)
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=6, length=2)


def _cut(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")
