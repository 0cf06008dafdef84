"""What the page says about an answer, as HTML: the answer itself, how to read the drawings, a card for each block."""

import base64
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from vqa import Answer
from vqa.explain.drawing import Scale, data_uri, escape, lit_places, shaded_words, strip
from vqa.explain.explanation import step_in_words


class _Kind(NamedTuple):
    name: str
    centre: float
    meaning: str


_GAMMA, _BETA = "γ", "β"  # noqa: RUF001

_CHANNEL_KINDS = {
    "film_gamma": _Kind(
        f"FiLM {_GAMMA}",
        1.0,
        f"The question multiplies a channel by {_GAMMA}: orange makes it louder, blue quieter or, below zero, reverses "
        "it.",
    ),
    "film_beta": _Kind(
        f"FiLM {_BETA}",
        0.0,
        f"The question adds {_BETA} to a channel: orange lifts it, blue pushes it down towards silence.",
    ),
    "channel_weights": _Kind(
        "SE weight",
        0.0,
        "Picture and question together let a channel through: full green passes all of it, blank nothing.",
    ),
}
"""Kinds of channel weights in the order of a block's steps; `centre` is drawn blank: it leaves a channel as it is, or
closes the gate."""

_UNFAMILIAR = {
    "picture": "This picture does not look like the scenes of simple objects that the model learned from: the answer "
    "may mean nothing.",
    "question": "The model never learned to answer questions of this kind: it may have misunderstood.",
}
"""What an answer is unfamiliar with -> how a visitor is told."""


def message_card(message: str) -> str:
    """A visitor's mistake and its remedy."""
    return f'<div class="card message" role="alert"><strong>That did not work.</strong> {escape(message)}</div>'


def hint_card(text: str) -> str:
    """What to do next, where there is no answer yet."""
    return f'<div class="card hint">{escape(text)}</div>'


def answer_card(question: str, answer: Answer) -> str:
    """The answer with its confidence, the next best ones, warnings, and the whole as JSON to download."""
    return (
        '<section class="card answer" aria-live="polite" aria-label="Answer">'
        f'<p class="asked">{escape(question)}</p>{_read_as(answer)}'
        f'<p class="said"><strong>{escape(answer.answer)}</strong> <span>{percent(answer.confidence)} sure</span></p>'
        f"{''.join(f'<p class=warning>{escape(text)}</p>' for text in _warnings(answer))}"
        f"{bars('Most probable answers', answer.top_answers)}"
        f'<p class="more"><a download="answer.json" href="{_json_uri(question, answer)}">Download as JSON</a></p>'
        "</section>"
    )


def history_card(asked: Sequence[tuple[str, str, str]]) -> str:
    """The questions of this visit, newest first: (image, question, answer)."""
    if len(asked) < 2:
        return ""
    rows = "".join(
        f'<li><span title="{escape(image)}">{escape(question)}</span> <strong>{escape(answer)}</strong></li>'
        for image, question, answer in reversed(asked)
    )
    return f'<section class="card history"><h2>Asked in this visit</h2><ol>{rows}</ol></section>'


def blocks_section(answer: Answer, image: Image.Image) -> str:
    """For each block its step, the places and words it picked out, and a strip for each kind of channel weight."""
    scales = {}
    for kind, (_, centre, _) in _CHANNEL_KINDS.items():
        if values := _of_kind(answer, kind):
            within = kind == "channel_weights" and max(np.abs(v).max() for v in values) <= 1
            scales[kind] = Scale(0.0, 1.0) if within else Scale.fit(values, centre)
    cards = "".join(_block_card(answer, k, image, scales) for k in range(len(answer.weights)))
    cards += _pathways_card(answer)
    return f'<section class="blocks"><h2>How the network got there</h2>{_legend(answer, scales)}{cards}</section>'


def _block_card(answer: Answer, index: int, image: Image.Image, scales: dict[str, Scale]) -> str:
    weights = answer.weights[f"block_{index + 1}"]
    title = ""
    if answer.steps is not None:
        step = answer.steps[index]
        looks = "" if step["operation"] == "none" else "looks for "
        title = (
            f"<span>{looks}<strong>{escape(step_in_words(step, index + 1))}</strong></span>"
            f'<small title="How sure the block is of this step">{percent(step["probability"])}</small>'
        )
    figure = words = ""
    spatial = weights["spatial_weights"]
    if spatial is not None:
        count = float(spatial.sum())
        picked = f"{count:.1f} object{'' if f'{count:.1f}' == '1.0' else 's'} picked out"
        figure = (
            f'<figure><img src="{data_uri(lit_places(image, spatial, answer.picture_box))}" '
            f'alt="The picture, lit where block {index + 1} picked out objects: {picked}">'
            f"<figcaption>{picked}</figcaption></figure>"
        )
    if weights["word_weights"] is not None:
        words = shaded_words(answer.words, weights["word_weights"], answer.unknown_words)
    unused = " unused" if answer.steps is not None and answer.steps[index]["operation"] == "none" else ""
    return (
        f'<article class="card stage{unused}"><h3><b>Block {index + 1}</b> {title}</h3>'
        f'<div class="parts">{figure}<div>{words}{_channels(weights, index, scales)}</div></div></article>'
    )


