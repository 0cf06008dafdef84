"""CLEVR rows as parquet files for `datasets` and the Hugging Face hub; `rows` reads them back."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value
from tqdm import tqdm

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.scenes import DIRECTIONS
from vqa.clevr.vocabulary import QUESTION_TYPES, RELATIONS
from vqa.errors import InputError
from vqa.utils.files import atomic_folder

_TEXT, _NUMBER, _NUMBERS = Value("string"), Value("int64"), List(Value("float64"))
_OBJECT = dict.fromkeys(("shape", "size", "material", "color"), _TEXT) | {
    "3d_coords": _NUMBERS,
    "rotation": Value("float64"),
    "pixel_coords": _NUMBERS,
}
_STEP = {"function": _TEXT, "inputs": List(Value("int32")), "value_inputs": List(_TEXT)}
FEATURES = Features(
    {
        "image": Image(mode="RGB"),
        "image_filename": _TEXT,
        "image_index": _NUMBER,
        "split": _TEXT,
        "scene": {
            "objects": List(_OBJECT),
            "relationships": {name: List(List(Value("int32"))) for name in RELATIONS},
            "directions": dict.fromkeys(DIRECTIONS, _NUMBERS),
        },
        "questions": List(
            dict.fromkeys(("question", "answer", "family", "type", "template_filename"), _TEXT)
            | {"program": List(_STEP), "question_index": _NUMBER, "question_family_index": _NUMBER}
        ),
    }
)
"""One row is one image, with its scene (or None) and its questions; names and units are CLEVR's."""

_ROWS_AT_ONCE = 100
_SHARD_BYTES = 500_000_000


def export(packs: Sequence[PackedDataset], out: str | os.PathLike, title: str) -> None:
    """Write splits whose images lie in files as parquet with a dataset card, images inside.

    `datasets.load_dataset(out)` reads it, and so does `--data`. Raises InputError where `out` exists or an image is
    missing.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out}: exists already; name another folder with --out, or remove it")
    with atomic_folder(out) as folder:
        (folder / "data").mkdir()
        for pack in packs:
            _write_shards(pack, folder / "data")
        (folder / "README.md").write_text(_card(packs, title), encoding="utf-8")


def _write_shards(pack: PackedDataset, folder: Path) -> None:
    sample = [len(_content(pack, row)) for row in range(0, len(pack), max(1, len(pack) // 100))]
    shard_rows = max(1, int(_SHARD_BYTES / (np.mean(sample) + 1) // _ROWS_AT_ONCE)) * _ROWS_AT_ONCE
    starts = range(0, len(pack), shard_rows)
    with tqdm(total=len(pack), desc=f"exporting {pack.split}", unit=" images", disable=None) as bar:
        for shard, start in enumerate(starts):
            name = f"{pack.split}-{shard:05d}-of-{len(starts):05d}.parquet"
            end = min(start + shard_rows, len(pack))
            with pq.ParquetWriter(folder / name, FEATURES.arrow_schema) as writer:
                for first in range(start, end, _ROWS_AT_ONCE):
                    rows = [_row(pack, row) for row in range(first, min(first + _ROWS_AT_ONCE, end))]
                    writer.write_table(pa.Table.from_pylist(rows, FEATURES.arrow_schema))
                    bar.update(len(rows))


def _row(pack: PackedDataset, row: int) -> dict[str, Any]:
    scene, name = pack.scene_json(row), pack.filenames[row]
    questions = []
    for number in pack.question_numbers(row):
        family, kind = pack.families[number], pack.types[number]
        named = {
            "family": pack.family_names[family] if family >= 0 else None,
            "type": QUESTION_TYPES[kind] if kind >= 0 else None,
        }
        questions.append(orjson.loads(pack.question_json(number)) | named)
    return {
        "image": {"bytes": _content(pack, row), "path": name},
        "image_filename": name,
        "image_index": int(pack.indices[row]),
        "split": pack.split,
        "scene": None if scene is None else orjson.loads(scene),
        "questions": questions,
    }


def _content(pack: PackedDataset, row: int) -> bytes:
    file = pack.image_file(row)
    return file.read_bytes() if isinstance(file, Path) else file.read()


def _card(packs: Sequence[PackedDataset], title: str) -> str:
    files = "\n".join(f"  - split: {pack.split}\n    path: data/{pack.split}-*.parquet" for pack in packs)
    counts = "\n".join(f"| {pack.split} | {len(pack):,} | {len(pack.answers):,} |" for pack in packs)
    return f"""\
---
pretty_name: {orjson.dumps(title).decode()}
task_categories: [visual-question-answering]
language: [en]
tags: [clevr, compositional-generalization]
configs:
- config_name: default
  data_files:
{files}
---

# {title}

A CLEVR-style dataset, exported with `vqa data export`. A row is one image: `image` (its file's bytes unchanged),
`image_filename`, `image_index`, `split`, `scene` (null where none is known; `pixel_coords` in 480x320 pixels), and
`questions`: a list of question, answer, program, family, type and the indices of CLEVR's files.

| split | images | questions |
|---|---|---|
{counts}

CLEVR: Johnson et al., "CLEVR: A Diagnostic Dataset for Compositional Language and Elementary Visual Reasoning", CVPR
2017, licensed CC BY 4.0. Data that derives from it must keep this attribution.
"""
