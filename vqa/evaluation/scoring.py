"""Scores of models' answers to sets of questions: accuracy and its breakdowns, calibration, counts, comparisons."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import orjson

from vqa.clevr.language.parser import WORDS
from vqa.clevr.vocabulary import ANSWERS
from vqa.evaluation.breakdowns import QuestionTable, count_words
from vqa.evaluation.metrics import Estimate, ImageBootstrap, accuracies, calibration, count_confusion, paired_difference
from vqa.evaluation.predictions import Predictions
from vqa.evaluation.report import (
    AnswerCounts,
    Comparison,
    EvaluationReport,
    GroupDifference,
    GroupEstimate,
    Intervals,
    ModelRemarks,
    ModelScores,
    Programs,
    Remarks,
    SetScores,
    WordCounts,
)
from vqa.utils.records import T, from_json, to_json

_COUNTS = {answer: int(answer) for answer in ANSWERS if answer.isdigit()}


@dataclass
class ModelPredictions:
    """A model's answers to the Q questions of one set.

    Attributes:
        origin: `kind`, `source` and `weights_sha256` for the report, as far as known.
        vocabulary: the answers that the model can give; None for a prediction file, which does not tell.
        unknown: the set's words that the model does not know; None likewise.
    """

    name: str
    predictions: Predictions
    origin: dict[str, Any] = field(default_factory=dict)
    vocabulary: frozenset[str] | None = None
    unknown: frozenset[str] | None = None


def make_report(
    sets: Sequence[tuple[dict[str, Any], QuestionTable, Sequence[ModelPredictions]]],
    *,
    command: str | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> EvaluationReport:
    """The report on sets: for each the fields of `SetScores` that describe it, its questions, and models' answers.

    The same answers and seed give the same report.
    """
    scored = [score_set(table, models, samples, seed, **about) for about, table, models in sets]
    return as_read(EvaluationReport(command=command, intervals=Intervals(samples=samples, seed=seed), sets=scored))


def as_read(report: T) -> T:
    """The report as it reads from its JSON, so that figures are the same from the file and without it."""
    return from_json(type(report), orjson.dumps(to_json(report)), "report")


def score_set(
    table: QuestionTable, models: Sequence[ModelPredictions], samples: int, seed: int, **about: Any
) -> SetScores:
    """The report's entry of one set; a question without a prediction counts as wrong."""
    bootstrap = ImageBootstrap(table.images, samples, seed)
    correct = np.stack([table.correct(model.predictions.answers) for model in models], 1)
    everything = np.ones((len(table.answers), 1), bool)
    groups = np.concatenate([everything, *(part.members for part in table.breakdowns.values())], 1)
    scored = zip(models, correct.T, accuracies(correct, groups, bootstrap), strict=True)
    return SetScores(
        **about,
        **vars(remarks(table, ())) | {"models": [_score_model(table, *each) for each in scored]},
        images=bootstrap.size,
        questions=len(table.answers),
        programs=Programs(**table.programs),
        comparisons=[
            _compare(table, models[i].name, models[j].name, correct[:, i], correct[:, j], bootstrap)
            for i, j in combinations(range(len(models)), 2)
        ],
    )


def remarks(table: QuestionTable, models: Sequence[ModelPredictions]) -> Remarks:
    """What is out of the ordinary about a set's questions and answers, and about those of the models."""
    return Remarks(
        unanswered=table.unanswered,
        left_out=table.data.left_out,
        unknown_words=_count_words(table, frozenset(table.data.words) - {*WORDS}),
        unknown_answers=_count_answers(answer for answer in table.answers if answer not in ANSWERS),
        models=[_model_remarks(table, model) for model in models],
    )


def _model_remarks(table: QuestionTable, model: ModelPredictions) -> ModelRemarks:
    given, known = model.predictions.answers, model.vocabulary
    lacking = [] if known is None else [answer for answer in table.answers if answer not in known]
    return ModelRemarks(
        name=model.name,
        missing=sum(answer is None for answer in given),
        surplus=model.predictions.surplus,
        invalid_answers=_count_answers(answer for answer in given if answer is not None and answer not in ANSWERS),
        unknown_words=None if model.unknown is None else _count_words(table, model.unknown),
        unknown_answers=None if known is None else _count_answers(lacking),
    )


def _score_model(
    table: QuestionTable, model: ModelPredictions, correct: np.ndarray, estimates: Sequence[Estimate]
) -> ModelScores:
    """The scores of one model; `estimates` are those of all questions, then of each group of each breakdown."""
    given, confidence = model.predictions.answers, model.predictions.confidence
    overall, *rest = estimates
    remaining = iter(rest)
    numbered = [i for i, answer in enumerate(table.answers) if answer in _COUNTS]
    true, answered = (
        np.array([_COUNTS.get(some[i] or "", -1) for i in numbered], int) for some in (table.answers, given)
    )
    known = ~np.isnan(confidence)
    return ModelScores(
        **vars(_model_remarks(table, model)),
        **model.origin,
        overall=overall,
        breakdowns={
            key: [GroupEstimate(label=label, **asdict(next(remaining))) for label in part.labels]
            for key, part in table.breakdowns.items()
        },
        calibration=calibration(confidence[known], correct[known]),
        counts=count_confusion(true, answered) if numbered else None,
    )


def _compare(
    table: QuestionTable, one: str, other: str, first: np.ndarray, second: np.ndarray, bootstrap: ImageBootstrap
) -> Comparison:
    """Two models compared, by the boolean masks (Q,) of their correct answers."""
    types = table.breakdowns["type"]
    return Comparison(
        first=one,
        second=other,
        **asdict(paired_difference(first, second, bootstrap)),
        by_type=[
            GroupDifference(
                label=label, **asdict(paired_difference(first[chosen], second[chosen], bootstrap.of(chosen)))
            )
            for label, chosen in zip(types.labels, types.members.T, strict=True)
        ],
    )


def _count_words(table: QuestionTable, words: frozenset[str]) -> WordCounts:
    questions, found = count_words(table.data, table.numbers.tolist(), words)
    return WordCounts(questions=questions, words=found)


def _count_answers(answers: Iterable[str]) -> AnswerCounts:
    found = Counter(answers)
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return AnswerCounts(questions=found.total(), answers=dict(ordered))
