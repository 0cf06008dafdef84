"""README's tables, made from the reports that lie in the `results/` folder of a checkpoint.

Such a folder may also stand alone, for checkpoints that are not shipped: reports name the weights and the training.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from vqa.clevr.files import atomic_write
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.evaluation import report, suite_text
from vqa.evaluation.suite_text import points, summaries
from vqa.markdown import replace_section

PUBLISHED = {
    "all": 97.6,
    "count": 94.3,
    "exist": 99.3,
    "compare integer": 93.4,
    "query attribute": 99.3,
    "compare attribute": 99.3,
}
"""FiLM from raw pixels on CLEVR v1.0 test, in %: Perez et al. 2018, table 1, last row."""


class NoReportsError(InputError):
    """A checkpoint folder has no reports of the kind that is asked for."""


def report_table(checkpoint: Path) -> str:
    """Markdown: a row for each question type, a column for each model of each set in `results/` of a checkpoint folder.

    Under the table stand the commands behind the columns. Raises InputError where there are no reports, or broken ones.
    """
    columns: list[tuple[str, dict[str, str], str]] = []
    for path, found in _reports(checkpoint, report.FORMAT, "vqa evaluate --json"):
        try:
            for entry in found["sets"]:
                title = f"{_title(path)}, {entry['questions']:,} questions"
                for model in entry["models"]:
                    named = f"{model['name']}: {title}" if len(entry["models"]) > 1 else title
                    columns.append((named, _cells(model), found["command"]))
        except (KeyError, TypeError, IndexError) as error:
            raise _broken(path, error) from error
    titles = [title for title, _, _ in columns]
    lines = [
        f"| accuracy, % | {' | '.join(titles)} | FiLM as published, CLEVR v1.0 |",
        f"|---|{'---|' * (len(columns) + 1)}",
    ]
    for name in ("all", *QUESTION_TYPES):
        cells = [cell.get(name, "") for _, cell, _ in columns]
        lines.append(f"| {name} | {' | '.join(cells)} | {PUBLISHED[name]} |")
    commands = dict.fromkeys(command for _, _, command in columns)
    return "\n".join([*lines, "", "```bash", *commands, "```"])


def compositional_tables(checkpoint: Path) -> str:
    """Markdown: for each report of the compositional suite in `results/` a table, a column for each of its models.

    Under each stands its command. Raises InputError where there are no such reports, or broken ones.
    """
    tables = []
    for path, found in _reports(checkpoint, suite_text.FORMAT, "vqa evaluate --suite compositional --json"):
        try:
            tables.append("\n".join([*_suite_lines(_title(path), found), "", "```bash", found["command"], "```"]))
        except (KeyError, TypeError, IndexError) as error:
            raise _broken(path, error) from error
    return "\n\n".join(tables)


def write_card(checkpoint: Path) -> Path:
    """Write all tables of a checkpoint folder into its model card, README.md, and return its path.

    Raises InputError where there are no reports, broken ones, or no card.
    """
    card = checkpoint / "README.md"
    tables = []
    for table in (report_table, compositional_tables):
        with suppress(NoReportsError):
            tables.append(table(checkpoint))
    if not tables:
        raise NoReportsError(f"{checkpoint}/results: no reports; make them with `vqa evaluate --json`")
    try:
        text = replace_section(card.read_text(), "\n\n".join(["## Results", *tables]))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{card}: no model card ({error}); `vqa train` writes one") from error
    with atomic_write(card) as file:
        file.write(text.encode())
    return card


def _suite_lines(title: str, found: dict[str, Any]) -> Iterator[str]:
    names = [model["name"] for model in found["models"]]
    yield f"| {title}: accuracy, % | questions | {' | '.join(names)} |"
    yield f"|---|---|{'---|' * len(names)}"
    for axis in found["axes"]:
        yield f"| **{axis['title']}** | |{' |' * len(names)}"
        for part in axis["parts"]:
            rows = part["models"]
            yield f"| {part['label']} | {rows[0]['questions']:,} | {' | '.join(map(points, rows))} |"
        for label, values in summaries(axis):
            yield f"| {label} | | {' | '.join(map(points, values))} |"


def _reports(checkpoint: Path, kind: str, command: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The reports of one format, by file name. Raises InputError where there is none, or a file is no report at all."""
    found = 0
    for path in sorted((checkpoint / "results").glob("*.json")):
        try:
            made = json.loads(path.read_text())
            fits = made["format"] == kind
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _broken(path, error) from error
        if fits:
            found += 1
            yield path, made
    if not found:
        raise NoReportsError(f"{checkpoint}/results: no reports; make them with `{command}`")


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: not a report of `vqa evaluate --json` ({error!r})")


def _title(path: Path) -> str:
    return path.stem.replace("_", " ")


def _cells(model: dict[str, Any]) -> dict[str, str]:
    rows = [("all", model["overall"]), *((row["label"], row) for row in model["breakdowns"]["type"])]
    return {name: points(row) for name, row in rows}
