"""An ablation from its variants to its report, in one folder: cells, ablation.json, .md, .txt and .png."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqa.ablation.cells import make_cells, run_cells
from vqa.ablation.report import format_report, make_report, plot_curves
from vqa.ablation.results import AblationReport
from vqa.ablation.variants import Variant
from vqa.clevr.dataset.loading import open_data
from vqa.errors import InputError
from vqa.evaluation.breakdowns import read_table
from vqa.evaluation.evaluate import EvaluationSet, check_writable
from vqa.utils.files import write_file, write_json
from vqa.utils.records import to_json

MEASUREMENTS = 30
"""Measurements of held-out accuracy in each cell, unless given."""


def ablate(
    variants: Sequence[Variant], output: Path, test: EvaluationSet, command: str, **options: Any
) -> tuple[AblationReport, list[str]]:
    """Train and test all variants; returns the report (see `vqa.ablation.report`) and the names of cells that failed.

    Args:
        options: those of `TrainingOptions` that all variants share; `data` and `training_questions`, the budget, are
            needed.

    The report's files are written again after every finished cell. Raises InputError for options out of range, for data
    that cannot be opened, where the disk refuses, and where the first cell fails.
    """
    budget = options["training_questions"]
    if budget < 1:
        raise InputError(f"--training-questions {budget}: must be at least 1")
    options = options | {name: _absolute(options.get(name)) for name in ("data", "questions")}
    if options.get("evaluate_every") is None:
        options["evaluate_every"] = max(1, budget // MEASUREMENTS)
    cells = make_cells(variants, output.resolve(), **options)
    test = EvaluationSet(str(_absolute(test.data)), test.split, _absolute(test.questions))
    table = read_table(open_data(test.data, test.split, questions=test.questions))
    check_writable(output / "ablation.json")

    def write() -> AblationReport:
        report = make_report(cells, test, table, budget, command)
        write_json(output / "ablation.json", to_json(report))
        write_file(output / "ablation.txt", f"{format_report(report)}\n".encode())
        tables = f"{format_report(report, markdown=True)}\n\n```bash\n{command}\n```\n"
        write_file(output / "ablation.md", tables.encode())
        plot_curves(report, output / "ablation.png")
        return report

    failed = run_cells(cells, test, command, on_finished=write)
    return write(), [cell.name for cell in failed]


def _absolute(place: str | None) -> str | None:
    """A path that means the same from everywhere; a hub name stays as it is."""
    return str(Path(place).resolve()) if place is not None and Path(place).exists() else place
