"""The tab "Results": how right the models are, from the reports that lie beside them."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import QUICK, AppContext, html
from app.views.answer import hint_card, message_card
from app.views.render import render
from vqa.errors import InputError
from vqa.evaluation import plots
from vqa.evaluation.metrics import Estimate
from vqa.evaluation.report import CompositionalReport, EvaluationReport
from vqa.evaluation.report import read_report as read_scores
from vqa.evaluation.report_html import html_report, html_suite
from vqa.explain.faithfulness_report import FaithfulnessReport, format_faithfulness, plot_faithfulness
from vqa.utils.files import read_object
from vqa.utils.records import from_json

MAX_BYTES = 5_000_000
MAX_FILES = 100

_MAKE = "Make one with `vqa evaluate --data DIR --json FILE`, or give another folder with `vqa app --results DIR`."
_HOSTILE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)
"""What a broken report of `vqa explain faithfulness` can make its readers raise."""


def build_tab(context: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    reports = find_reports(context.results)
    names = list(reports)
    shown = html(overview(reports), elem_id="results-overview")
    if not names:
        return
    choice = gr.Dropdown(names, value=names[0], label="Report", elem_id="results-choice")
    report = html(elem_id="results-report")

    def on_choose(name: Any) -> str:
        if name not in reports:
            return message_card(f"report: {name!r:.60} is not on the list")
        return report_frame(reports[name])

    tab.select(lambda: overview(reports), outputs=shown, **QUICK)
    gr.on([tab.select, choice.input], on_choose, choice, report, **QUICK)


def find_reports(folders: Iterable[Path]) -> dict[str, Path]:
    """The JSON files in these folders, by a name for each; at most `MAX_FILES`."""
    found: dict[str, Path] = {}
    for folder in folders:
        owner = folder.resolve().parent.name if folder.name == "results" else folder.resolve().name
        for path in sorted(folder.glob("*.json")):
            if len(found) < MAX_FILES:
                found[f"{owner}: {path.stem}"] = path
    return found


def read_report(path: Path) -> EvaluationReport | CompositionalReport | FaithfulnessReport:
    """A report of `vqa evaluate`, or of `vqa explain faithfulness`. Raises InputError for any other file."""
    try:
        made = read_object(path, MAX_BYTES, "make it again")
        if {"removal", "gates", "pointing"} <= set(made):
            return from_json(FaithfulnessReport, path.read_bytes(), path.name)
        return read_scores(path.read_bytes(), path.name)
    except FileNotFoundError as error:
        raise InputError(f"{path.name}: is gone; choose another") from error
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error  # visitors need not know the folder


def report_frame(path: Path) -> str:
    """A report as a page within the page, where no script runs whatever the file says; or what is wrong with it."""
    try:
        return render("report", name=path.stem, page=_page(read_report(path)))
    except InputError as error:
        return message_card(str(error))
    except _HOSTILE as error:
        return message_card(f"{path.name}: damaged: {type(error).__name__}: {str(error)[:120]}; make it again")


def overview(reports: Mapping[str, Path]) -> str:
    """All evaluation reports in one table: overall accuracy, with its interval in numbers and drawn."""
    if not reports:
        return hint_card(f"There are no reports. {_MAKE}")
    rows: dict[tuple[str, str, Estimate], None] = {}
    notes = []
    for path in reports.values():
        try:
            report = read_report(path)
        except InputError as error:
            notes.append(str(error))
            continue
        if isinstance(report, EvaluationReport):
            rows |= {(s.name, model.name, model.overall): None for s in report.sets for model in s.models}
    start = plots.start([[overall for *_, overall in rows]])
    drawn = [(*row, plots.intervals([row[-1]], start)) for row in rows]
    return render("overview", notes=notes, rows=drawn, axis=plots.axis(start), make=_MAKE)


def _page(report: EvaluationReport | CompositionalReport | FaithfulnessReport) -> str:
    if isinstance(report, EvaluationReport):
        return html_report(report)
    if isinstance(report, CompositionalReport):
        return html_suite(report)
    plot = base64.b64encode(plot_faithfulness(report)).decode()
    return render("faithfulness_page", plot=plot, text=format_faithfulness(report))
