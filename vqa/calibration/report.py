"""What calibration found, as tables: for a terminal, and as a section of the model card."""

from collections.abc import Iterator, Mapping
from typing import Any

HEADING = "## Confidence, and what the model does not know"


def format_calibration(report: Mapping[str, Any]) -> str:
    """The report of `vqa calibrate` as Markdown, which a terminal shows as well."""
    return "\n".join(_lines(report))


def card_section(report: Mapping[str, Any]) -> str:
    """The same as a section of a model card, with the command."""
    return f"{HEADING}\n\n{format_calibration(report)}\n\nBy `{report['command']}`."


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    said = f"Logits are divided by a temperature of {report['temperature']:.3f}"
    if fitted := report.get("fitted"):
        likelihood = fitted["likelihood"]
        said += (
            f", fitted on {fitted['questions']:,} questions about the {fitted['pictures']:,} images held out in "
            f"training; negative log-likelihood {likelihood['before']:.4f} before, {likelihood['after']:.4f} after"
        )
    yield f"{said}."
    yield ""
    yield "| questions about | number | right, % | calibration error, % | without temperature, % |"
    yield "|---|---|---|---|---|"
    for entry in report["sets"]:
        errors = (_percent(entry[name]) for name in ("calibration_error", "calibration_error_at_1"))
        yield f"| {entry['name']} | {entry['questions']:,} | {_percent(entry['accuracy'])} | {' | '.join(errors)} |"
    if "foreign" not in report:
        yield "\nThis model has no `domain`: what it does not know goes unnoticed."
        return
    yield ""
    yield "| taken for foreign, % | images | questions | right among the others | right among these |"
    yield "|---|---|---|---|---|"
    for entry in report["sets"]:
        outside, right = entry["outside"], entry["right"]
        cells = [
            _cell(share) for share in (outside["pictures"], outside["questions"], right["inside"], right["outside"])
        ]
        yield f"| {entry['name']} | {' | '.join(cells)} of {right['outside']['of']:,} |"
    yield ""
    yield "| noticed as foreign | number | noticed, % |"
    yield "|---|---|---|"
    for entry in report["foreign"]:
        yield f"| {entry['name']} | {entry['of']} | {_cell(entry)} |"


def _cell(share: Mapping[str, Any]) -> str:
    if share["value"] is None:
        return "-"
    return f"{_percent(share['value'])} [{_percent(share['low'])}, {_percent(share['high'])}]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
