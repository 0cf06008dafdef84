"""The report as one HTML page that needs nothing else: tables with intervals drawn beside them, and plots."""

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vqa.evaluation import plots
from vqa.evaluation.breakdowns import BREAKDOWNS
from vqa.evaluation.report_text import GAP, coverage, notes, points, remarks, summaries, title

_CURVES = ("length", "objects")
_OPEN_ROWS = 12
_WIDE_MODELS = 3
"""With more of them intervals stand under their values, so that what is drawn beside them fits the page."""

_STYLE = """
:root { color-scheme: light; --line: #d8dade; --soft: #5b6470; }
body { font: 15px/1.45 system-ui, sans-serif; color: #16191d; margin: 0 auto; padding: 24px 16px; max-width: 1100px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 21px; margin: 40px 0 4px; border-top: 2px solid; padding-top: 12px; }
h3, summary { font-size: 16px; font-weight: 600; margin: 24px 0 6px; } summary { cursor: pointer; }
p { margin: 4px 0; } .soft, figcaption { color: var(--soft); } .notes { color: #8a4b00; }
pre { background: #f3f4f5; padding: 8px 12px; white-space: pre-wrap; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 12px 3px 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; } th { font-weight: 600; }
th:first-child { min-width: 150px; } th svg { font-weight: 400; display: block; }
td small { color: var(--soft); } .many td small { display: block; } .many th { white-space: normal; }
td svg { display: block; } .key { display: inline-block; width: 11px; height: 11px; }
.key { border-radius: 50%; margin-right: 5px; }
.counts td, .counts th { padding: 3px 7px; text-align: center !important; min-width: 0 !important; }
.figures { display: flex; flex-wrap: wrap; gap: 16px; } figure { margin: 8px 0; } figure img { max-width: 100%; }
"""


def html_report(report: Mapping[str, Any]) -> str:
    """The page. Names from files stand in it as text only."""
    names = ", ".join(entry["name"] for entry in report["sets"])
    parts = (part for entry in report["sets"] for part in _set(entry))
    return page(f"Evaluation on {names}", report, parts)


def page(title: str, report: Mapping[str, Any], parts: Iterable[str]) -> str:
    """A page that needs nothing else: what a report is about and how it was made, then its `parts`, HTML."""
    how = report["intervals"]
    head = [
        f"<h1>{text(title)}</h1>",
        f'<p class="soft">Accuracy in %, with {how["level"]:.0%} intervals: {text(how["method"])}, '
        f"{how['samples']:,} resamples, seed {text(str(how['seed']))}. film-se-vqa {text(report['version'])}.</p>",
        f"<pre>{text(report['command'])}</pre>" if report["command"] else "",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>{chr(10).join(filter(None, [*head, *parts]))}</body></html>\n"
    )


def _set(entry: Mapping[str, Any]) -> Iterator[str]:
    models = entry["models"]
    yield f"<h2>{text(entry['name'])}</h2>"
    yield f'<p class="soft">{entry["pictures"]:,} images, {entry["questions"]:,} questions</p>'
    yield "".join(f'<p class="notes">{text(note)}.</p>' for note in notes(entry))
    by_type = [model["breakdowns"]["type"] for model in models]
    overall = [[{"label": "all", **model["overall"]}] for model in models]
    yield accuracy_table(
        models, [one + rows for one, rows in zip(overall, by_type, strict=True)], coverage(entry, "type")
    )
    if entry["comparisons"]:
        yield "<h3>Models compared on the same questions</h3>" + _comparisons(entry["comparisons"])
    yield '<div class="figures">'
    for key in _CURVES:
        if any(model["breakdowns"][key] for model in models):
            yield figure(plots.curves(models, key), f"Accuracy by {BREAKDOWNS[key]}", coverage(entry, key))
    if any(model["calibration"] for model in models):
        errors = (f"{m['name']} {100 * m['calibration']['error']:.1f} %" for m in models if m["calibration"])
        yield figure(plots.reliability(models), "Calibration", f"expected calibration error: {', '.join(errors)}")
    yield "</div>"
    for key, heading in BREAKDOWNS.items():
        if key != "type":
            rows = [model["breakdowns"][key] for model in models]
            said = coverage(entry, key)
            body = accuracy_table(models, rows, said) if rows[0] else f'<p class="soft">{text(said or "none")}</p>'
            shown = " open" * (0 < len(rows[0]) <= _OPEN_ROWS)
            yield f"<details{shown}><summary>By {text(heading)} ({len(rows[0])})</summary>{body}</details>"
    for model in models:
        if model["counts"]:
            yield _confusion(model)


