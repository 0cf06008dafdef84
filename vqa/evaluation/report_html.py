"""Reports as one HTML page that needs nothing else: tables with intervals drawn beside them, and plots.

The pages are templates/*.html. Autoescape makes text of every name that comes from a file.
"""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from vqa.evaluation import plots
from vqa.evaluation.breakdowns import BREAKDOWNS
from vqa.evaluation.metrics import Estimate
from vqa.evaluation.report import (
    AxisScores,
    CompositionalReport,
    EvaluationReport,
    GroupEstimate,
    ModelScores,
    SetScores,
)
from vqa.evaluation.report_text import GAP, coverage, notes, suite_notes, summaries, title
from vqa.utils.tables import format_bounds, format_interval


def html_report(report: EvaluationReport) -> str:
    """The page of `vqa evaluate --html`."""
    names = ", ".join(entry.name for entry in report.sets)
    return _ENVIRONMENT.get_template("evaluation.html").render(report=report, title=f"Evaluation on {names}")


def html_suite(report: CompositionalReport) -> str:
    """The page of `vqa evaluate --suite compositional --html`."""
    heading = f"New compositions: {title(report)}"
    return _ENVIRONMENT.get_template("compositional.html").render(report=report, title=heading)


Columns = Sequence[Sequence[Estimate]]
"""For each model its estimates, a row of the table each."""


def _groups(entry: SetScores, key: str) -> list[list[GroupEstimate]]:
    return [model.groups(key) for model in entry.models]


def _with_overall(entry: SetScores) -> tuple[list[str], Columns]:
    """The labels and columns of the first table: all questions, then each type."""
    labels = [group.label for group in entry.models[0].groups("type")]
    return ["all", *labels], [[model.overall, *model.groups("type")] for model in entry.models]


def _parts(axis: AxisScores) -> tuple[list[str], Columns]:
    columns = zip(*(part.models for part in axis.parts), strict=True)
    return [part.label for part in axis.parts], [list(column) for column in columns]


def _calibration_note(models: Sequence[ModelScores]) -> str:
    errors = (f"{m.name} {100 * m.calibration.error:.1f} %" for m in models if m.calibration)
    return f"expected calibration error: {', '.join(errors)}"


_ENVIRONMENT = Environment(
    loader=PackageLoader("vqa.evaluation"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_ENVIRONMENT.filters |= {"thousands": "{:,}".format, "interval": format_interval}
_ENVIRONMENT.globals |= {
    "plots": plots,
    "bounds": format_bounds,
    "breakdowns": BREAKDOWNS,
    "gap": GAP,
    "notes": notes,
    "suite_notes": suite_notes,
    "summaries": summaries,
    "coverage": coverage,
    "groups": _groups,
    "with_overall": _with_overall,
    "parts": _parts,
    "calibration_note": _calibration_note,
}
