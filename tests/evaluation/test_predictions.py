"""Prediction files: written, read back, and refused with the line's number."""

import io
import json

import numpy as np
import pytest

from vqa.clevr.dataset.loading import open_data
from vqa.errors import InputError
from vqa.evaluation.breakdowns import question_keys
from vqa.evaluation.predictions import Predictions, read_predictions, write_predictions


@pytest.fixture
def data(clevr_folder):
    return open_data(clevr_folder, "val")


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_written_in_the_files_order_and_read_back(data, tmp_path):
    keys = question_keys(data)
    given = Predictions([f"a{key}" for key in keys], np.linspace(0, 1, len(keys)).astype(np.float32))
    file = io.BytesIO()
    write_predictions(file, data, keys, given)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    in_file = json.loads((data.folder / "questions/CLEVR_val_questions.json").read_text())["questions"]
    for line, question in zip(lines, in_file, strict=True):
        assert line["question_index"] == question["question_index"]
        assert line["image_filename"] == question["image_filename"]
        assert line["answer"] == f"a{question['question_index']}"
    path = tmp_path / "answers.jsonl"
    path.write_bytes(file.getvalue())
    back = read_predictions(path, data, keys)
    assert list(back.answers) == list(given.answers)
    assert back.confidence == pytest.approx(given.confidence, abs=1e-6)


def test_files_with_few_and_surplus_entries_are_read(data, tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"question_index": 103, "answer": 2},
        {"question_index": 999, "answer": "red"},
        {"question_index": 100, "answer": " Red\n", "confidence": 1},
    )
    keys = question_keys(data)
    found = read_predictions(path, data, keys)
    assert {int(key): answer for key, answer in zip(keys, found.answers, strict=True) if answer} == {
        100: "red",
        103: "2",
    }
    assert np.isnan(found.confidence).sum() == 19
    assert found.surplus == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"question_index": 100, "answer": "red"}\n{"question_index"', "line 2"),
        ("[1]", "line 1"),
        ('{"answer": "red"}', "question_index"),
        ('{"question_index": true, "answer": "red"}', "question_index"),
        ('{"question_index": 100}', "answer"),
        ('{"question_index": 100, "answer": ["red"]}', "answer"),
        ('{"question_index": 100, "answer": "red", "confidence": 1.5}', "confidence"),
        ('{"question_index": 100, "answer": "red", "confidence": "high"}', "confidence"),
        ('{"question_index": 100, "answer": "red"}\n\n{"question_index": 100, "answer": "red"}', "line 1 already"),
        ('{"question_index": 100, "answer": "red", "image_filename": "other.png"}', "image_filename"),
        ('{"question_index": 5, "answer": "red"}', "none of its 1 entries"),
        ("", "is empty"),
        ("\xff", "line 1"),
    ],
)
def test_broken_files_are_refused_by_line_and_field(data, tmp_path, text, said):
    path = tmp_path / "broken.jsonl"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=said) as error:
        read_predictions(path, data, question_keys(data))
    assert "broken.jsonl" in str(error.value)


def test_missing_files_are_named(data, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        read_predictions(tmp_path / "nowhere.jsonl", data, question_keys(data))
    with pytest.raises(InputError, match=str(tmp_path)):
        read_predictions(tmp_path, data, question_keys(data))
