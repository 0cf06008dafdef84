"""Loading checkpoints that may be broken or hostile: everything is checked before anything large is made.

A checkpoint is a folder with config.json, model.safetensors and the processor's files; nothing in it is executed.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from vqa.errors import InputError
from vqa.inference.ood import OODDetector
from vqa.model.configuration import FilmSEConfig
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.presets import token_limit
from vqa.model.processing import FilmSEProcessor
from vqa.utils.files import first_line, read_limited, read_object
from vqa.utils.records import T, from_json
from vqa.utils.resources import shipped

DEFAULT_CHECKPOINT = "checkpoints/film-qcse-clevr"

_WEIGHTS = "model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_MAX_CONFIG_BYTES = 1_000_000
_MAX_LABELS = 10_000
_MAX_TEXT_SETTING = 1_000_000
_MAX_TEXT_LAYERS = 200


def load_checkpoint(
    source: str | os.PathLike | None = None, device: str | torch.device | None = None
) -> tuple[FilmSEForVisualQuestionAnswering, FilmSEProcessor]:
    """The model, in float32 and evaluation mode, and the processor of a checkpoint.

    Args:
        source: a folder, or "owner/name" on the Hugging Face hub (fetched once, then read from its cache); the shipped
            checkpoint by default.
        device: where the model runs; by default a GPU if there is one.

    Raises InputError for a checkpoint that is missing, broken, of another model or unusable on this machine.
    """
    place = choose_device(device)
    folder = checkpoint_folder(source)
    config = read_config(folder)
    _check_weights(folder, config)
    try:
        model = FilmSEForVisualQuestionAnswering.from_pretrained(
            folder, config=config, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    except Exception as error:
        raise _broken(folder / _WEIGHTS, "cannot be loaded", error) from error
    if not all(torch.isfinite(parameter).all() for parameter in model.state_dict().values()):
        raise InputError(f"{folder / _WEIGHTS}: some weights are not finite; train or fetch the checkpoint again")
    return model.eval().to(place), load_processor(folder, config)


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device of this name, or a GPU if there is one. Raises InputError for an unavailable device."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen).cpu()
    except Exception as error:
        others = "".join(f" or cuda:{i}" for i in range(torch.cuda.device_count()))
        raise InputError(f"device: {str(device)!r:.40} is unavailable; use cpu{others}") from error
    return chosen


def checkpoint_folder(source: str | os.PathLike | None = None) -> Path:
    """The local folder of a checkpoint, fetched from the hub where need be. Raises InputError."""
    if source is None:
        return shipped(DEFAULT_CHECKPOINT)
    name = os.fspath(source)
    try:
        folder = Path(name).expanduser()
        if folder.is_dir():
            return folder
        if folder.exists():
            raise InputError(f"{name}: a checkpoint is a folder with config.json and {_WEIGHTS}; this is a file")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"checkpoint {name[:200]!r}: {getattr(error, 'strerror', None) or error}") from error
    if not _HUB_ID.fullmatch(name):
        raise InputError(f"{name:.200}: no such checkpoint folder; give the folder that `vqa train --out` made")
    return _fetch(name)


def weights_sha256(source: str | os.PathLike | None = None) -> str:
    """The SHA-256 of a checkpoint's weights file, in hexadecimal, which tells them from all others.

    Raises InputError if it cannot be read.
    """
    path = checkpoint_folder(source) / _WEIGHTS
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_beside(kind: type[T], path: Path, most: int, what: str, remedy: str) -> T:
    """A report of at most `most` bytes in a checkpoint's folder, which has a field `weights_sha256`.

    Raises InputError if it is missing (`what` it is, and its `remedy`) or made for other weights, and one that names
    the field that is wrong.
    """
    try:
        report: Any = from_json(kind, read_limited(path, most, remedy), path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: this checkpoint has no {what} yet; {remedy}") from error
    if report.weights_sha256 != weights_sha256(path.parent):
        raise InputError(f"{path}: made for other weights; {remedy}")
    return report


def read_config(folder: Path) -> FilmSEConfig:
    """The configuration in a checkpoint's folder. Raises InputError where it is missing, broken or of another model."""
    path = folder / "config.json"
    try:
        settings = read_object(path, _MAX_CONFIG_BYTES, "copy the checkpoint again")
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no checkpoint, for config.json is missing") from error
    if (kind := settings.get("model_type")) != FilmSEConfig.model_type:
        raise InputError(f"{path}: model_type is {str(kind)[:40]!r}; this program runs {FilmSEConfig.model_type!r}")
    try:
        _check_settings(settings)
        config = FilmSEConfig.from_dict(settings)
        if config.domain is not None:
            OODDetector.from_config(config.domain)
        return config
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # the base class takes any key and raises anything
        raise _broken(path, "a value is of the wrong kind", error) from error


