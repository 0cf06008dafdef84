"""The questions that an evaluation scores, and the groups that its breakdowns divide them into."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import numpy as np
import orjson

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.language.parser import parse_question, words_of
from vqa.clevr.programs import Program
from vqa.clevr.question import Question
from vqa.clevr.vocabulary import ANSWERS, ATTRIBUTES, QUESTION_TYPES, RELATIONS
from vqa.errors import InputError

BREAKDOWNS = {
    "type": "question type",
    "form": "question form",
    "family": "question family",
    "length": "program length",
    "objects": "objects in the scene",
    "asked": "attribute asked",
    "mentioned": "attribute mentioned",
    "value": "value or relation mentioned",
    "answer": "correct answer",
}
"""Breakdown -> its title. A form is a template file, such as one_hop; the attribute asked is what the program queries
or compares last; attributes mentioned are those it filters by or calls the same."""

OTHERS = "(all others)"
"""The group of the rarest labels in a breakdown of more than `_MOST_GROUPS`."""

_MOST_GROUPS = 300
_ORDER = {name: i for i, name in enumerate([*QUESTION_TYPES, "other", *ATTRIBUTES, *RELATIONS, *ANSWERS])}


@dataclass
class Breakdown:
    """Groups of questions: their labels (G), and a boolean mask (Q, G) of their questions; groups may overlap."""

    labels: list[str]
    members: np.ndarray


@dataclass
class QuestionTable:
    """The Q questions of a set that have an answer.

    Attributes:
        data: the set.
        numbers: (Q,) the questions' numbers in the set.
        images: (Q,) the rows of their images.
        answers: the Q correct answers.
        breakdowns: one for each of `BREAKDOWNS`.
        programs: how many questions have a program of their own ("stored"), one read from CLEVR's wording ("parsed"),
            or none.
        unanswered: number of questions left out.
    """

    data: PackedDataset
    numbers: np.ndarray
    images: np.ndarray
    answers: list[str]
    breakdowns: dict[str, Breakdown]
    programs: dict[str, int]
    unanswered: int

    def correct(self, answers: Sequence[str | None]) -> np.ndarray:
        """Which of the Q questions such answers to them are correct on, a boolean mask (Q,)."""
        return np.array(answers, object) == np.array(self.answers, object)


def read_table(data: PackedDataset) -> QuestionTable:
    """Read a set's questions. Raises InputError where none has an answer."""
    rows = data.question_rows
    numbers = np.flatnonzero(data.answers >= 0)
    if not len(numbers):
        raise InputError(
            f"split {data.split}: none of its {len(rows)} questions has an answer to compare with; "
            "`vqa predict` writes answers for them"
        )
    scenes = (data.scene(row) for row in range(len(data)))
    objects = [None if scene is None else len(scene.objects) for scene in scenes]
    groups: dict[str, list[Iterable[str]]] = {name: [] for name in BREAKDOWNS}
    programs = {"stored": 0, "parsed": 0, "none": 0}
    answers = [data.answer_names[code] for code in data.answers[numbers]]
    for number, row, answer in zip(numbers.tolist(), rows[numbers].tolist(), answers, strict=True):
        question = data.question(number)
        program, source = _program_of(question)
        programs[source] += 1
        labels = {
            "type": [question.type or type_from_wording(question.question) or "other"],
            "form": [question.template_filename.removesuffix(".json")] if question.template_filename else [],
            "family": [question.family] if question.family else [],
            "objects": [] if objects[row] is None else [str(objects[row])],
            "answer": [answer],
            **_program_groups(program),
        }
        for name, found in groups.items():
            found.append(labels[name])
    return QuestionTable(
        data,
        numbers,
        rows[numbers],
        answers,
        {name: _breakdown(found) for name, found in groups.items()},
        programs,
        len(rows) - len(numbers),
    )


