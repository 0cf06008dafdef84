"""Answers to a set's questions, and the files that hold them: JSON lines with

    {"question_index": 17, "image_filename": "CLEVR_val_000001.png", "answer": "cube", "confidence": 0.98}

`image_filename` and `confidence` may be absent.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import orjson

from vqa.clevr.dataset.packed import PackedDataset
from vqa.errors import InputError


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


def write_predictions(file: IO[bytes], data: PackedDataset, keys: np.ndarray, predictions: Predictions) -> None:
    """Write the answers to all questions of a set in the order of its question file."""
    rows = data.question_rows
    for number in np.argsort(data.positions):
        record = {
            "question_index": int(keys[number]),
            "image_filename": data.filenames[rows[number]],
            "answer": predictions.answers[number],
            "confidence": round(float(predictions.confidence[number]), 6),
        }
        file.write(orjson.dumps(record) + b"\n")


def read_predictions(path: str | os.PathLike, data: PackedDataset, keys: np.ndarray) -> Predictions:
    """Read a file of answers to the questions of a set, which `keys` (Q,) name.

    Questions without an entry get None. Raises InputError naming the line: not JSON, a field missing or of a wrong
    type, a question answered twice or about another image; and where no entry is about a question of the set.
    """
    places, rows = {int(key): number for number, key in enumerate(keys)}, data.question_rows
    answers: list[str | None] = [None] * len(keys)
    confidence = np.full(len(keys), np.nan)
    seen: dict[int, int] = {}
    surplus = 0
    for line, record in _records(path):
        where = f"{Path(path).name}: line {line}"
        key, answer, sure = _read_entry(record, where)
        if key in seen:
            raise InputError(f"{where}.question_index: question {key} has an answer in line {seen[key]} already")
        seen[key] = line
        number = places.get(key)
        if number is None:
            surplus += 1
            continue
        filename = data.filenames[rows[number]]
        if (image := record.get("image_filename", filename)) != filename:
            raise InputError(
                f"{where}.image_filename: question {key} is about {filename}, not {image!r:.80}; "
                "the file belongs to another split or question file"
            )
        answers[number], confidence[number] = answer, sure
    if len(seen) == surplus:
        raise InputError(f"{path}: none of its {surplus} entries is about a question of split {data.split}")
    return Predictions(answers, confidence, surplus)


def _read_entry(record: dict, where: str) -> tuple[int, str, float]:
    """The question's key, the answer, and its confidence, NaN if absent."""
    key, answer, sure = (record.get(name) for name in ("question_index", "answer", "confidence"))
    if type(key) is not int:
        raise InputError(f"{where}.question_index: expected a whole number, got {key!r:.80}")
    if type(answer) is int:
        answer = str(answer)
    if not isinstance(answer, str):
        raise InputError(f"{where}.answer: expected text such as 'cube', got {answer!r:.80}")
    if sure is not None and (type(sure) not in (int, float) or not 0 <= sure <= 1):
        raise InputError(f"{where}.confidence: expected a number from 0 to 1, got {sure!r:.80}")
    return key, answer.strip().lower(), np.nan if sure is None else sure


def _records(path: str | os.PathLike) -> Iterable[tuple[int, dict]]:
    try:
        with Path(path).open("rb") as file:
            for line, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    record = orjson.loads(text)
                except ValueError as error:
                    raise InputError(f"{path}: line {line} is not JSON ({error}); expected one object a line") from None
                if not isinstance(record, dict):
                    raise InputError(f"{path}: line {line}: expected an object with question_index and answer")
                yield line, record
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
