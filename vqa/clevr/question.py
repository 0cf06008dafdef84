"""A question about an image, with its answer, program and family, as CLEVR's files hold it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from vqa.clevr.programs import ARITY, Program, program_from_json, question_type, signature
from vqa.errors import InputError

_LARGEST_INDEX = 2**31 - 1
FALSE_PREMISES = ("absent", "ambiguous")
"""How a phrase with "the" can fail: it names nothing, or several objects."""

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SPOKEN = {"true": "yes", "false": "no"} | {word: str(number) for number, word in enumerate(_NUMBERS)}


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one image; what a file leaves out is None (test questions have no answer, for example).

    `premise` is "holds" or one of `FALSE_PREMISES`, and `phrase` what is absent or ambiguous then.
    """

    question: str
    answer: str | None = None
    program: Program | None = None
    image_filename: str | None = None
    image_index: int | None = None
    split: str | None = None
    question_index: int | None = None
    question_family_index: int | None = None
    template_filename: str | None = None
    premise: str | None = None
    phrase: str | None = None

    @property
    def family(self) -> str | None:
        """What tells question families apart: "template file:index", or the program's signature without a template.

        `question_family_index` alone is not unique in every file: some count from zero in each template.
        """
        if self.template_filename is not None and self.question_family_index is not None:
            return f"{self.template_filename}:{self.question_family_index}"
        return signature(self.program) if self.program else None

    @property
    def type(self) -> str | None:
        """One of `vocabulary.QUESTION_TYPES`, from the program; None without a program."""
        return question_type(self.program) if self.program else None

    @classmethod
    def from_json(cls, record: Any, where: str = "question") -> "Question":
        """Read one entry of a question file, its answer normalized. Raises InputError naming `where` and the field."""
        if not isinstance(record, Mapping):
            raise InputError(f"{where}: expected an object with the field 'question', got {record!r:.80}")
        if not isinstance(record.get("question"), str):
            raise InputError(f"{where}.question: expected the question's words, got {record.get('question')!r:.80}")
        filename = text_field(record, "image_filename", where)
        program, premise = record.get("program"), text_field(record, "premise", where)
        if premise not in (None, "holds", *FALSE_PREMISES):
            raise InputError(f"{where}.premise: {premise!r:.80} is not holds, absent or ambiguous")
        return cls(
            _encodable(record["question"], f"{where}.question"),
            normalize_answer(record.get("answer"), f"{where}.answer"),
            program_from_json(_with_arguments(program), f"{where}.program") if program else None,
            filename if filename is None else safe_filename(filename, f"{where}.image_filename"),
            index_field(record, "image_index", where),
            text_field(record, "split", where),
            index_field(record, "question_index", where),
            index_field(record, "question_family_index", where),
            text_field(record, "template_filename", where),
            premise,
            text_field(record, "phrase", where),
        )

    def to_json(self) -> dict[str, Any]:
        """The question as CLEVR's question files store it, without the fields it does not have."""
        record = {
            "question_index": self.question_index,
            "question_family_index": self.question_family_index,
            "template_filename": self.template_filename,
            "image_index": self.image_index,
            "image_filename": self.image_filename,
            "split": self.split,
            "question": self.question,
            "answer": self.answer,
            "program": [step.to_json() for step in self.program] if self.program else None,
            "premise": self.premise,
            "phrase": self.phrase,
        }
        return {name: value for name, value in record.items() if value is not None}


def normalize_answer(answer: Any, where: str = "answer") -> str | None:
    """An answer as CLEVR writes it; correct answers, training and predictions are all compared in this form.

    Booleans and true/false become yes/no, numbers and zero to ten digits; case, outer spaces and a final full stop do
    not count. None stays None. Raises InputError for what is neither text nor a number.
    """
    if answer is None:
        return None
    if type(answer) is float and answer.is_integer():
        answer = int(answer)
    if not isinstance(answer, str | bool | int):
        raise InputError(f"{where}: expected text such as 'cube', got {answer!r:.80}")
    text = _encodable(str(answer), where).strip().removesuffix(".").rstrip().lower()
    text = text.removesuffix(".0") if text.removesuffix(".0").isdigit() else text
    return _SPOKEN.get(text, text)


def unknown_functions(record: Any) -> list[str]:
    """The functions of a question's program, as a file has it, that CLEVR does not have."""
    steps = record.get("program") if isinstance(record, Mapping) else None
    named = (step.get("function", step.get("type")) for step in steps or () if isinstance(step, Mapping))
    return [name for name in named if isinstance(name, str) and name not in ARITY]


def _with_arguments(program: Any) -> Any:
    """A program whose arguments are under `value_inputs`; CLEVR's generator calls them `side_inputs` in places."""
    if not isinstance(program, list):
        return program
    return [
        {"value_inputs": step["side_inputs"], **step} if isinstance(step, dict) and "side_inputs" in step else step
        for step in program
    ]


def safe_filename(filename: str, where: str = "image_filename") -> str:
    """The name itself. Raises InputError unless it is a relative path that stays below its folder on any system."""
    parts = PurePosixPath(filename).parts
    if not parts or filename.startswith("/") or ".." in parts or re.search(r"[\\:\x00-\x1f\ud800-\udfff]", filename):
        raise InputError(f"{where}: {filename!r:.200} must be a plain file name inside images/SPLIT")
    return filename


def text_field(record: Mapping, name: str, where: str) -> str | None:
    """A field that is text or absent. Raises InputError naming it."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}.{name}: expected text, got {value!r:.80}")
    return value if value is None else _encodable(value, f"{where}.{name}")


def _encodable(text: str, where: str) -> str:
    if not text.isascii() and re.search(r"[\ud800-\udfff]", text):
        raise InputError(f"{where}: half a surrogate pair is not text: {text!r:.80}")
    return text


def index_field(record: Mapping, name: str, where: str) -> int | None:
    """A field that is a number from 0 on or absent. Raises InputError naming it."""
    value = record.get(name)
    if value is not None and (type(value) is not int or not 0 <= value <= _LARGEST_INDEX):
        raise InputError(f"{where}.{name}: expected a number from 0 to {_LARGEST_INDEX}, got {value!r:.80}")
    return value
