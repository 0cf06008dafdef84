"""README's accuracy table, made from the evaluation reports that lie beside a checkpoint."""

import json
from pathlib import Path
from typing import Any

from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError

PUBLISHED = {
    "all": 97.6,
    "count": 94.3,
    "exist": 99.3,
    "compare integer": 93.4,
    "query attribute": 99.3,
    "compare attribute": 99.3,
}
"""FiLM from raw pixels on CLEVR v1.0 test, in %: Perez et al. 2018, table 1, last row."""


def report_table(checkpoint: Path) -> str:
    """Markdown: a row for each question type, a column for each report in `results/` of a checkpoint folder.

    Under the table stands the command behind each column. Raises InputError where there are no reports, or broken ones.
    """
    paths = sorted((checkpoint / "results").glob("*.json"))
    if not paths:
        raise InputError(f"{checkpoint}/results: no reports; make them with `vqa evaluate --json`")
    columns: list[tuple[str, dict[str, str], str]] = []
    for path in paths:
        try:
            report = json.loads(path.read_text())
            for entry in report["sets"]:
                columns.append((_title(path, entry), _cells(entry["models"][0]), report["command"]))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(f"{path}: not a report of `vqa evaluate --json` ({error!r})") from error
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


def _title(path: Path, entry: dict[str, Any]) -> str:
    return f"{path.stem.replace('_', ' ')}, {entry['questions']:,} questions"


def _cells(model: dict[str, Any]) -> dict[str, str]:
    rows = [("all", model["overall"]), *((row["label"], row) for row in model["breakdowns"]["type"])]
    return {name: f"{100 * row['value']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" for name, row in rows}
