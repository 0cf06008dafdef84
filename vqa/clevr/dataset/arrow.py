"""CLEVR rows as parquet files for `datasets` and the Hugging Face hub: their export, and the way back.

The only module of `vqa.clevr` that needs `datasets` and `pyarrow`.
"""

import io
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import orjson
import pyarrow as pa
from datasets import Features, Image, List, Value

from vqa.clevr.annotations import questions_path, scenes_path, write_questions, write_scenes
from vqa.clevr.dataset.hub_rows import columns_of, unpack_rows
from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question import Question, safe_filename
from vqa.clevr.scenes import DIRECTIONS, Scene
from vqa.clevr.vocabulary import QUESTION_TYPES, RELATIONS
from vqa.errors import InputError

FEATURES = Features(
    {
        "image": Image(mode="RGB"),
        "image_filename": Value("string"),
        "image_index": Value("int64"),
        "split": Value("string"),
        "scene": {
            "objects": List(
                {
                    "shape": Value("string"),
                    "size": Value("string"),
                    "material": Value("string"),
                    "color": Value("string"),
                    "3d_coords": List(Value("float64")),
                    "rotation": Value("float64"),
                    "pixel_coords": List(Value("float64")),
                }
            ),
            "relationships": {name: List(List(Value("int32"))) for name in RELATIONS},
            "directions": {name: List(Value("float64")) for name in DIRECTIONS},
        },
        "questions": List(
            {
                "question": Value("string"),
                "answer": Value("string"),
                "program": List(
                    {
                        "function": Value("string"),
                        "inputs": List(Value("int32")),
                        "value_inputs": List(Value("string")),
                    }
                ),
                "family": Value("string"),
                "type": Value("string"),
                "question_index": Value("int64"),
                "question_family_index": Value("int64"),
                "template_filename": Value("string"),
            }
        ),
    }
)
"""One row is one image, with its scene (or None) and its questions; names and units are CLEVR's."""

_ROWS_AT_ONCE = 100
_SHARD_BYTES = 500_000_000


def export(packs: Sequence[PackedDataset], out: str | os.PathLike, title: str) -> None:
    """Write splits whose images lie in their folders as parquet files with a dataset card, images inside.

    `datasets.load_dataset(out)` reads it, and so does `--data`. Raises InputError where `out` exists or an image is
    missing.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out}: exists already; name another folder with --out, or remove it")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        (temporary / "data").mkdir(parents=True)
        for pack in packs:
            _write_shards(pack, temporary / "data")
        (temporary / "README.md").write_text(_card(packs, title), encoding="utf-8")
        temporary.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_shards(pack: PackedDataset, folder: Path) -> None:
    from tqdm import tqdm

    shard_rows = _shard_rows(pack)
    starts = range(0, len(pack), shard_rows)
    with tqdm(total=len(pack), desc=f"exporting {pack.split}", unit=" images", disable=None) as bar:
        for shard, start in enumerate(starts):
            name = f"{pack.split}-{shard:05d}-of-{len(starts):05d}.parquet"
            end = min(start + shard_rows, len(pack))
            with pa.parquet.ParquetWriter(folder / name, FEATURES.arrow_schema) as writer:
                for first in range(start, end, _ROWS_AT_ONCE):
                    rows = range(first, min(first + _ROWS_AT_ONCE, end))
                    writer.write_table(_table(pack, rows))
                    bar.update(len(rows))


def _shard_rows(pack: PackedDataset) -> int:
    sample = range(0, len(pack), max(1, len(pack) // 100))
    average = sum(pack.image_path(row).stat().st_size for row in sample) / len(sample)
    return max(1, int(_SHARD_BYTES / (average + 1) // _ROWS_AT_ONCE)) * _ROWS_AT_ONCE


def _table(pack: PackedDataset, rows: range) -> pa.Table:
    names = pa.array(pack.filenames[rows.start : rows.stop])
    contents = pa.array([pack.image_path(row).read_bytes() for row in rows], pa.binary())
    columns = {
        "image": pa.StructArray.from_arrays([contents, names], names=["bytes", "path"]),
        "image_filename": names,
        "image_index": pa.array(pack.indices[rows.start : rows.stop]),
        "split": pa.array([pack.split] * len(rows)),
        "scene": _scenes(pack, rows),
        "questions": _questions(pack, rows),
    }
    return pa.table(columns).cast(FEATURES.arrow_schema)


def _scenes(pack: PackedDataset, rows: range) -> pa.Array:
    kind = FEATURES.arrow_schema.field("scene").type
    texts = [pack.scene_json(row) for row in rows]
    found = _parse([text for text in texts if text is not None], kind)
    places = np.cumsum([text is not None for text in texts]) - 1
    return found.take(pa.array(places, mask=np.array([text is None for text in texts])))


def _questions(pack: PackedDataset, rows: range) -> pa.Array:
    kind = FEATURES.arrow_schema.field("questions").type.value_type
    starts = pack.image_start[rows.start : rows.stop + 1]
    numbers = slice(int(starts[0]), int(starts[-1]))
    records = _parse([pack.question_json(number) for number in range(numbers.start, numbers.stop)], kind)
    columns = dict(zip(kind.names, records.flatten(), strict=True))
    columns["family"] = _named(pack.families[numbers], pack.family_names)
    columns["type"] = _named(pack.types[numbers], QUESTION_TYPES)
    structs = pa.StructArray.from_arrays(list(columns.values()), fields=list(kind))
    return pa.ListArray.from_arrays(pa.array(starts - starts[0], pa.int32()), structs)


def _parse(lines: Sequence[bytes], kind: pa.StructType) -> pa.Array:
    """JSON lines as a struct array, by Arrow's own parser: twenty times faster than through Python objects."""
    if not lines:
        return pa.array([], kind)
    text = b"".join(lines)
    options = pa.json.ParseOptions(explicit_schema=pa.schema(list(kind)), unexpected_field_behavior="ignore")
    reading = pa.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    table = pa.json.read_json(io.BytesIO(text), reading, options).select(kind.names)
    return pa.concat_arrays(table.to_struct_array().chunks)