def count_words(data: PackedDataset, numbers: Iterable[int], words: Set[str]) -> tuple[int, dict[str, int]]:
    """The number of questions that hold one of `words`, and how often each word occurs, most frequent first."""
    codes = {code for code, word in enumerate(data.words) if word in words}
    found: Counter[str] = Counter()
    questions = 0
    for number in numbers if codes else ():
        present = [data.words[code] for code in data.tokens(number).tolist() if code in codes]
        questions += bool(present)
        found.update(present)
    return questions, dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def question_keys(data: PackedDataset) -> np.ndarray:
    """The numbers (Q,) that name the questions in a prediction file.

    They are the question_index where every question of the set has a distinct one, else places in the question file.
    """
    keys = [orjson.loads(data.question_json(number)).get("question_index") for number in range(len(data.answers))]
    if None in keys or len(set(keys)) < len(keys):
        return data.positions
    return np.array(keys, np.int64)


def _program_of(question: Question) -> tuple[Program, str]:
    if question.program:
        return question.program, "stored"
    try:
        return parse_question(question.question), "parsed"
    except InputError:
        return (), "none"


def _program_groups(program: Program) -> dict[str, list[str]]:
    if not program:
        return {"length": [], "asked": [], "mentioned": [], "value": []}
    calls = [step.function.partition("_") for step in program]
    operation, _, attribute = calls[-1]
    mentioned = {name for operation, _, name in calls if operation in ("filter", "same")}
    return {
        "length": [str(len(program))],
        "asked": [attribute] if operation in ("query", "equal") and attribute in ATTRIBUTES else [],
        "mentioned": sorted(mentioned),
        "value": sorted({step.value for step in program if step.value is not None}),
    }


def _breakdown(groups: Sequence[Iterable[str]]) -> Breakdown:
    counts = Counter(label for found in groups for label in found)
    kept = [label for label, _ in counts.most_common(_MOST_GROUPS)]
    labels = sorted(kept, key=_natural) + [OTHERS] * (len(counts) > len(kept))
    places = dict.fromkeys(counts, len(kept)) | {label: i for i, label in enumerate(labels)}
    members = np.zeros((len(groups), len(labels)), bool)
    for i, found in enumerate(groups):
        members[i, [places[label] for label in found]] = True
    return Breakdown(labels, members)


def _natural(label: str) -> tuple:
    """A sort key: whole numbers by size, then known names in their usual order, then others."""
    if label in _ORDER and not label.isdigit():
        return 1, _ORDER[label], ()
    parts = re.split(r"(\d+)", label)
    return (0 if label.isdigit() else 2), 0, tuple((int(p), "") if p.isdigit() else (-1, p) for p in parts)


_RULES = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\bhow many\b|\bwhat (?:is the )?(?:total )?(?:number|amount)\b|^count\b", "count"),
        (
            r"\b(?:more|fewer|less|greater)\b.*\bthan\b|\b(?:same|equal) (?:number|amount)s?\b"
            r"|\bnumber of\b.*\b(?:same as|equal to)\b|\bas many\b",
            "compare integer",
        ),
        (r"\b(?:what|which)\b|\bhow (?:big|large|small)\b", "query attribute"),
        (r"\b(?:is|are) (?:there|any)\b|\b(?:any|an?|another)\b.*\bvisible\b", "exist"),
        (
            r"\bsame\b.*\b(?:size|color|material|shape|as)\b|\b(?:sizes?|colors?|materials?|shapes?)\b.*\b(?:same|match)\b",
            "compare attribute",
        ),
    )
]


def type_from_wording(text: str) -> str | None:
    """One of `vocabulary.QUESTION_TYPES`, or None where the words point to none of them.

    The first rule that fits decides. Questions in the forms of CLEVR and CLOSURE get the type of their program;
    people's own questions (CLEVR-Humans) have no types to compare with.
    """
    said = " ".join(words_of(text))
    return next((name for pattern, name in _RULES if pattern.search(said)), None)
