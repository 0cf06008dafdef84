"""The compositional report as one table for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vqa.evaluation.report_text import COLUMN, LABEL, header, row, short

GAP = (
    "the accuracy on an axis's first part less the mean of the others; for a model that was trained on all of them, it "
    "is how much harder the others are"
)
FORMAT = "vqa-compositional-1"
"""What a report of the suite says it is."""


def format_suite(report: Mapping[str, Any]) -> str:
    """Accuracies in percent and gaps in points, with intervals, and what has to be said about them."""
    how, models = report["intervals"], report["models"]
    lines = [
        f"{title(report)}: accuracy in %, in brackets its {how['level']:.0%} interval: "
        f"{how['method']}, {how['samples']:,} resamples, seed {how['seed']}. A gap is {GAP}."
    ]
    for axis in report["axes"]:
        lines += ["", header(axis["title"], models)]
        lines += [row(f"  {part['label']}", part["models"]) for part in axis["parts"]]
        for label, values in summaries(axis):
            lines.append(f"{f'  {label}':{LABEL + 10}}" + "".join(f"{points(value):>{COLUMN}}" for value in values))
    return "\n".join([*lines, "", *remarks(report)])


def title(report: Mapping[str, Any]) -> str:
    """The data, and which of its sets of questions were asked."""
    sets = dict.fromkeys(part["set"] for axis in report["axes"] for part in axis["parts"])
    return ", ".join([report["data"], *sets])


def remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """What each model was trained on, and the report's notes, a line each."""
    for model in report["models"]:
        yield short(f"{model['name']}: trained on {model['trained_on'] or 'what its folder does not say'}", 500)
    for note in report["notes"]:
        yield short(note, 500)


def summaries(axis: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """The rows under an axis's parts: the mean of the unseen ones, where there are several, and the gap."""
    if len(axis["parts"]) > 2:
        yield "mean of the others", axis["unseen"]
    yield "gap, points", axis["gap"]


def points(estimate: Mapping[str, Any]) -> str:
    """An estimate in percent with its interval."""
    value, low, high = (round(100 * estimate[name], 1) + 0.0 for name in ("value", "low", "high"))  # no "-0.0"
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