def _named(codes: np.ndarray, names: Sequence[str]) -> pa.Array:
    return pa.array(list(names), pa.string()).take(pa.array(codes, mask=codes < 0))


def _card(packs: Sequence[PackedDataset], title: str) -> str:
    files = "\n".join(f"  - split: {pack.split}\n    path: data/{pack.split}-*.parquet" for pack in packs)
    counts = "\n".join(f"| {pack.split} | {len(pack):,} | {len(pack.answers):,} |" for pack in packs)
    return f"""\
---
pretty_name: {orjson.dumps(title).decode()}
task_categories:
- visual-question-answering
language:
- en
tags:
- clevr
- compositional-generalization
configs:
- config_name: default
  data_files:
{files}
---

# {title}

A CLEVR-style dataset for visual question answering, exported with `vqa data export`. A row is one image:

| column | content |
|---|---|
| `image` | the image, its file's bytes unchanged |
| `image_filename`, `image_index`, `split` | as in CLEVR's files |
| `scene` | objects, relationships, directions; null where no scene is known. `pixel_coords` are in 480x320 pixels |
| `questions` | list of question, answer, program, family, type and the indices of CLEVR's files |

| split | images | questions |
|---|---|---|
{counts}

```python
from datasets import load_dataset

rows = load_dataset("PATH_OR_NAME", split="{packs[0].split}")
```

CLEVR is by Johnson et al., "CLEVR: A Diagnostic Dataset for Compositional Language and Elementary Visual Reasoning",
CVPR 2017, licensed CC BY 4.0. Data that derives from it must keep this attribution.
"""


def load_exported(name: str, split: str, cache: Path) -> datasets.Dataset:
    """One split of an exported folder or hub dataset. Raises InputError: none there, no such split or columns."""
    try:
        dataset = datasets.load_dataset(
            name, split=split, cache_dir=str(cache / "datasets") if Path(name).is_dir() else None
        )
    except Exception as error:  # the hub client, the builders and pyarrow share no base class
        raise InputError(
            f"{name}: no folder, and no dataset that can be loaded with split {split!r}: {error}"
        ) from error
    missing = [column for column in FEATURES if column not in dataset.column_names]
    if missing and columns_of(dataset.column_names) is None:
        raise InputError(
            f"{name}: has no column {', '.join(missing)}; expected the columns that `vqa data export` writes, or image "
            "and question"
        )
    return dataset


def unpack(dataset: datasets.Dataset, root: Path, split: str) -> None:
    """Write an exported dataset as a CLEVR folder. Raises InputError naming the row and field of what is broken."""
    if any(column not in dataset.column_names for column in FEATURES):
        unpack_rows(dataset, root, split)
        return
    folder = root / "images" / split
    folder.mkdir(parents=True)
    rows = dataset.cast_column("image", Image(decode=False))
    for i, row in enumerate(rows.select_columns(["image", "image_filename"])):
        name = safe_filename(row["image_filename"], f"row {i}: image_filename")
        content = (row["image"] or {}).get("bytes")
        if not content:
            raise InputError(f"row {i}: image: {name} has no bytes")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("xb") as file:
            file.write(content)
    rows = rows.remove_columns("image")
    if not write_scenes(scenes_path(root, split), _rows_scenes(rows), {"split": split}):
        scenes_path(root, split).unlink()
    write_questions(questions_path(root, split), _rows_questions(rows), {"split": split})


def _rows_scenes(rows: datasets.Dataset) -> Iterator[Scene]:
    for i, row in enumerate(rows):
        if row["scene"]:
            record = _without_none(row["scene"]) | {
                name: row[name] for name in ("image_filename", "image_index", "split")
            }
            yield Scene.from_json(record, f"row {i}: scene")


def _rows_questions(rows: datasets.Dataset) -> Iterator[Question]:
    for i, row in enumerate(rows):
        names = {name: row[name] for name in ("image_filename", "image_index", "split")}
        for j, question in enumerate(row["questions"] or ()):
            yield Question.from_json(_without_none(question) | names, f"row {i}: questions[{j}]")


def _without_none(value: Any) -> Any:
    """Arrow fills absent fields with None; CLEVR's files leave them out."""
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
