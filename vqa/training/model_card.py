"""The training record and the model card of a checkpoint."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from vqa.errors import InputError
from vqa.model.processing import FilmSEProcessor
from vqa.training.checkpointing import Progress
from vqa.training.options import SUPERVISION, TrainingOptions

RECORD = "training.json"

_CARD = Path(__file__).parent / "templates" / "model_card.md"

_NOTES = {
    "answers": " (nothing but the answers)",
    "scenes": " (answers, and each object's position and attributes)",
    "programs": " (answers, scenes, and the objects that each step of the question's program selects; "
    "none of it is needed to answer)",
}

_GATES = {
    "none": "",
    "se": ", each with squeeze-and-excitation (Hu et al. 2018)",
    "query_se": ", each with squeeze-and-excitation (Hu et al. 2018) that reads the question too",
    "eca": ", each with efficient channel attention (Wang et al. 2020)",
    "cbam": ", each with CBAM (Woo et al. 2018)",
}

_CHOSEN = "These images chose the checkpoint; figures on other images come from `vqa evaluate`."
_NO_HOLDOUT = "No images were held out."


def read_record(checkpoint: str | os.PathLike) -> dict[str, Any]:
    """The training record of a checkpoint folder, for a run that starts from it; empty if there is none.

    Its training questions are counted as earlier ones. Raises InputError for a damaged record.
    """
    path = Path(checkpoint) / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text())
        record["earlier_presentations"] = sum(
            int(record.get(name, 0)) for name in ("earlier_presentations", "presentations")
        )
        if not isinstance(record.setdefault("commands", []), list):
            raise TypeError("commands is not a list")
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not a training record ({error}); remove it to continue without") from error
    return record


def training_record(
    options: TrainingOptions, progress: Progress, images: int, supervision: str, earlier: dict[str, Any]
) -> dict[str, Any]:
    """The training record of a run on N `images`, given the record of the `earlier` runs behind its initial model."""
    return {
        "preset": earlier.get("preset", options.preset),
        "data": f"{Path(options.data).resolve().name} {options.split}"
        + (f", {Path(options.questions).name}" if options.questions else "")
        + (f", training part of {options.split_protocol}" if options.split_protocol else ""),
        "pictures": images,
        "supervision": max(supervision, str(earlier.get("supervision")), key=_strength),
        "pretrain_epochs": options.pretrain_epochs,
        "generated": options.generated,
        "compositions": options.compositions,
        "split_protocol": options.split_protocol,
        "seed": options.seed,
        "holdout": options.holdout,
        "precision": progress.precision,
        "minutes": round(progress.seconds / 60, 1),
        "presentations": progress.questions_seen,
    }


def write_checkpoint(folder: Path, model: PreTrainedModel, processor: FilmSEProcessor, record: dict[str, Any]) -> None:
    """Write configuration, weights, processor, record and card; each file is replaced whole, the weights last.

    The weights come last since a folder without them is not taken for a checkpoint. Raises InputError if the disk
    refuses; the files that were there stay.
    """
    fresh = folder / ".checkpoint.tmp"
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        model.save_pretrained(fresh)
        processor.save_pretrained(fresh)
        (fresh / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        (fresh / "README.md").write_text(card(record, model, folder.name))
        for path in sorted(fresh.iterdir(), key=lambda path: path.suffix == ".safetensors"):
            path.replace(folder / path.name)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written: {error.strerror or error}; the last checkpoint is kept"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def card(record: dict[str, Any], model: PreTrainedModel, title: str) -> str:
    """The model card of a checkpoint, from its training record."""
    config = model.config
    held = record["held_out"]
    rows = "\n".join(
        f"| {name} | {100 * value:.1f} % |" for name, value in [("all", held["accuracy"]), *held["by_type"].items()]
    )
    table = f"| questions | accuracy |\n|---|---|\n{rows}\n\n{_CHOSEN}" if held["questions"] else _NO_HOLDOUT
    return _CARD.read_text().format(
        title=title,
        answers=len(config.answers),
        blocks=config.num_blocks,
        film=" modulated by FiLM (Perez et al. 2018)" if config.film else "",
        gate=_GATES[config.channel_attention],
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        table=table,
        commands="\n".join(f"      {command}" for command in record["commands"]),
        supervision_note=_NOTES[record["supervision"]],
        **{name: record[name] for name in ("data", "supervision", "minutes", "precision", "seed")},
        images=record["pictures"],
        presentations=record.get("earlier_presentations", 0) + record["presentations"],
    )


def _strength(supervision: str) -> int:
    return SUPERVISION.index(supervision) if supervision in SUPERVISION else -1
