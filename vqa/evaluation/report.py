"""One report on any number of models and sets: accuracy and its breakdowns, calibration, counts, comparisons.

The report is plain JSON (`format` is "vqa-evaluation-1"); the terminal's table and the HTML page are made from it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import combinations
from typing import Any

import numpy as np

from vqa.clevr.language.parser import WORDS
from vqa.clevr.vocabulary import ANSWERS
from vqa.evaluation.breakdowns import QuestionTable, count_words
from vqa.evaluation.metrics import (
    LEVEL,
    Estimate,
    ImageBootstrap,
    accuracies,
    calibration,
    count_confusion,
    paired_difference,
)
from vqa.evaluation.predictions import Predictions

FORMAT = "vqa-evaluation-1"
_DIGITS = 6
_COUNTS = {answer: int(answer) for answer in ANSWERS if answer.isdigit()}


@dataclass
class ModelPredictions:
    """A model's answers to the Q questions of one set.

    `origin` is copied to the report. `vocabulary` are the answers that the model can give, `unknown` the set's words
    that it does not know; None for a prediction file, which tells neither.
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
) -> dict[str, Any]:
    """Score sets, each with its description (a `name` and more), questions and answers; see `score_set`.

    The same answers and seed give the same report.
    """
    intervals = {"level": LEVEL, "method": "percentile bootstrap over images", "samples": samples, "seed": seed}
    report = {
        "format": FORMAT,
        "version": version("film-se-vqa"),
        "command": command,
        "intervals": intervals,
        "sets": [about | score_set(table, models, samples, seed) for about, table, models in sets],
    }
    return rounded(report)


def score_set(
    table: QuestionTable, models: Sequence[ModelPredictions], samples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """The report's entry of one set; a question without a prediction counts as wrong."""
    bootstrap = ImageBootstrap(table.images, samples, seed)
    answers = np.array(table.answers, object)
    correct = np.stack([np.array(model.predictions.answers, object) == answers for model in models], 1)
    everything = np.ones((len(answers), 1), bool)
    groups = np.concatenate([everything, *(part.members for part in table.breakdowns.values())], 1)
    estimates = accuracies(correct, groups, bootstrap)
    types = table.breakdowns["type"]
    return {
        "pictures": bootstrap.size,
        "questions": len(answers),
        "programs": table.programs,
        **(said := remarks(table, models)),
        "models": [
            {**model.origin, **_model_entry(table, model, right, row), **about}
            for model, right, row, about in zip(models, correct.T, estimates, said["models"], strict=True)
        ],
        "comparisons": [
            {
                "first": models[one].name,
                "second": models[other].name,
                **asdict(paired_difference(correct[:, one], correct[:, other], bootstrap)),
                "by_type": [
                    {
                        "label": label,
                        **asdict(paired_difference(correct[some, one], correct[some, other], bootstrap.of(some))),
                    }
                    for label, some in zip(types.labels, types.members.T, strict=True)
                ],
            }
            for one, other in combinations(range(len(models)), 2)
        ],
    }


def remarks(table: QuestionTable, models: Sequence[ModelPredictions]) -> dict[str, Any]:
    """What a set's questions and answers, and those of the models, have that is out of the ordinary, counted."""
    return {
        "unanswered": table.unanswered,
        "left_out": table.data.left_out,
        "unknown_words": _unknown_words(table, frozenset(table.data.words) - {*WORDS}),
        "unknown_answers": _counted(answer for answer in table.answers if answer not in ANSWERS),
        "models": [_model_remarks(table, model) for model in models],
    }


def _model_remarks(table: QuestionTable, model: ModelPredictions) -> dict[str, Any]:
    given, can, unknown = model.predictions.answers, model.vocabulary, model.unknown
    return {
        "name": model.name,
        "missing": sum(answer is None for answer in given),
        "surplus": model.predictions.surplus,
        "foreign_answers": _counted(answer for answer in given if answer is not None and answer not in ANSWERS),
        "unknown_words": None if unknown is None else _unknown_words(table, unknown),
        "unknown_answers": None if can is None else _counted(answer for answer in table.answers if answer not in can),
    }


def _model_entry(
    table: QuestionTable, model: ModelPredictions, correct: np.ndarray, estimates: Sequence[Estimate]
) -> dict[str, Any]:
    given, confidence = model.predictions.answers, model.predictions.confidence
    rest = iter(estimates[1:])
    counted = [i for i, answer in enumerate(table.answers) if answer in _COUNTS]
    true, answered = (
        np.array([_COUNTS.get(some[i] or "", -1) for i in counted], int) for some in (table.answers, given)
    )
    confusion = count_confusion(true, answered)
    sure = ~np.isnan(confidence)
    trust = calibration(confidence[sure], correct[sure])
    return {
        "overall": estimates[0].to_json(),
        "breakdowns": {
            key: [{"label": label, **next(rest).to_json()} for label in part.labels]
            for key, part in table.breakdowns.items()
        },
        "calibration": None if trust is None else asdict(trust),
        "counts": {"matrix": confusion.matrix.tolist(), "mean_error": confusion.mean_error} if counted else None,
    }


def _unknown_words(table: QuestionTable, unknown: frozenset[str]) -> dict[str, Any]:
    questions, words = count_words(table.data, table.numbers.tolist(), unknown)
    return {"questions": questions, "words": words}


def _counted(answers: Iterable[str]) -> dict[str, Any]:
    found = Counter(answers)
    return {"questions": found.total(), "answers": dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))}


def rounded(value: Any) -> Any:
    """A report with its fractions at six digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
