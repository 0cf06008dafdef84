"""README's tables, made from the reports that lie in the `results/` folder of a checkpoint.

Such a folder may also stand alone, for checkpoints that are not shipped: reports name the weights and the training.
"""

import hashlib
import html
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.evaluation import report
from vqa.evaluation import report_text as suite_text
from vqa.evaluation.report_text import points, summaries
from vqa.utils.files import atomic_write
from vqa.utils.markdown import replace_section

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
_BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError)
"""What files that are no reports raise."""


class NoReportsError(InputError):
    """A checkpoint folder has no reports of the kind that is asked for."""


def report_tables(checkpoint: Path) -> str:
    """Markdown: for each model and set in `results/` of a checkpoint folder a row, for each question type a column.

    A table of what perturbations change follows for each report that has any. Under each table stand the commands
    behind it. Raises InputError where there are no reports, or broken ones.
    """
    plain, commands, perturbed = [], [], []
    for path, found in _reports(checkpoint, report.FORMAT, "vqa evaluate --json"):
        try:
            if any("perturbation" in entry for entry in found["sets"]):
                perturbed.append(_table(_perturbed_lines(_title(path), found), [found["command"]]))
            else:
                for entry in found["sets"]:
                    title = _title(path) if len(found["sets"]) == 1 else entry["name"]
                    plain += [_line(title, entry, model) for model in entry["models"]]
                commands.append(found["command"])
        except _BROKEN as error:
            raise _broken(path, error) from error
    if not plain and not perturbed:
        raise NoReportsError(f"{checkpoint}/results: reports of no sets; make them with `vqa evaluate --json`")
    published = ["CLEVR v1.0 test", "FiLM as published", "", *(f"{PUBLISHED[name]}" for name in _COLUMNS)]
    head = ["accuracy, %", "model", "questions", *_COLUMNS]
    tables = [_table([_row(head), _row(["---"] * len(head)), *plain, _row(published)], commands)] if plain else []
    return "\n\n".join(tables + perturbed)


def compositional_tables(checkpoint: Path) -> str:
    """Markdown: for each report of the compositional suite in `results/` a table, a column for each of its models.

    Under each stands its command. Raises InputError where there are no such reports, or broken ones.
    """
    tables = []
    for path, found in _reports(checkpoint, suite_text.FORMAT, "vqa evaluate --suite compositional --json"):
        try:
            tables.append(_table(_suite_lines(_title(path), found), [found["command"]]))
        except _BROKEN as error:
            raise _broken(path, error) from error
    return "\n\n".join(tables)


def write_card(checkpoint: Path) -> Path:
    """Write all tables of a checkpoint folder into its model card, README.md, and return its path.

    Raises InputError where there are no reports, broken ones, none about these weights, or no card.
    """
    tables = []
    for table in (report_tables, compositional_tables):
        with suppress(NoReportsError):
            tables.append(table(checkpoint))
    if not tables:
        raise NoReportsError(f"{checkpoint}/results: no reports; make them with `vqa evaluate --json`")
    card, weights = checkpoint / "README.md", checkpoint / "model.safetensors"
    try:
        on_progress, text = hashlib.sha256(weights.read_bytes()).hexdigest(), card.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{checkpoint}: no weights with a model card ({error}); `vqa train` writes both") from error
    for path in sorted((checkpoint / "results").glob("*.json")):
        if on_progress not in path.read_text():
            raise InputError(f"{path}: not about the weights beside it; make it again with `vqa evaluate --json`")
    with atomic_write(card) as file:
        file.write(replace_section(text, "\n\n".join(["## Results", *tables])).encode())
    return card


def _suite_lines(title: str, found: dict[str, Any]) -> Iterator[str]:
    names = [model["name"] for model in found["models"]]
    yield _row([f"{title}: accuracy, %", "questions", *names])
    yield _row(["---"] * (2 + len(names)))
    for axis in found["axes"]:
        yield _row([f"**{axis['title']}**", *[""] * (1 + len(names))])
        for part in axis["parts"]:
            rows = part["models"]
            if len(rows) != len(names):
                raise ValueError(f"{len(rows)} figures for {len(names)} models")
            yield _row([part["label"], f"{rows[0]['questions']:,}", *map(points, rows)])
        for label, values in summaries(axis):
            yield _row([label, "", *map(points, values)])


def _reports(checkpoint: Path, kind: str, command: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The reports of one format, by file name. Raises InputError where there is none, or a file is no report at all."""
    found = 0
    for path in sorted((checkpoint / "results").glob("*.json")):
        try:
            made = json.loads(path.read_text())
            fits = made["format"] == kind
            made["command"].split()
            json.dumps(made, ensure_ascii=False, allow_nan=False).encode()
        except (OSError, *_BROKEN) as error:
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


def _line(title: str, entry: dict[str, Any], model: dict[str, Any]) -> str:
    """A model's accuracy on a set, of all questions and by type."""
    cells = {"all": points(model["overall"])} | {row["label"]: points(row) for row in model["breakdowns"]["type"]}
    return _row([title, model["name"], f"{entry['questions']:,}", *(cells.get(name, "") for name in _COLUMNS)])


def _perturbed_lines(title: str, found: dict[str, Any]) -> Iterator[str]:
    names = [model["name"] for model in found["sets"][0]["models"]]
    yield _row([title, *(f"{name}: {said}" for name in names for said in ("accuracy, %", "change, points"))])
    yield _row(["---"] * (1 + 2 * len(names)))
    several = sum("perturbation" not in entry for entry in found["sets"]) > 1
    for entry in found["sets"]:
        change = entry.get("perturbation", {"name": "none", "of": entry["name"], "changes": [None] * len(names)})
        pairs = zip(entry["models"], change["changes"], strict=True)
        cells = [points(each) if each else "" for model, by in pairs for each in (model["overall"], by)]
        yield _row([f"{change['of']}, {change['name']}" if several else change["name"], *cells])


def _row(cells: Iterable[str]) -> str:
    return (
        f"| {' | '.join(html.escape(' '.join(cell.split()), quote=False).replace('|', '&#124;') for cell in cells)} |"
    )


def _table(lines: Iterable[str], commands: Iterable[str]) -> str:
    return "\n".join([*lines, "", "```bash", *(" ".join(each.split()) for each in dict.fromkeys(commands)), "```"])
