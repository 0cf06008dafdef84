"""What reports hold: scores of models on sets of questions, and those of the compositional suite.

A dataclass for every JSON object of a report, from which the terminal's tables, the HTML pages and the Markdown tables
are made. The keys in JSON are older than some names here, hence the aliases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Annotated, Final, Literal

from pydantic import Field

from vqa.errors import InputError
from vqa.evaluation.breakdowns import BREAKDOWNS
from vqa.evaluation.metrics import LEVEL, Calibration, Contrast, CountConfusion, Difference, Estimate
from vqa.utils.records import LEFT_OUT_IF_NONE, Count, Share, from_json

FORMAT: Final = "vqa-evaluation-1"
SUITE_FORMAT: Final = "vqa-compositional-1"


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """How the intervals were made."""

    level: Share = LEVEL
    method: str = "percentile bootstrap over images"
    samples: Count = 1000
    seed: Count = 0


@dataclass(frozen=True, kw_only=True)
class WordCounts:
    """How many questions have certain words, and each word's count."""

    questions: Count = 0
    words: dict[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AnswerCounts:
    """How many questions have certain answers, and each answer's count."""

    questions: Count = 0
    answers: dict[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelRemarks:
    """What is out of the ordinary about a model's answers.

    The last two are None for a prediction file, which does not tell what its model knows.
    """

    name: str
    missing: Count = 0
    """questions without a prediction"""
    surplus: Count = 0
    """predictions about questions that the set does not have"""
    invalid_answers: Annotated[AnswerCounts, Field(alias="foreign_answers")] = AnswerCounts()
    """answers given that are not CLEVR's"""
    unknown_words: WordCounts | None = None
    """words of the set that the model does not know"""
    unknown_answers: AnswerCounts | None = None
    """answers of the set that the model cannot give"""


@dataclass(frozen=True, kw_only=True)
class Remarks:
    """What is out of the ordinary about a set's questions, and about the models' answers to them."""

    unanswered: Count = 0
    """questions without an answer"""
    left_out: Count = 0
    """questions about images that are not there"""
    unknown_words: WordCounts = WordCounts()
    unknown_answers: AnswerCounts = AnswerCounts()
    models: Sequence[ModelRemarks]


@dataclass(frozen=True, kw_only=True)
class GroupEstimate(Estimate):
    """The accuracy on one group of a breakdown."""

    label: str


@dataclass(frozen=True, kw_only=True)
class ModelScores(ModelRemarks):
    """A model's scores on a set, overall and for each of `BREAKDOWNS`, and where the answers come from."""

    kind: Annotated[str | None, LEFT_OUT_IF_NONE] = None
    """"checkpoint" or "predictions\""""
    source: Annotated[str | None, LEFT_OUT_IF_NONE] = None
    weights_sha256: Annotated[str | None, LEFT_OUT_IF_NONE] = None
    overall: Estimate
    breakdowns: dict[str, list[GroupEstimate]]
    calibration: Calibration | None = None
    counts: CountConfusion | None = None

    def groups(self, key: str) -> list[GroupEstimate]:
        """The groups of a breakdown, empty if none."""
        return self.breakdowns.get(key, [])


@dataclass(frozen=True, kw_only=True)
class GroupDifference(Difference):
    """How two models differ on one group of questions."""

    label: str


@dataclass(frozen=True, kw_only=True)
class Comparison(Difference):
    """How two models differ, in all and by question type."""

    first: str
    second: str
    by_type: list[GroupDifference] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ModelDifference(Difference):
    """How a model's accuracy changes under a perturbation."""

    name: str


@dataclass(frozen=True, kw_only=True)
class PerturbationEffect:
    """A perturbation of the set `of`, and each model's change of accuracy."""

    name: str
    seed: Count = 0
    of: str
    about: str = ""
    changes: list[ModelDifference]


@dataclass(frozen=True, kw_only=True)
class Programs:
    """How many questions have a program of their own, one read from their wording, or none."""

    stored: Count = 0
    parsed: Count = 0
    none: Count = 0


@dataclass(frozen=True, kw_only=True)
class SetScores(Remarks):
    """All models' scores on one set of questions."""

    name: str
    data: str = ""
    split: str = ""
    questions_file: str | None = None
    images: Annotated[Count, Field(alias="pictures")] = 0
    questions: Count
    programs: Programs = Programs()
    models: Annotated[list[ModelScores], Field(min_length=1)]
    comparisons: list[Comparison] = field(default_factory=list)
    perturbation: Annotated[PerturbationEffect | None, LEFT_OUT_IF_NONE] = None


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What `vqa evaluate --json` writes."""

    format: Literal["vqa-evaluation-1"] = FORMAT
    version: str = version("film-se-vqa")
    command: str | None = None
    intervals: Intervals = Intervals()
    sets: list[SetScores]


@dataclass(frozen=True, kw_only=True)
class AxisPart:
    """Every model's accuracy on one part of an axis."""

    label: str
    set_name: Annotated[str, Field(alias="set")] = ""
    models: list[Estimate]


@dataclass(frozen=True, kw_only=True)
class AxisScores:
    """An axis of the suite, its seen part first; for every model the mean of the unseen parts, and the gap."""

    name: str = ""
    title: str
    about: str = ""
    parts: Annotated[list[AxisPart], Field(min_length=1)]
    unseen: list[Contrast]
    gap: list[Contrast]


@dataclass(frozen=True, kw_only=True)
class SuiteModel:
    """A model of the suite, and what its folder says of its training, None where it says nothing."""

    name: str
    kind: Annotated[str | None, LEFT_OUT_IF_NONE] = None
    source: Annotated[str | None, LEFT_OUT_IF_NONE] = None
    weights_sha256: Annotated[str | None, LEFT_OUT_IF_NONE] = None
    trained_on: str | None = None
    commands: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class CompositionalReport:
    """What `vqa evaluate --suite compositional --json` writes."""

    format: Literal["vqa-compositional-1"] = SUITE_FORMAT
    version: str = version("film-se-vqa")
    command: str | None = None
    intervals: Intervals = Intervals()
    data: str = ""
    split: str = ""
    models: list[SuiteModel]
    axes: list[AxisScores]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Header:
    format: str | None = None


def read_report(text: bytes, source: object) -> EvaluationReport | CompositionalReport:
    """A report from its JSON. Raises InputError that begins with `source` and names the field that is wrong."""
    found = from_json(_Header, text, source).format
    if found == SUITE_FORMAT:
        suite = from_json(CompositionalReport, text, source)
        _check_suite(suite, source)
        return suite
    if found == FORMAT:
        report = from_json(EvaluationReport, text, source)
        _check_sets(report, source)
        return report
    raise InputError(f"{source}: format: {found!r:.40} is not that of a report of `vqa evaluate --json`")


def _check_sets(report: EvaluationReport, source: object) -> None:
    """Raises InputError unless all models of a set have the same groups, and each its change under a perturbation."""
    for i, entry in enumerate(report.sets):
        for key in BREAKDOWNS:
            if len({tuple(group.label for group in model.groups(key)) for model in entry.models}) > 1:
                raise InputError(f"{source}: sets[{i}].models: differ in their groups by {key}")
        if entry.perturbation and len(entry.perturbation.changes) != len(entry.models):
            raise InputError(f"{source}: sets[{i}].perturbation.changes: one is needed for each model")


def _check_suite(report: CompositionalReport, source: object) -> None:
    """Raises InputError unless everything is there for each model."""
    for i, axis in enumerate(report.axes):
        lists = {"unseen": axis.unseen, "gap": axis.gap}
        lists |= {f"parts[{k}].models": part.models for k, part in enumerate(axis.parts)}  # type: ignore[misc]
        for name, values in lists.items():
            if len(values) != len(report.models):
                raise InputError(f"{source}: axes[{i}].{name}: {len(values)} figures for {len(report.models)} models")