def _check_settings(settings: dict[str, Any]) -> None:
    """Refuse what would make the base class or a text encoder grow without bounds before weights are compared."""
    labels = settings.get("id2label")
    if "num_labels" in settings or not isinstance(labels, dict) or not 0 < len(labels) <= _MAX_LABELS:
        raise InputError("id2label must hold the answers")
    if sorted(labels) != sorted(map(str, range(len(labels)))) or not all(isinstance(x, str) for x in labels.values()):
        raise InputError("id2label must map 0, 1, ... to the answers")
    pending = [("text_config", settings.get("text_config") or {})]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += value.items()
        elif isinstance(value, int) and abs(value) > (_MAX_TEXT_LAYERS if "layers" in name else _MAX_TEXT_SETTING):
            raise InputError(f"text_config.{name}: {value} is out of range")


def _check_weights(folder: Path, config: FilmSEConfig) -> None:
    path = folder / _WEIGHTS
    if not path.is_file():
        pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
        if pickles:
            raise InputError(
                f"{folder}: the weights are in {pickles[0]} only, a pickle, which could run any program and is never "
                f"loaded; have them saved as {_WEIGHTS}"
            )
        raise InputError(f"{folder}: no weights, for {_WEIGHTS} is missing; copy the whole checkpoint again")
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            found = {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise _broken(path, "damaged or cut short; copy the checkpoint again", error) from error
    try:
        with torch.device("meta"):
            model = FilmSEForVisualQuestionAnswering(config)
    except InputError as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from error
    except Exception as error:
        raise _broken(folder / "config.json", "no model can be made of it", error) from error
    expected = model.state_dict()
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    if missing := sorted(set(expected) - set(found) - tied):
        raise InputError(f"{path}: {len(missing)} weights that config.json asks for are missing, as {missing[0]}")
    if surplus := sorted(set(found) - set(expected)):
        raise InputError(f"{path}: {len(surplus)} weights have no place in config.json's model, as {surplus[0][:80]}")
    for name, (shape, dtype) in found.items():
        weight = expected[name]
        if shape != tuple(weight.shape):
            raise InputError(f"{path}: {name} has the shape {shape}; config.json asks for {tuple(weight.shape)}")
        if weight.is_floating_point() != dtype.startswith(("F", "BF")):
            raise InputError(f"{path}: {name} holds {dtype}; expected {weight.dtype}")


def load_processor(folder: Path, config: FilmSEConfig) -> FilmSEProcessor:
    try:
        processor = FilmSEProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = processor.tokenizer
        tokenizer.model_max_length = min(tokenizer.model_max_length, token_limit(config))
        size = len(tokenizer)
        largest = max(tokenizer.get_vocab().values(), default=0)
    except Exception as error:
        raise _broken(folder, "processor_config.json or the tokenizer's files are missing or broken", error) from error
    if max(size - 1, largest) >= config.vocab_size:
        raise InputError(
            f"{folder}: the tokenizer has {size} words, but config.json says vocab_size {config.vocab_size}; "
            "they are not of one checkpoint"
        )
    return processor


def _fetch(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))
    except Exception as error:
        raise InputError(
            f"{name}: neither a folder nor a model that the Hugging Face hub gives now ({first_line(error)})"
        ) from error


def _broken(path: Path, what: str, error: Exception) -> InputError:
    return InputError(f"{path}: {what} ({first_line(error)})")
