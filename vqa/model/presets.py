"""Named configurations, overrides of them, and what is built from a configuration: model and processor."""

import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import AutoConfig, AutoModel, AutoTokenizer

from vqa.clevr.language.parser import MAX_WORDS, WORDS
from vqa.errors import InputError
from vqa.model.configuration import OWN_VISION_ENCODERS, FilmSEConfig
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import CLEVR_MEAN, CLEVR_STD, FilmSEImageProcessor, FilmSEProcessor, word_tokenizer
from vqa.model.text import HuggingFaceEncoder
from vqa.model.vision import TorchvisionEncoder

_TWO_STREAM: dict[str, Any] = {
    "vision_encoder": "two_stream",
    "stem_widths": (32, 64, 128),
    "trunk_features": False,
    "num_blocks": 6,
}
_INPUT_GATE: dict[str, Any] = {"gate": "hard", "gate_join": "query", "gate_placement": "input", "reduction": 1}
_FACTORED: dict[str, Any] = {"factored": True, "head_features": False}
_COMPOSING: dict[str, Any] = {"shared_blocks": True, "pointer": "stack"}

PRESETS: dict[str, dict[str, Any]] = {
    "film-qcse": {**_TWO_STREAM, **_INPUT_GATE, **_FACTORED, **_COMPOSING},
    "film-base": {**_TWO_STREAM, "channel_attention": "none"},
    "film-qcse-1": {},
    "film": {
        "image_size": (224, 224),
        "keep_aspect_ratio": False,
        "vision_encoder": "film",
        "width": 128,
        "num_blocks": 4,
        "word_dim": 200,
        "text_dim": 4096,
        "bidirectional": False,
        "word_attention": False,
        "channel_attention": "none",
        "evidence": False,
        "head": "max",
        "classifier_dim": 1024,
        "classifier_norm": True,
        "dropout": 0.0,
    },
    "qcse": {"film": False, "evidence": False, "head": "max"},
}
"""Preset -> what it changes in `FilmSEConfig`.

film-qcse is the product; film-base has the same encoders and plain FiLM blocks, without gate or factors; film-qcse-1
is the product of version 0.1, with one stem and a sigmoid gate on each block's output; film is Perez et al. 2018 from
raw pixels (sections 4.1 and 4.2); qcse has the gate as the only conditioning.
"""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision's weights expect of rescaled pixels."""

_DERIVED = {"vocab_size", "text_config", "logit_temperature", "domain", "kwargs", "self"}
_FIELDS = {
    name: parameter.annotation
    for name, parameter in inspect.signature(FilmSEConfig.__init__).parameters.items()
    if name not in _DERIVED
}


def build_config(preset: str = "film-qcse", overrides: Sequence[str] = ()) -> FilmSEConfig:
    """The configuration of a preset with overrides such as "reduction=4", "image_size=96x144" or "text_encoder=gru".

    A Hugging Face text encoder, by name or folder, is looked up for its configuration. Raises InputError for an unknown
    preset or field, a value of the wrong type or out of range, and an unavailable encoder.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r}: there are {', '.join(PRESETS)}{_close(preset, PRESETS)}")
    settings = {**PRESETS[preset], **parse_overrides(overrides)}
    encoder = settings.get("text_encoder", "gru")
    settings["vocab_size"] = len(WORDS) + 2
    if encoder not in ("gru", "transformer"):
        settings |= _hugging_face_settings(encoder)
    return FilmSEConfig(**settings)


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """ "key=value" texts as fields of `FilmSEConfig` with values of their types. Raises InputError."""
    settings: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise InputError(f"--set {text!r:.60}: expected key=value, such as reduction=4")
        if key not in _FIELDS:
            known = _close(key, _FIELDS) or f"; there are {', '.join(_FIELDS)}"
            raise InputError(f"--set {key!r:.60}: no such field of the configuration{known}")
        parse, expected = _PARSERS[_FIELDS[key]]
        try:
            settings[key] = parse(value)
        except ValueError:
            raise InputError(f"--set {key}={value!r:.60}: expected {expected}") from None
    return settings


def build_model(config: FilmSEConfig) -> FilmSEForVisualQuestionAnswering:
    """A model to train: random weights (seed torch before), and pretrained encoders where the configuration says so.

    Raises InputError if pretrained weights are unavailable or do not fit; pickled ones are never read.
    """
    model = FilmSEForVisualQuestionAnswering(config)
    if isinstance(model.vision, TorchvisionEncoder):
        model.vision.load_pretrained(config)
    if isinstance(model.text, HuggingFaceEncoder) and config.text_encoder != "transformer":
        source = _fetch(AutoModel, config.text_encoder, use_safetensors=True)
        model.text.encoder.load_state_dict(source.state_dict())
    return model


def build_processor(config: FilmSEConfig, words: Sequence[str] = WORDS) -> FilmSEProcessor:
    """The processor that belongs to a configuration; `words` are those of our own tokenizer, numbered from 2."""
    own = config.vision_encoder in OWN_VISION_ENCODERS
    image_processor = FilmSEImageProcessor(
        size={"height": config.image_size[0], "width": config.image_size[1]},
        do_pad=config.keep_aspect_ratio,
        image_mean=CLEVR_MEAN if own else IMAGENET_MEAN,
        image_std=CLEVR_STD if own else IMAGENET_STD,
    )
    if config.text_encoder in ("gru", "transformer"):
        return FilmSEProcessor(image_processor, word_tokenizer(words))
    tokenizer = _fetch(AutoTokenizer, config.text_encoder)
    tokenizer.model_max_length = min(tokenizer.model_max_length, token_limit(config))
    return FilmSEProcessor(image_processor, tokenizer, clevr_words=False)


def token_limit(config: FilmSEConfig) -> int:
    """The most tokens of a question that the text encoder reads."""
    if config.text_encoder in ("gru", "transformer"):
        return MAX_WORDS
    reserved_by_roberta = 2
    return max(1, min(512, (config.text_config or {}).get("max_position_embeddings") or 512) - reserved_by_roberta)


def _fetch(auto: Any, name: str, **options: Any) -> Any:
    try:
        return auto.from_pretrained(name, **options)
    except Exception as error:  # whatever a broken folder or a missing network makes of it
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"config.text_encoder: {name!r} is neither gru, transformer nor a Hugging Face encoder that can be had "
            f"({type(error).__name__}: {reason:.300})"
        ) from error


def _hugging_face_settings(name: str) -> dict[str, Any]:
    config = _fetch(AutoConfig, name)
    if config.is_encoder_decoder or not isinstance(getattr(config, "hidden_size", None), int):
        raise InputError(f"config.text_encoder: {name!r} ({config.model_type}) is no plain text encoder such as BERT")
    return {"text_config": config.to_dict(), "vocab_size": config.vocab_size}


def _close(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    matches = difflib.get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def _boolean(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError
    return known[text.lower()]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.split("[x,]", text))


def _text(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _optional_text(text: str) -> str | None:
    return None if text.lower() == "none" else _text(text)


_PARSERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (_boolean, "true or false"),
    str: (_text, "a name"),
    str | None: (_optional_text, "a name, or none"),
    tuple[int, int]: (_numbers, "height x width, such as 128x192"),
    tuple[int, ...]: (_numbers, "whole numbers, such as 32,64,96"),
}
