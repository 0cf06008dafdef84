"""Plots of a report: curves and calibration by matplotlib, intervals as small SVGs that stand in table rows."""

import base64
import io
import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vqa.evaluation.breakdowns import BREAKDOWNS
from vqa.evaluation.metrics import Estimate
from vqa.evaluation.report import CompositionalReport, ModelScores
from vqa.utils.tables import Interval

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Told apart by color-blind readers too (Okabe and Ito 2008)."""

_WIDTH, _ROW, _EDGE = 260, 9, 6
_FEW = 10


def color(place: int) -> str:
    """The color of the model in this place."""
    return _COLORS[place % len(_COLORS)]


def start(columns: Iterable[Sequence[Estimate]]) -> float:
    """Where the scale of a table's intervals begins: 0, 0.5, 0.8 or 0.9, as high as shows all.

    Groups of fewer than `_FEW` images have intervals so wide that they would flatten all others; they do not count.
    """
    lowest = min((row.low for rows in columns for row in rows if row.images >= _FEW), default=0)
    return max(edge for edge in (0, 0.5, 0.8, 0.9) if edge <= lowest)


def intervals(rows: Sequence[Estimate], start: float = 0) -> Markup:
    """SVG: each model's accuracy as a dot on its interval, from `start` to 1; what lies below stands at the edge."""
    height = _ROW * (len(rows) + 1)
    marks = [f'<path d="M{_place(x / 4)} 0V{height}" stroke="#e3e5e8"/>' for x in range(5)]
    for i, row in enumerate(rows):
        y, shade = _ROW * (i + 1), color(i)
        low, middle, high = (_place((max(start, x) - start) / (1 - start)) for x in (row.low, row.value, row.high))
        marks.append(f'<path d="M{low} {y}H{high}" stroke="{shade}" stroke-width="2"/>')
        marks.append(f'<circle cx="{middle}" cy="{y}" r="3.5" fill="{shade}"/>')
    return Markup(f'<svg width="{_WIDTH}" height="{height}" aria-hidden="true">{"".join(marks)}</svg>')


def axis(start: float = 0) -> Markup:
    """SVG: the numbers over a column of `intervals`."""
    anchors = ("start", "middle", "middle", "middle", "end")
    numbers = (100 * start + 25 * i * (1 - start) for i in range(5))
    marks = (
        f'<text x="{_place(i / 4)}" y="12" text-anchor="{anchor}" font-size="11">{number:g}</text>'
        for i, (anchor, number) in enumerate(zip(anchors, numbers, strict=True))
    )
    return Markup(f'<svg width="{_WIDTH}" height="14" aria-hidden="true">{"".join(marks)}</svg>')


def curves(models: Sequence[ModelScores], key: str) -> str:
    """A data URL: accuracy with intervals over a breakdown whose labels are numbers."""
    figure, axes = _figure(BREAKDOWNS[key], "accuracy, %", len(models))
    for i, model in enumerate(models):
        rows = [row for row in model.groups(key) if re.fullmatch("[0-9]{1,4}", row.label)]
        x = [int(row.label) for row in rows]
        axes.fill_between(x, *_bounds(rows), color=color(i), alpha=0.15, linewidth=0)
        values = [100 * row.value for row in rows]
        axes.plot(x, values, "o-", color=color(i), markersize=4, label=_label(model.name))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 102)
    return _data_url(figure, len(models))


def gaps(report: CompositionalReport) -> str:
    """A data URL: each model's gap on every axis of the compositional suite, with intervals; right is worse."""
    axes, models = report.axes, report.models
    drawing, plot = _figure("gap, points", "", len(models))
    drawing.set_figheight(1.2 + 0.25 * len(axes) * (1 + len(models)) + 0.2 * (len(models) > 1))
    plot.axvline(0, color="#9aa1a9", linewidth=1)
    for i, model in enumerate(models):
        rows = [axis.gap[i] for axis in axes]
        y = [place + (i + 1) / (len(models) + 1) - 0.5 for place in range(len(axes))]
        plot.hlines(y, *_bounds(rows), color=color(i), linewidth=2)
        values = [100 * row.value for row in rows]
        plot.plot(values, y, "o", color=color(i), markersize=5, label=_label(model.name))
    plot.set_yticks(range(len(axes)), [_label(axis.title) for axis in axes])
    plot.set_ylim(len(axes) - 0.5, -0.5)
    return _data_url(drawing, len(models))


def reliability(models: Sequence[ModelScores]) -> str:
    """A data URL: accuracy over confidence in bins; larger dots hold more questions (Guo et al. 2017, figure 1)."""
    figure, axes = _figure("confidence, %", "accuracy, %", len(models))
    axes.plot([0, 100], [0, 100], "--", color="#9aa1a9", linewidth=1)
    for i, model in enumerate(models):
        if model.calibration and model.calibration.bins:
            counts, confidence, accuracy = zip(*model.calibration.bins, strict=True)
            x, y = ([100 * value for value in values] for values in (confidence, accuracy))
            axes.plot(x, y, color=color(i), linewidth=1, label=_label(model.name))
            axes.scatter(x, y, [8 + 120 * count / sum(counts) for count in counts], color=color(i))
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 102)
    return _data_url(figure, len(models))


def _figure(x: str, y: str, models: int) -> tuple[Figure, Axes]:
    figure = Figure((5.2, 3.4 + 0.2 * (models > 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="#e3e5e8", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _data_url(figure: Figure, models: int) -> str:
    if models > 1:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    file = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "vqa"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def _bounds(rows: Sequence[Interval]) -> tuple[list[float], list[float]]:
    return [100 * row.low for row in rows], [100 * row.high for row in rows]


def _label(name: str) -> str:
    """A name that matplotlib neither hides nor reads as mathematics."""
    return name.replace("$", r"\$").lstrip("_") or "model"


def _place(share: float) -> str:
    return f"{_EDGE + share * (_WIDTH - 2 * _EDGE):.1f}"
