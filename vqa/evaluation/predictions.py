"""Answers to a set's questions, and the files that hold them: JSON lines with

    {"question_index": 17, "image_filename": "CLEVR_val_000001.png", "answer": "cube", "confidence": 0.98}

`image_filename` and `confidence` may be absent. Other models' files are read, too: a JSON list, CSV with a header,
other names (`KEYS`, `TEXTS`), and CLEVR's official form, a text file with an answer a line in the questions' order.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question import normalize_answer
from vqa.errors import InputError
from vqa.utils.files import encoding_of
from vqa.utils.notes import note

KEYS = ("question_index", "question_id", "questionId", "qid")
TEXTS = ("answer", "prediction", "text")


@dataclass
class Predictions:
    """A model's answers to Q questions: `answers` (None where missing), `confidence` (Q,) in 0..1 or NaN.

    `surplus` counts entries of a file about questions that the set does not have.
    """

    answers: Sequence[str | None]
    confidence: np.ndarray
    surplus: int = 0

    def of(self, numbers: np.ndarray) -> "Predictions":
        """The answers to some of the questions."""
        return Predictions([self.answers[number] for number in numbers], self.confidence[numbers], self.surplus)


def write_predictions(
    file: IO[bytes], data: PackedDataset, keys: np.ndarray, predictions: Predictions, *, plain: bool = False
) -> None:
    """Write the answers to all questions of a set in the order of its question file; `plain`: an answer a line."""
    rows = data.question_rows
    for number in np.argsort(data.positions):
        record = {
            "question_index": int(keys[number]),
            "image_filename": data.filenames[rows[number]],
            "answer": predictions.answers[number],
            "confidence": round(float(predictions.confidence[number]), 6),
        }
        file.write(str(record["answer"]).encode() + b"\n" if plain else orjson.dumps(record) + b"\n")


def read_predictions(path: str | os.PathLike, data: PackedDataset, keys: np.ndarray) -> Predictions:
    """Read a file of answers to the questions of a set, which `keys` (Q,) name; answers are normalized.

    Questions without an entry get None. Raises InputError naming the line or entry: not JSON, a field missing or of a
    wrong type, a question answered twice or about another image; and where no entry is about a question of the set.
    """
    places, rows = {int(key): number for number, key in enumerate(keys)}, data.question_rows
    answers: list[str | None] = [None] * len(keys)
    confidence = np.full(len(keys), np.nan)
    seen: dict[int, str] = {}
    surplus = 0
    normalized: Counter[tuple[str, str]] = Counter()
    for label, record in _records(path, data, keys):
        where = f"{Path(path).name}: {label}"
        key, given, sure = _read_entry(record, where)
        if key in seen:
            raise InputError(f"{where}.question_index: question {key} has an answer in {seen[key]} already")
        seen[key] = label
        answer = normalize_answer(given, f"{where}.answer")
        if answer is None:
            raise InputError(f"{where}.answer: expected text such as 'cube', got None")
        if given != answer:
            normalized[str(given), answer] += 1
        number = places.get(key)
        if number is None:
            surplus += 1
            continue
        filename = data.filenames[rows[number]]
        image = record.get("image_filename") or filename
        if not isinstance(image, str) or Path(image).stem != Path(filename).stem:
            raise InputError(
                f"{where}.image_filename: question {key} is about {filename}, not {image!r:.80}; "
                "the file belongs to another split or question file"
            )
        answers[number], confidence[number] = answer, sure
    if len(seen) == surplus:
        raise InputError(f"{path}: none of its {surplus} entries is about a question of split {data.split}")
    if normalized:
        (before, after), _ = normalized.most_common(1)[0]
        note(f"{path}: {normalized.total():,} answers are normalized, such as {before!r:.60} to {after!r:.60}")
    return Predictions(answers, confidence, surplus)


def _read_entry(record: dict, where: str) -> tuple[int, object, float]:
    """The question's key, the answer as it stands, and its confidence, NaN if absent."""
    key = next((record[name] for name in KEYS if name in record), None)
    given = next((record[name] for name in TEXTS if name in record), None)
    sure: Any = record.get("confidence")
    if isinstance(key, str) and re.fullmatch(r"\d{1,18}", key.strip()):
        key = int(key)
    if type(key) is not int:
        raise InputError(f"{where}.question_index: expected a whole number, got {key!r:.80}")
    if isinstance(sure, str):  # of CSV
        with suppress(ValueError):
            sure = float(sure) if sure.strip() else None
    if sure is not None and (type(sure) not in (int, float) or not 0 <= sure <= 1):
        raise InputError(f"{where}.confidence: expected a number from 0 to 1, got {sure!r:.80}")
    return key, given, np.nan if sure is None else sure


def _records(path: str | os.PathLike, data: PackedDataset, keys: np.ndarray) -> Iterable[tuple[str, dict]]:
    """The entries of a file in any form, with where each stands ("line 3")."""
    try:
        content = Path(path).read_bytes()
        text = content.decode(encoding_of(content[:64], path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line} is not {error.encoding} text; save the file as UTF-8") from error
    lines = text.splitlines()
    columns = [name.strip() for name in next(csv.reader(lines[:1]), [])]
    if {*KEYS} & {*columns} and {*TEXTS} & {*columns}:
        rows = csv.reader(lines[1:])
        return ((f"line {rows.line_num + 1}", dict(zip(columns, row, strict=False))) for row in rows if row)
    begin = text.lstrip()[:1]
    if begin == "[" and (entries := _json_list(text)) is not None:
        return ((f"entry {i}", _object(entry, path, f"entry {i}")) for i, entry in enumerate(entries))
    if begin not in ("{", "["):
        return _plain(path, lines, data, keys)
    return _json_lines(path, lines)


def _json_list(text: str) -> list | None:
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(entry, dict) for entry in found) else None


def _json_lines(path: str | os.PathLike, lines: Sequence[str]) -> Iterator[tuple[str, dict]]:
    for line, text in enumerate(lines, 1):
        if text.strip():
            try:
                record = orjson.loads(text)
            except ValueError as error:
                raise InputError(f"{path}: line {line} is not JSON ({error}); expected one object a line") from None
            yield f"line {line}", _object(record, path, f"line {line}")


def _object(record: object, path: str | os.PathLike, where: str) -> dict:
    if not isinstance(record, dict):
        raise InputError(f"{path}: {where}: expected an object with question_index and answer")
    return record


def _plain(
    path: str | os.PathLike, lines: Sequence[str], data: PackedDataset, keys: np.ndarray
) -> Iterator[tuple[str, dict]]:
    """An answer a line, of every question of the set's file: in the file's order, or numbered by question_index."""
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    of_line: Iterable[int] = keys[np.argsort(data.positions)].tolist()
    if len(lines) != len(keys):  # of a file that has more questions than the set: about images that are not there
        whole = len(keys) + data.left_out
        if len(lines) != whole or len({*keys.tolist()}) < len(keys) or max(keys) >= whole:
            raise InputError(
                f"{path}: line {len(lines)} is the last, but split {data.split} has {whole:,} questions; expected "
                "JSON lines, a JSON list, CSV with question_index and answer, or an answer a line in question order"
            )
        of_line = range(whole)
    for line, (key, text) in enumerate(zip(of_line, lines, strict=True), 1):
        yield f"line {line}", {"question_index": key, "answer": text}
