"""Markdown tables of the reports in the `results/` folder of a checkpoint, for README and model cards.

Such a folder may also stand alone, for checkpoints that are not shipped: reports name the weights and the training.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.evaluation.report import CompositionalReport, EvaluationReport, ModelScores, SetScores, read_report
from vqa.evaluation.report_text import summaries
from vqa.utils.files import read_limited, write_file
from vqa.utils.markdown import replace_section
from vqa.utils.tables import format_interval, markdown_table

PUBLISHED = {
    "all": 97.6,
    "count": 94.3,
    "exist": 99.3,
    "compare integer": 93.4,
    "query attribute": 99.3,
    "compare attribute": 99.3,
}
"""FiLM from raw pixels on CLEVR v1.0 test, in %: Perez et al. 2018, table 1, last row."""

_COLUMNS = ("all", *QUESTION_TYPES)
_MAX_BYTES = 50_000_000
_MAKE = "make reports with `vqa evaluate --json`"

Report = TypeVar("Report", EvaluationReport, CompositionalReport)


class NoReportsError(InputError):
    """A checkpoint folder has no reports of the kind that is asked for."""


def report_tables(checkpoint: Path) -> str:
    """Markdown: a row for each model and set of `results/` in a checkpoint folder, a column for each question type.

    A table of what perturbations change follows for each report that has any. Under each table stand the commands
    behind it. Raises InputError if there are no reports, or broken ones.
    """
    rows, commands, perturbed = [], [], []
    for path, report in _reports(checkpoint, EvaluationReport):
        if any(entry.perturbation for entry in report.sets):
            perturbed.append(_perturbation_table(_title(path), report))
            continue
        for entry in report.sets:
            title = _title(path) if len(report.sets) == 1 else entry.name
            rows += [_row(title, entry, model) for model in entry.models]
        commands.append(report.command)
    if not rows and not perturbed:
        raise NoReportsError(f"{checkpoint}/results: reports of no sets; {_MAKE}")
    rows.append(["CLEVR v1.0 test", "FiLM as published", "", *(f"{PUBLISHED[name]}" for name in _COLUMNS)])
    header = ["accuracy, %", "model", "questions", *_COLUMNS]
    return "\n\n".join([_with_commands(markdown_table(header, rows, "<"), commands)] * (len(rows) > 1) + perturbed)


def compositional_tables(checkpoint: Path) -> str:
    """Markdown: a table for each report of the compositional suite in `results/`, a column for each of its models.

    Under each stands its command. Raises InputError if there are no such reports, or broken ones.
    """
    return "\n\n".join(_suite_table(_title(path), report) for path, report in _reports(checkpoint, CompositionalReport))


def write_card(checkpoint: Path) -> Path:
    """Write all tables of a checkpoint folder into its model card, README.md, and return its path.

    Raises InputError if there are no reports, broken ones, one that is not about these weights, or no card.
    """
    tables = []
    for make_tables in (report_tables, compositional_tables):
        with suppress(NoReportsError):
            tables.append(make_tables(checkpoint))
    if not tables:
        raise NoReportsError(f"{checkpoint}/results: no reports; {_MAKE}")
    card, weights = checkpoint / "README.md", checkpoint / "model.safetensors"
    try:
        digest, text = hashlib.sha256(weights.read_bytes()).hexdigest(), card.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{checkpoint}: no weights with a model card ({error}); `vqa train` writes both") from error
    for path in _paths(checkpoint):
        if digest not in path.read_text():
            raise InputError(f"{path}: not about the weights beside it; make it again with `vqa evaluate --json`")
    write_file(card, replace_section(text, "\n\n".join(["## Results", *tables])).encode())
    return card


def _reports(checkpoint: Path, kind: type[Report]) -> Iterator[tuple[Path, Report]]:
    """The reports of one kind, by file name. Raises InputError if there is none, or one of any kind is broken."""
    found = 0
    for path in _paths(checkpoint):
        try:
            report = read_report(read_limited(path, _MAX_BYTES, _MAKE), path)
        except InputError as error:
            raise InputError(f"{error}; {_MAKE}") from error
        if report.command is None:
            raise InputError(f"{path}: command: missing, so that nobody can make it again; {_MAKE}")
        if isinstance(report, kind):
            found += 1
            yield path, report
    if not found:
        suite = " --suite compositional" * (kind is CompositionalReport)
        raise NoReportsError(f"{checkpoint}/results: no reports; make them with `vqa evaluate{suite} --json`")


def _paths(checkpoint: Path) -> list[Path]:
    return sorted((checkpoint / "results").glob("*.json"))


def _title(path: Path) -> str:
    return path.stem.replace("_", " ")


def _row(title: str, entry: SetScores, model: ModelScores) -> list[str]:
    """A model's accuracy on a set, of all questions and by type."""
    cells = {"all": format_interval(model.overall)}
    cells |= {group.label: format_interval(group) for group in model.groups("type")}
    return [title, model.name, f"{entry.questions:,}", *(cells.get(name, "") for name in _COLUMNS)]


def _perturbation_table(title: str, report: EvaluationReport) -> str:
    names = [model.name for model in report.sets[0].models]
    header = [title, *(f"{name}: {said}" for name in names for said in ("accuracy, %", "change, points"))]
    several = sum(entry.perturbation is None for entry in report.sets) > 1
    rows = []
    for entry in report.sets:
        effect = entry.perturbation
        of, name = (effect.of, effect.name) if effect else (entry.name, "none")
        changes = map(format_interval, effect.changes) if effect else [""] * len(entry.models)
        pairs = zip((format_interval(model.overall) for model in entry.models), changes, strict=True)
        rows.append([f"{of}, {name}" if several else name, *(cell for pair in pairs for cell in pair)])
    return _with_commands(markdown_table(header, rows, "<"), [report.command])


def _suite_table(title: str, report: CompositionalReport) -> str:
    names = [model.name for model in report.models]
    rows = []
    for axis in report.axes:
        rows.append([f"**{axis.title}**", *[""] * (1 + len(names))])
        for part in axis.parts:
            questions = max((estimate.questions for estimate in part.models), default=0)
            rows.append([part.label, f"{questions:,}", *map(format_interval, part.models)])
        rows += [[label, "", *map(format_interval, values)] for label, values in summaries(axis)]
    return _with_commands(markdown_table([f"{title}: accuracy, %", "questions", *names], rows, "<"), [report.command])


def _with_commands(lines: Iterable[str], commands: Iterable[str | None]) -> str:
    distinct = dict.fromkeys(" ".join((command or "").split()) for command in commands)
    return "\n".join([*lines, "", "```bash", *distinct, "```"])
