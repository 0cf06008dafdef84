"""Channel weights for readers: their names and meanings, and a strip of colored cells for each kind."""

from typing import Any

import numpy as np

from app.views.render import number
from vqa.explain.channel_weights import CHANNEL_WEIGHTS
from vqa.explain.drawing import Scale, strip

MEANINGS = {
    "film_gamma": "The question multiplies a channel by γ: orange makes it louder, blue quieter or, below zero, "  # noqa: RUF001
    "reverses it.",
    "film_beta": "The question adds β to a channel: orange lifts it, blue pushes it down towards silence.",
    "channel_weights": "Picture and question together let a channel through: full green passes all of it, blank "
    "nothing.",
}
"""Kind of channel weight -> how its strips are to be read."""

HINTS = {
    "film": ("FiLM", "lets the question set the volume of each channel"),
    "gamma": ("γ and β", "FiLM's two numbers for a channel: it is multiplied by γ, then β is added"),  # noqa: RUF001
    "gate": ("Channel gate", "opens and shuts channels, as the question needs them"),
    "roc": (
        "ROC area",
        "how well a channel tells a concept's objects from others: 1 always, 0.5 no better than a coin",
    ),
}
"""Terms, and what a newcomer needs to know of each."""


def hints(*names: str) -> list[tuple[str, str]]:
    """These terms with their hints, for the macro `hints`."""
    return [HINTS[name] for name in names]


def legend_item(kind: str, scale: Scale, signed: bool) -> dict[str, str]:
    """How to read a kind's strips: name, color ramp with its ends, and meaning."""
    name, meaning = CHANNEL_WEIGHTS[kind].symbol, MEANINGS[kind]
    colors, low = "diverging", scale.centre - scale.reach
    if kind == "channel_weights":
        colors, low = ("signed", low) if signed else ("sequential", scale.centre)
        meaning = f"{meaning[:-1]}, blue the reverse." if signed else meaning
    return {
        "name": name,
        "colors": colors,
        "low": number(low),
        "high": number(scale.centre + scale.reach),
        "meaning": meaning,
    }


def strip_row(
    kind: str, values: np.ndarray, scale: Scale, order: np.ndarray, deviation: bool = False
) -> dict[str, Any]:
    """A block's weights (C,) of one kind for the macro `strip`: the channels in `order` (N,), as differences where
    `deviation`."""
    form = "{:+z.2f}" if deviation else "{:z.2f}"
    placed = values[order]
    low, high = int(order[placed.argmin()]), int(order[placed.argmax()])
    return {
        "kind": "" if deviation else kind,
        "name": CHANNEL_WEIGHTS[kind].symbol,
        "numbers": " ".join(form.format(value) for value in placed.tolist()),
        "svg": strip(placed, scale),
        "extremes": f"{form.format(values[low])} (channel {low}) to {form.format(values[high])} (channel {high})",
    }
