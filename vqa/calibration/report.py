"""What calibration found: its report, and the tables of it for a terminal and for the model card."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vqa.utils.files import read_limited
from vqa.utils.records import LEFT_OUT_IF_NONE, Count, Number, Share, from_json
from vqa.utils.tables import format_interval, format_percent, markdown_table

HEADING = "## Confidence, and what the model does not know"

_MAX_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ShareEstimate:
    """A share of `of` trials with Wilson's interval of 95 %; without a value if there are no trials."""

    value: Share | None
    low: Share
    high: Share
    of: Count


@dataclass(frozen=True, kw_only=True)
class DetectionRate(ShareEstimate):
    """The share of out-of-distribution images or questions that is flagged; `kind` is "pictures" or "questions"."""

    name: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Negative log-likelihood of the held-out answers without and with the temperature."""

    before: Number
    after: Number


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The temperature, and how many held-out images and questions it was fitted on."""

    temperature: Number
    images: Annotated[Count, Field(alias="pictures")]
    questions: Count
    likelihood: Likelihood


@dataclass(frozen=True, kw_only=True)
class FlaggedShares:
    """The false-positive rates: images and questions of a set in distribution that are flagged."""

    images: Annotated[ShareEstimate, Field(alias="pictures")]
    questions: ShareEstimate


@dataclass(frozen=True, kw_only=True)
class SplitAccuracy:
    """The accuracy where neither image nor question is flagged, and where one is."""

    inside: ShareEstimate
    outside: ShareEstimate


@dataclass(frozen=True, kw_only=True)
class SetCalibration:
    """How well confidences match accuracy on a set; the last two fields are None for a model without a detector."""

    name: str
    questions: Count
    accuracy: Share
    calibration_error: Share | None
    calibration_error_at_1: Share | None
    """at a temperature of 1"""
    flagged: Annotated[FlaggedShares | None, LEFT_OUT_IF_NONE, Field(alias="outside")] = None
    accuracies: Annotated[SplitAccuracy | None, LEFT_OUT_IF_NONE, Field(alias="right")] = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What `vqa.calibration.measure.measure` found."""

    temperature: Number
    sets: list[SetCalibration]
    detection: Annotated[list[DetectionRate] | None, LEFT_OUT_IF_NONE, Field(alias="foreign")] = None


@dataclass(frozen=True, kw_only=True)
class CalibrationReport(Measurement):
    """What `vqa calibrate --json` writes; `fitted` is None if the checkpoint was only measured."""

    format: Literal["vqa-calibration-1"] = "vqa-calibration-1"
    command: str
    weights_sha256: str
    fitted: Annotated[Fitted | None, LEFT_OUT_IF_NONE] = None


def read_calibration(path: Path) -> CalibrationReport:
    """The report in a file. Raises FileNotFoundError, and InputError that names the field that is wrong."""
    return from_json(CalibrationReport, read_limited(path, _MAX_BYTES, "make it with `vqa calibrate`"), path)


def format_calibration(report: CalibrationReport) -> str:
    """The report as Markdown, which reads well in a terminal too."""
    return "\n".join(_lines(report))


def card_section(report: CalibrationReport) -> str:
    """The report as a section of a model card, with the command."""
    return f"{HEADING}\n\n{format_calibration(report)}\n\nBy `{report.command}`."


def _lines(report: CalibrationReport) -> Iterator[str]:
    said = f"Logits are divided by a temperature of {report.temperature:.3f}"
    if fitted := report.fitted:
        said += (
            f", fitted on {fitted.questions:,} questions about the {fitted.images:,} images held out in training; "
            f"negative log-likelihood {fitted.likelihood.before:.4f} before, {fitted.likelihood.after:.4f} after"
        )
    yield from (f"{said}.", "")
    header = ["questions about", "number", "accuracy, %", "calibration error, %", "without temperature, %"]
    yield from markdown_table(
        header,
        [
            [
                entry.name,
                f"{entry.questions:,}",
                *map(format_percent, (entry.accuracy, entry.calibration_error, entry.calibration_error_at_1)),
            ]
            for entry in report.sets
        ],
        "<",
    )
    if report.detection is None:
        yield "\nThis model has no `domain`: what it does not know goes unnoticed."
        return
    yield ""
    header = ["false-positive rate, %", "images", "questions", "accuracy on the others", "accuracy on these"]
    yield from markdown_table(header, [_false_positives(entry) for entry in report.sets], "<")
    yield ""
    rows = [[entry.name, f"{entry.of}", _share(entry)] for entry in report.detection]
    yield from markdown_table(["out of distribution", "number", "detection rate, %"], rows, "<")


def _false_positives(entry: SetCalibration) -> list[str]:
    if entry.flagged is None or entry.accuracies is None:
        return [entry.name, "-", "-", "-", "-"]
    inside, outside = entry.accuracies.inside, entry.accuracies.outside
    shares = (entry.flagged.images, entry.flagged.questions, inside, outside)
    *cells, last = map(_share, shares)
    return [entry.name, *cells, f"{last} of {outside.of:,}"]


def _share(share: ShareEstimate) -> str:
    if share.value is None:
        return "-"
    return format_interval({"value": share.value, "low": share.low, "high": share.high})