def accuracy_table(
    models: Sequence[Mapping[str, Any]], columns: Sequence[Sequence[Mapping[str, Any]]], said: str
) -> str:
    """A table with a column of estimates for each model, drawn beside them, and what has to be `said` under it."""
    start = plots.start(columns)
    names = "".join(f"<th>{_key(i)}{text(model['name'])}</th>" for i, model in enumerate(models))
    lines = [f"<tr><th></th><th>questions</th>{names}<th>{plots.axis(start)}</th></tr>"]
    for rows in zip(*columns, strict=True):
        cells = "".join(
            f"<td>{100 * row['value']:.1f} <small>[{100 * row['low']:.1f}, {100 * row['high']:.1f}]</small></td>"
            for row in rows
        )
        lines.append(
            f"<tr><td>{text(rows[0]['label'])}</td><td>{rows[0]['questions']:,}</td>{cells}"
            f"<td>{plots.intervals(rows, start)}</td></tr>"
        )
    note = f'<p class="soft">{text(said)}</p>' if said else ""
    many = " many" if len(models) > _WIDE_MODELS else ""
    return f'<div class="wide{many}"><table>{"".join(lines)}</table></div>{note}'


def _comparisons(items: Sequence[Mapping[str, Any]]) -> str:
    heads = ("questions", "difference, points", "p", "first alone right", "second alone right")
    lines = [f"<tr><th></th>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"]
    for item in items:
        pair = f"{item['first']} − {item['second']}"  # noqa: RUF001 (a true minus)
        for label, row in ((pair, item), *((f"  {row['label']}", row) for row in item["by_type"])):
            name = f"<b>{text(label)}</b>" if row is item else f"&emsp;{text(label)}"
            lines.append(
                f"<tr><td>{name}</td><td>{row['questions']:,}</td><td>{100 * row['value']:+.1f} "
                f"<small>[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]</small></td><td>{row['p']:.2g}</td>"
                f"<td>{row['only_first']:,}</td><td>{row['only_second']:,}</td></tr>"
            )
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _confusion(model: Mapping[str, Any]) -> str:
    matrix, error = model["counts"]["matrix"], model["counts"]["mean_error"]
    size = len(matrix)
    heads = "".join(f"<th>{i}</th>" for i in range(size))
    lines = [f"<tr><th>true</th>{heads}<th>other</th></tr>"]
    for true, row in enumerate(matrix):
        share = sum(row) or 1
        cells = "".join(
            f'<td style="background:rgba(0,114,178,{n / share:.3f});color:{"#fff" if n / share > 0.5 else "inherit"}">'
            f"{f'{n:,}' if n else ''}</td>"
            for n in row
        )
        lines.append(f"<tr><th>{true}</th>{cells}</tr>")
    said = "" if error is None else f" Mean absolute error of the answers that are counts: {error:.2f}."
    return (
        f"<h3>Counts: answers of {text(model['name'])} (columns) where the right answer is a count (rows)</h3>"
        f'<div class="wide"><table class="counts">{"".join(lines)}</table></div>'
        f'<p class="soft">Shaded by the share of the row.{said}</p>'
    )


def figure(source: str, title: str, said: str = "") -> str:
    """An image, by its URL, with a caption."""
    caption = f"<b>{text(title)}</b>{': ' + text(said) if said else ''}"
    return f'<figure><img src="{source}" alt="{text(title)}"><figcaption>{caption}</figcaption></figure>'


def _key(place: int) -> str:
    return f'<span class="key" style="background:{plots.color(place)}"></span>'


def text(said: str) -> str:
    """Words from files, which the page shows as they are."""
    return html.escape(said)


def html_suite(report: Mapping[str, Any]) -> str:
    """The page. Names from files stand in it as text only."""
    return page(f"New compositions: {title(report)}", report, _parts(report))


def _parts(report: Mapping[str, Any]) -> Iterator[str]:
    yield "".join(f'<p class="soft">{text(said)}</p>' for said in remarks(report))
    yield figure(plots.gaps(report), "Gaps", GAP)
    models = report["models"]
    for axis in report["axes"]:
        yield f"<h2>{text(axis['title'])}</h2><p>{text(axis['about'])}</p>"
        columns = [
            [{"label": part["label"], **part["models"][i]} for part in axis["parts"]] for i in range(len(models))
        ]
        sets = dict.fromkeys(part["set"] for part in axis["parts"])
        yield accuracy_table(models, columns, f"questions: {', '.join(sets)}")
        for label, values in summaries(axis):
            said = (f"{text(model['name'])} {points(value)}" for model, value in zip(models, values, strict=True))
            yield f"<p><b>{text(label)}</b>: {'; '.join(said)}</p>"