def _pathways_card(answer: Answer) -> str:
    if answer.pathway_weights is None:
        return ""
    rows = [(f"Pathway {i}", p) for i, p in enumerate(answer.pathway_weights.tolist(), 1)]
    return (
        '<article class="card pathways"><h3><b>Answer</b> <span>the question mixes nine ways to read what was found'
        f"</span></h3>{bars('Weights of the pathways', rows)}</article>"
    )


def bars(label: str, rows: Sequence[tuple[str, float]]) -> str:
    """Names and probabilities as a list with bars."""
    items = "".join(
        f'<li><span>{escape(name)}</span><span class="track"><i style="width:{p:.1%}"></i></span>'
        f"<span>{percent(p)}</span></li>"
        for name, p in rows
    )
    return f'<ol class="bars" aria-label="{label}">{items}</ol>'


def _channels(weights: dict[str, np.ndarray | None], index: int, scales: dict[str, Scale]) -> str:
    rows, spoken, count = [], [], 0
    for kind, scale in scales.items():
        values = weights[kind]
        if values is None:
            continue
        name, count = _CHANNEL_KINDS[kind].name, len(values)
        low, high = int(values.argmin()), int(values.argmax())
        extremes = f"{_number(values[low])} (channel {low}) to {_number(values[high])} (channel {high})"
        spoken.append(f"{name} from {extremes}")
        numbers = " ".join(f"{v:z.2f}" for v in values.tolist())
        rows.append(
            f'<div class="strip {kind}" data-values="{numbers}"><span>{name}</span>{strip(values, scale)}'
            f"<output>{extremes}</output></div>"
        )
    if not rows:
        return ""
    return (
        f'<div class="channels" role="slider" tabindex="0" aria-label="Channels of block {index + 1}" '
        f'aria-valuemin="0" aria-valuemax="{count - 1}" aria-valuenow="0" '
        f'aria-valuetext="{escape("; ".join(spoken))}">{"".join(rows)}</div>'
    )


def _legend(answer: Answer, scales: dict[str, Scale]) -> str:
    first = answer.weights["block_1"]
    channels = next((len(_of_kind(answer, kind)[0]) for kind in scales), 0)
    items = []
    if first["spatial_weights"] is not None:
        items.append(("Places", "", "Lit are the objects that a block picked out, the brighter the surer."))
    if first["word_weights"] is not None:
        items.append(("Words", _swatch("reading", "0 %", "100 %"), "The darker a word, the more a block read it."))
    for kind, scale in scales.items():
        name, _, meaning = _CHANNEL_KINDS[kind]
        colors, low = "diverging", scale.centre - scale.reach
        if kind == "channel_weights":
            signed = min(values.min() for values in _of_kind(answer, kind)) < 0
            colors, low = ("signed", low) if signed else ("sequential", scale.centre)
            meaning = f"{meaning[:-1]}, blue the reverse." if signed else meaning
        items.append((name, _swatch(colors, _number(low), _number(scale.centre + scale.reach)), meaning))
    rows = "".join(f"<div><dt>{name} {swatch}</dt><dd>{text}</dd></div>" for name, swatch, text in items)
    about = (
        f"The picture becomes {channels} channels, maps of one learned feature each, and passes through "
        f"{len(answer.weights)} blocks one after the other. Point at a strip, or use the arrow keys on it, to read a "
        "channel's numbers."
    )
    return f'<p class="about">{about}</p><dl class="legend">{rows}</dl>'


def _read_as(answer: Answer) -> str:
    return f'<p class="asked">Read as: {escape(answer.read_as)}</p>' if answer.read_as else ""


def _warnings(answer: Answer) -> list[str]:
    texts = []
    if answer.unknown_words:
        words = ", ".join(f"“{word[:30]}”" for word in answer.unknown_words[:8])
        texts.append(f"The model does not know {words}, and read a blank instead.")
    texts += [_UNFAMILIAR[name] for name in answer.unfamiliar]
    if answer.confidence < 0.5:
        texts.append("The model is unsure: no answer has even half of its belief.")
    return texts


def _of_kind(answer: Answer, kind: str) -> list[np.ndarray]:
    found = (weights[kind] for weights in answer.weights.values())
    return [values for values in found if values is not None]


def _json_uri(question: str, answer: Answer) -> str:
    text = json.dumps({"question": question, **answer.to_json()}, ensure_ascii=True)
    return "data:application/json;base64," + base64.b64encode(text.encode()).decode()


def _swatch(kind: str, low: str, high: str) -> str:
    return f'<span class="swatch"><small>{low}</small><i class="{kind}"></i><small>{high}</small></span>'


def _number(value: float) -> str:
    return f"{value:z.2f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.0f}"


def percent(p: float) -> str:
    return "under 1 %" if p < 0.005 else "over 99 %" if p > 0.995 else f"{p:.0%}".replace("%", " %")
