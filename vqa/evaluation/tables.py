"""README's tables, made from the reports that lie in the `results/` folder of a checkpoint.

Such a folder may also stand alone, for checkpoints that are not shipped: reports name the weights and the training.
"""

import json
from collections.abc import Iterable, Iterator
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

_COLUMNS = ("all", *QUESTION_TYPES)


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
                plain += [_line(_title(path), entry, model) for entry in found["sets"] for model in entry["models"]]
                commands.append(found["command"])
        except (KeyError, TypeError, IndexError) as error:
            raise _broken(path, error) from error
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
        except (KeyError, TypeError, IndexError) as error:
            raise _broken(path, error) from error
    return "\n\n".join(tables)


def write_card(checkpoint: Path) -> Path:
    """Write all tables of a checkpoint folder into its model card, README.md, and return its path.

    Raises InputError where there are no reports, broken ones, or no card.
    """
    card = checkpoint / "README.md"
    tables = []
    for table in (report_tables, compositional_tables):
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
    yield _row([f"{title}: accuracy, %", "questions", *names])
    yield _row(["---"] * (2 + len(names)))
    for axis in found["axes"]:
        yield _row([f"**{axis['title']}**", *[""] * (1 + len(names))])
        for part in axis["parts"]:
            rows = part["models"]
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


def _line(title: str, entry: dict[str, Any], model: dict[str, Any]) -> str:
    """A model's accuracy on a set, of all questions and by type."""
    cells = {"all": points(model["overall"])} | {row["label"]: points(row) for row in model["breakdowns"]["type"]}
    return _row([title, model["name"], f"{entry['questions']:,}", *(cells.get(name, "") for name in _COLUMNS)])


def _perturbed_lines(title: str, found: dict[str, Any]) -> Iterator[str]:
    names = [model["name"] for model in found["sets"][0]["models"]]
    yield _row([f"{title}: perturbed", *(f"{name}: {said}" for name in names for said in ("accuracy, %", "change"))])
    yield _row(["---"] * (1 + 2 * len(names)))
    for entry in found["sets"]:
        if "perturbation" in entry:
            change = entry["perturbation"]
            pairs = zip(entry["models"], change["changes"], strict=True)
            cells = [points(each) for model, by in pairs for each in (model["overall"], by)]
            yield _row([f"`{change['name']}`", *cells])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(lines: Iterable[str], commands: Iterable[str]) -> str:
    return "\n".join([*lines, "", "```bash", *dict.fromkeys(commands), "```"])
