"""What an ablation compares: presets with changes, by names such as "film-qcse[reduction=4]*3"."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from vqa.errors import InputError
from vqa.model.presets import build_config
from vqa.training.losses import WEIGHTS
from vqa.training.options import TrainingOptions

TRAINING = (
    *("supervision", "generated", "compositions", "pretrain_epochs", "curriculum", "augment"),
    *("batch_size", "questions_per_image"),
    *("learning_rate", "weight_decay", "warmup_steps", "clip_norm", "ema"),
)
"""Training options that a variant may change, beside the weights of losses (`loss.entropy`) and the configuration."""

_MAX_SEEDS = 100
_VARIANT = re.compile(r"(?P<preset>[\w.-]+)(?:\[(?P<changes>[^\[\]]*)\])?(?:\*(?P<seeds>\d{1,3}))?")
_BETWEEN_VARIANTS = re.compile(r",(?![^\[]*\])")
_BETWEEN_CHANGES = re.compile(r",(?=\s*[\w.]+=)")


@dataclass(frozen=True)
class Variant:
    """A preset, what is changed of its configuration and of its training, and the number of seeds to train it with."""

    name: str
    preset: str
    seeds: int
    overrides: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    loss_weights: dict[str, float] = field(default_factory=dict)


def parse_variants(texts: Sequence[str], seeds: int = 1, overrides: Sequence[str] = ()) -> list[Variant]:
    """Variants from texts that hold one or several, separated by commas outside brackets.

    Each is PRESET, PRESET[key=value,key=value] or either followed by *SEEDS; a key is a field of `FilmSEConfig`, one of
    `TRAINING`, or `loss.` and the name of a loss. `overrides` go before those of every variant. Raises InputError for
    a text that cannot be read, a variant that is named twice, and one that makes no valid model.
    """
    parts = [part.strip() for text in texts for part in _BETWEEN_VARIANTS.split(text) if part.strip()]
    variants = [_parse(part, seeds, tuple(overrides)) for part in parts]
    if not variants:
        raise InputError("--presets: name at least one, as in film-base,film-qcse,film-qcse[reduction=4]")
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--presets: {name} is there twice; for several seeds say {name}*3")
    return variants


def _parse(text: str, seeds: int, overrides: tuple[str, ...]) -> Variant:
    match = _VARIANT.fullmatch(text)
    if match is None:
        raise InputError(
            f"--presets {text!r:.80}: expected PRESET, PRESET[key=value,...] or either with *SEEDS, "
            "as in film-qcse[reduction=4]*3"
        )
    number = seeds if match["seeds"] is None else int(match["seeds"])
    if not 1 <= number <= _MAX_SEEDS:
        raise InputError(f"--presets {text!r:.80}: the number of seeds must lie from 1 to {_MAX_SEEDS}")
    changes = [part.strip() for part in _BETWEEN_CHANGES.split(match["changes"] or "") if part.strip()]
    own, training, losses = [], {}, {}
    for change in changes:
        key, _, value = (part.strip() for part in change.partition("="))
        if key in TRAINING:
            training[key] = _value(get_type_hints(TrainingOptions)[key], change, value)
        elif key.startswith("loss."):
            losses[key.removeprefix("loss.")] = _value(float, change, value)
        else:
            own.append(change)
    for name in losses:
        if name not in WEIGHTS:
            raise InputError(f"--presets {text!r:.80}: no loss {name!r}; there are {', '.join(WEIGHTS)}")
    try:
        build_config(match["preset"], [*overrides, *own])
    except InputError as error:
        raise InputError(f"--presets {text!r:.80}: {error}") from error
    name = match["preset"] + (f"[{','.join(changes)}]" if changes else "")
    return Variant(name, match["preset"], number, (*overrides, *own), training, losses)


def _value(kind: type, change: str, value: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        expected = "a whole number" if kind is int else "a number"
        raise InputError(f"--presets {change!r:.80}: expected {expected}") from None


def seeds_of(variants: Sequence[Variant]) -> Iterator[tuple[Variant, int]]:
    """Every variant with its first seed, then with its second, and so on."""
    for seed in range(max(variant.seeds for variant in variants)):
        yield from ((variant, seed) for variant in variants if seed < variant.seeds)
