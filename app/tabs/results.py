"""The tab "Results": how right the models are, from the reports that lie beside them."""

import base64
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import PRIVATE, AppContext
from app.views.answer import message_card
from vqa.errors import InputError
from vqa.evaluation import plots
from vqa.evaluation.report_html import html_report, html_suite
from vqa.explain.drawing import escape
from vqa.explain.faithfulness_report import format_faithfulness, plot_faithfulness
from vqa.utils.files import read_object

MAX_BYTES = 5_000_000
MAX_FILES = 100

_MAKE = "Make one with `vqa evaluate --data DIR --json FILE`, or give another folder with `vqa app --results DIR`."
_HOSTILE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)
"""What a report that is none can make the readers raise."""


def build_tab(site: AppContext, tab: gr.Tab) -> None:
    """Lay the tab out and listen."""
    reports = find_reports(site.results)
    names = list(reports)
    shown = gr.HTML(overview(reports), elem_id="results-overview", apply_default_css=False)
    if not names:
        return
    choice = gr.Dropdown(names, value=names[0], label="Report", elem_id="results-choice")
    report = gr.HTML("", elem_id="results-report", apply_default_css=False)

    def on_choose(name: Any) -> str:
        if name not in reports:
            return message_card(f"report: {name!r:.60} is not on the list")
        return report_frame(reports[name])

    tab.select(lambda: overview(reports), outputs=shown, queue=False, **PRIVATE)
    gr.on([tab.select, choice.input], on_choose, choice, report, queue=False, **PRIVATE)


def find_reports(folders: Iterable[Path]) -> dict[str, Path]:
    """The JSON files in these folders, by a name for each; at most `MAX_FILES`."""
    found: dict[str, Path] = {}
    for folder in folders:
        owner = folder.resolve().parent.name if folder.name == "results" else folder.resolve().name
        for path in sorted(folder.glob("*.json")):
            if len(found) < MAX_FILES:
                found[f"{owner}: {path.stem}"] = path
    return found


def read_report(path: Path) -> tuple[str, dict[str, Any]]:
    """A report and its kind: "evaluation", "compositional" or "faithfulness". Raises InputError for any other file."""
    try:
        made = read_object(path, MAX_BYTES, "make it again")
    except FileNotFoundError as error:
        raise InputError(f"{path.name}: is gone; choose another") from error
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error  # visitors need not know the folder
    for kind, (fits, _) in _KINDS.items():
        if fits(made):
            return kind, made
    raise InputError(f"{path.name}: not a report of `vqa evaluate --json` or `vqa explain faithfulness --json`")


def report_frame(path: Path) -> str:
    """A report as a page within the page, where no script runs whatever the file says; or what is wrong with it."""
    try:
        kind, made = read_report(path)
        try:
            page = _KINDS[kind][1](made)
        except _HOSTILE as error:
            raise InputError(
                f"{path.name}: damaged: {type(error).__name__}: {str(error)[:120]}; make it again"
            ) from error
    except InputError as error:
        return message_card(str(error))
    return f'<iframe class="report" sandbox title="Report {escape(path.stem)}" srcdoc="{escape(page)}"></iframe>'


def overview(reports: dict[str, Path]) -> str:
    """All evaluation reports in one table: overall accuracy, with its interval in numbers and drawn."""
    rows: dict[str, dict[str, float]] = {}
    notes = []
    for path in reports.values():
        try:
            kind, made = read_report(path)
            if kind == "evaluation":
                rows |= [_row(entry, model) for entry in made["sets"] for model in entry["models"]]
        except InputError as error:
            notes.append(str(error))
        except _HOSTILE:
            notes.append(f"{path.name}: damaged; make it again")
    if not reports:
        return f'<div class="card hint">There are no reports. {escape(_MAKE)}</div>'
    said = "".join(f'<p class="warning">{escape(note)}</p>' for note in notes)
    if not rows:
        return f'<section class="card">{said}<p>No evaluation report among them. {escape(_MAKE)}</p></section>'
    start = plots.start([[*rows.values()]])
    lines = "".join(f"<tr>{cells}<td>{plots.intervals([drawn], start)}</td></tr>" for cells, drawn in rows.items())
    return (
        '<section class="card"><h2>Accuracy on all questions of each set</h2>'
        f'{said}<div class="wide"><table class="numbers"><tr><th>set</th><th>model</th>'
        f"<th>questions</th><th>right, %</th><th>{plots.axis(start)}</th></tr>{lines}</table></div>"
        '<p class="about">In brackets, and drawn as a line, is where the accuracy lies with 95 % confidence, as other '
        "pictures of the kind might have been drawn.</p></section>"
    )


def _row(entry: dict[str, Any], model: dict[str, Any]) -> tuple[str, dict[str, float]]:
    estimate = model["overall"]
    drawn = {key: float(estimate[key]) for key in ("value", "low", "high")}
    if not all(0 <= value <= 1 for value in drawn.values()):
        raise ValueError("an accuracy is beyond 0 to 1")
    numbers = f"{100 * drawn['value']:.1f} [{100 * drawn['low']:.1f}, {100 * drawn['high']:.1f}]"
    cells = "".join(f"<td>{escape(str(cell)[:80])}</td>" for cell in (entry["name"], model["name"]))
    count = int(entry["questions"])
    return f"{cells}<td>{count:,}</td><td>{numbers}</td>", drawn | {"pictures": int(entry["pictures"])}


def _faithfulness_page(made: dict[str, Any]) -> str:
    plot = base64.b64encode(plot_faithfulness(made)).decode()
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Faithfulness</title>'
        '<body style="font: 15px system-ui, sans-serif; margin: 16px"><h1 style="font-size: 22px">Do the channels that '
        "weigh most matter most?</h1>"
        f'<img style="max-width: 100%" alt="Accuracy as channels are removed" src="data:image/png;base64,{plot}">'
        f'<pre style="overflow-x: auto">{escape(format_faithfulness(made))}</pre></body></html>'
    )


_KINDS: dict[str, tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], str]]] = {
    "evaluation": (lambda made: made.get("format") == "vqa-evaluation-1", html_report),
    "compositional": (lambda made: made.get("format") == "vqa-compositional-1", html_suite),
    "faithfulness": (lambda made: {"removal", "gates", "pointing"} <= set(made), _faithfulness_page),
}
