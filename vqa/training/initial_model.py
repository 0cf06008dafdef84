"""The model that a run starts from: new, with encoders of another, or a checkpoint that is trained further."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers.utils import SAFE_WEIGHTS_NAME

from vqa.clevr.dataset.loading import open_data
from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.language.parser import WORDS
from vqa.errors import InputError
from vqa.inference.checkpoints import checkpoint_folder, load_checkpoint
from vqa.model.configuration import FilmSEConfig
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.pointers import Pointer
from vqa.model.presets import build_config, build_model, build_processor
from vqa.model.processing import FilmSEProcessor
from vqa.training.model_card import read_record
from vqa.training.options import TrainingOptions
from vqa.training.runtime import warn

IMAGE_ENCODERS = ("vision", "scene", "second_look")
TEXT_ENCODERS = ("text", "word_attention", "steps", "input_gate")
ENCODERS = (*IMAGE_ENCODERS, *TEXT_ENCODERS)
"""The parts of a model that `--pretrain-epochs` trains."""


def initial_model(
    options: TrainingOptions, init: str | None
) -> tuple[FilmSEForVisualQuestionAnswering, FilmSEProcessor, dict[str, Any]]:
    """The model, its processor, and the record of its training so far; `init` is the checkpoint it starts from.

    Raises InputError if options and checkpoints do not fit each other.
    """
    config, words = build_config(options.preset, options.overrides), WORDS
    if options.vocabulary == "data":
        if init:
            raise InputError("--vocabulary data: the model of --init has its vocabulary already; leave it out")
        source = {"questions": options.questions, "columns": options.columns}
        words = add_vocabulary(config, open_data(options.data, options.split, **source))
    if not init:
        model = build_model(config)
        if options.encoders and not options.resume:
            take_encoders(model, options.encoders, IMAGE_ENCODERS if options.text_encoders else ENCODERS)
        if options.text_encoders and not options.resume:
            take_encoders(model, options.text_encoders, TEXT_ENCODERS, "--text-encoders")
        for part in frozen_encoders(model, options.freeze_encoders):
            part.requires_grad_(False)
        return model, build_processor(config, words), {}
    if options.overrides:
        raise InputError("--set: the model of --init has its configuration already; leave --set out")
    folder = options.folder if (options.folder / SAFE_WEIGHTS_NAME).is_file() else checkpoint_folder(init)
    model, processor = load_checkpoint(folder, "cpu")
    model.config.logit_temperature, model.config.domain = 1.0, None  # calibrated for weights that are about to change
    if options.text_encoders and not options.resume:
        readers = [name for name, part in model.named_modules() if isinstance(part, Pointer) or name == "head.kinds"]
        take_encoders(model, options.text_encoders, (*TEXT_ENCODERS, *readers), "--text-encoders")
    for part in frozen_encoders(model, options.freeze_encoders):
        part.requires_grad_(False)
    record = read_record(folder)
    if options.faithful != (record.get("preset", options.preset) == "film"):
        warn(
            f"--init: {init} is of the preset {record.get('preset')}, and is trained further by the recipe of "
            f"{options.preset}; give --preset to choose"
        )
    return model.train(), processor, record


def add_vocabulary(config: FilmSEConfig, data: PackedDataset) -> tuple[str, ...]:
    """Add the data's answers to a configuration; returns CLEVR's words with the data's after them."""
    words = tuple(dict.fromkeys([*WORDS, *data.words]))
    answers = dict.fromkeys([*config.answers, *data.answer_names])
    config.id2label = dict(enumerate(answers))
    config.label2id = {answer: label for label, answer in config.id2label.items()}
    if config.text_encoder in ("gru", "transformer"):
        config.vocab_size = len(words) + 2
    return words


def frozen_encoders(model: FilmSEForVisualQuestionAnswering, kind: str | None) -> list[nn.Module]:
    """The encoders that `--freeze-encoders` keeps as they are."""
    names = {None: (), "image": IMAGE_ENCODERS, "text": TEXT_ENCODERS, "all": ENCODERS}[kind]
    return [part for name in names if (part := getattr(model, name)) is not None]


def _part_of(model: nn.Module, name: str) -> nn.Module | None:
    """A part of a model by its dotted name, None where the model lacks it."""
    part: Any = model
    for step in name.split("."):
        part = getattr(part, step, None)
    return part


def take_encoders(
    model: FilmSEForVisualQuestionAnswering,
    checkpoint: str,
    names: Sequence[str] = ENCODERS,
    flag: str = "--encoders",
) -> None:
    """Load parts of a checkpoint into a model. Raises InputError, naming `flag`, if they do not fit."""
    source, _ = load_checkpoint(checkpoint_folder(checkpoint), "cpu")
    for name in names:
        part, taken = (_part_of(each, name) for each in (model, source))
        if part is not None:
            try:
                part.load_state_dict(taken.state_dict() if taken is not None else {})
            except RuntimeError as error:
                raise InputError(f"{flag} {checkpoint}: its {name} does not fit this model: {error}"[:400]) from error
