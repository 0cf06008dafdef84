"""Datasets of the hub that others made: a row with an image and a question, or several, as a CLEVR folder."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset, Image, List

from vqa.clevr.annotations import questions_path, write_questions
from vqa.clevr.question import Question
from vqa.errors import InputError

_COLUMNS = (("image", "images"), ("question", "problem"), ("answer", "solution"))
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def columns_of(names: Sequence[str]) -> list[str] | None:
    """The columns with image, question and answer (absent in test sets), or image and turns; None for other data."""
    found = [next((name for name in known if name in names), None) for known in _COLUMNS]
    if found[0] and not found[1] and "texts" in names:
        return [found[0], "texts"]
    return [name for name in found if name] if found[0] and found[1] else None


def unpack_rows(dataset: Dataset, root: Path, split: str) -> None:
    """Write rows as a CLEVR folder, each image once. Raises InputError naming the row and field of what is broken."""
    columns = columns_of(dataset.column_names)
    assert columns is not None
    rows = dataset.select_columns(columns)
    for kind in (Image, List):
        if isinstance(rows.features[columns[0]], kind):
            undecoded = Image(decode=False)
            rows = rows.cast_column(columns[0], undecoded if kind is Image else List(undecoded))
    folder = root / "images" / split
    folder.mkdir(parents=True)
    kinds = ("image", "turns of user and assistant") if columns[1] == "texts" else ("image", "question", "answer")
    taken = ", ".join(f"{name} for {kind}" for kind, name in zip(kinds, columns, strict=False))
    write_questions(
        questions_path(root, split), _questions(rows, columns, folder, split), {"split": split, "columns": taken}
    )


def _questions(rows: Dataset, columns: Sequence[str], folder: Path, split: str) -> Iterator[Question]:
    known: dict[bytes, int] = {}
    count = 0
    for i, row in enumerate(rows):
        content = _content(row[columns[0]], f"row {i}: {columns[0]}")
        index = known.setdefault(hashlib.sha256(content).digest(), len(known))
        suffix = "png" if content.startswith(b"\x89PNG") else "jpg"
        name = f"CLEVR_{split}_{index:06d}.{suffix}"
        if not (folder / name).exists():
            (folder / name).write_bytes(content)
        for text, answer in _pairs(row, columns, f"row {i}"):
            question = {"question": text, "image_filename": name, "image_index": index, "question_index": count}
            yield replace(Question.from_json(question, f"row {i}"), answer=answer, split=split)
            count += 1


def _content(value: Any, where: str) -> bytes:
    items = value if isinstance(value, list) else [value]
    if len(items) != 1:
        raise InputError(f"{where}: {len(items)} images, expected one")
    content = items[0].get("bytes") if isinstance(items[0], dict) else None
    if not content:
        raise InputError(f"{where}: the image has no bytes in the file")
    return content


def _pairs(row: dict[str, Any], columns: Sequence[str], where: str) -> Iterator[tuple[Any, Any]]:
    if columns[1] == "texts":
        for turn in row["texts"] or ():
            if not isinstance(turn, dict) or not {"user", "assistant"} <= turn.keys():
                raise InputError(f"{where}.texts: expected turns of user and assistant, got {turn!r:.80}")
            yield _plain(turn["user"]), turn["assistant"]
        return
    answer = row[columns[2]] if len(columns) > 2 else None
    tagged = _ANSWER.search(answer) if isinstance(answer, str) else None
    yield _plain(row[columns[1]]), tagged[1].strip() if tagged else answer


def _plain(text: Any) -> Any:
    """A question without the place of the image in it."""
    return text.replace("<image>", " ").strip() if isinstance(text, str) else text
