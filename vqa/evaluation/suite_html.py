"""The compositional report as one HTML page that needs nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

from vqa.evaluation import plots
from vqa.evaluation.report_html import accuracy_table, figure, page, text
from vqa.evaluation.suite_text import GAP, points, remarks, summaries, title


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
