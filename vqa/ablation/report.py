"""What an ablation found: accuracy with intervals, cost, learning curves and gates of every variant.

The report is plain JSON (`format` is "vqa-ablation-1"); the tables and the figure are made from it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vqa.ablation.cells import Cell, predictions_path
from vqa.ablation.variants import Variant
from vqa.evaluation.breakdowns import QuestionTable, question_keys
from vqa.evaluation.evaluate import EvaluationSet
from vqa.evaluation.metrics import LEVEL, Estimate, ImageBootstrap, accuracies, paired_difference
from vqa.evaluation.predictions import read_predictions
from vqa.utils.files import atomic_write

FORMAT = "vqa-ablation-1"
THRESHOLD = 0.6
"""Held-out accuracy that says that a model is past CLEVR's plateau of 45 to 52 %."""

_SAMPLES = 1000


def make_report(
    cells: Sequence[Cell], test: EvaluationSet, table: QuestionTable, budget: int, command: str
) -> dict[str, Any]:
    """The report on the finished cells of an ablation; `table` holds the questions of `test`.

    A variant's accuracy is the mean over its seeds, each cell's that of its checkpoint (best on held-out images). The
    interval comes from drawing images, with all seeds' answers to their questions; it does not hold the spread
    between seeds, which stands beside it. Variants are compared with the first, over the seeds that both have. Raises
    InputError for damaged files.
    """
    done = [cell for cell in cells if cell.finished(test)]
    right = {cell: _right(cell, test, table) for cell in done}
    variants = list(dict.fromkeys(cell.variant.name for cell in cells))
    groups = {name: [cell for cell in done if cell.variant.name == name] for name in variants}
    base = groups[variants[0]]
    return {
        "format": FORMAT,
        "version": version("film-se-vqa"),
        "command": command,
        "budget": budget,
        "threshold": THRESHOLD,
        "baseline": variants[0],
        "test": asdict(test) | {"name": test.name, "questions": len(table.answers)},
        "intervals": {"level": LEVEL, "method": "percentile bootstrap over images", "samples": _SAMPLES, "seed": 0},
        "variants": [
            _variant_entry(group, right, table) | {"difference": _difference(group, base, right, table)}
            for group in groups.values()
            if group
        ],
        "unfinished": [cell.name for cell in cells if cell not in right],
    }


def _right(cell: Cell, test: EvaluationSet, table: QuestionTable) -> np.ndarray:
    """Which of the Q questions a cell answered right, (Q,) truths."""
    path = predictions_path(cell.folder, test)
    given = read_predictions(path, table.data, question_keys(table.data)).of(table.numbers)
    return np.array(given.answers, object) == np.array(table.answers, object)


def _variant_entry(group: Sequence[Cell], right: dict[Cell, np.ndarray], table: QuestionTable) -> dict[str, Any]:
    variant: Variant = group[0].variant
    results = {cell: cell.result() for cell in group}
    types = table.breakdowns["type"]
    groups = np.concatenate([np.ones((len(table.answers), 1), bool), types.members], 1)
    answered = np.concatenate([right[cell] for cell in group])[:, None]
    [estimates] = accuracies(answered, np.tile(groups, (len(group), 1)), _images(table, group))
    overall, *by_type = (_estimate(item, len(group)) for item in estimates)
    shares = [float(right[cell].mean()) for cell in group]
    return {
        "name": variant.name,
        "preset": variant.preset,
        "overrides": list(variant.overrides),
        "training": variant.training | {f"loss.{name}": value for name, value in variant.loss_weights.items()},
        "parameters": results[group[0]]["parameters"],
        "minutes": float(np.mean([result["minutes"] for result in results.values()])),
        "accuracy": overall | {"deviation": float(np.std(shares, ddof=1)) if len(shares) > 1 else None},
        "by_type": [{"label": label} | item for label, item in zip(types.labels, by_type, strict=True)],
        "seeds": [
            {
                "seed": cell.seed,
                "folder": cell.folder.name,
                "accuracy": share,
                "passed_at": _passed_at(result["curve"]),
                **{name: value for name, value in result.items() if name != "parameters"},
            }
            for (cell, result), share in zip(results.items(), shares, strict=True)
        ],
    }


def _images(table: QuestionTable, group: Sequence[Cell]) -> ImageBootstrap:
    return ImageBootstrap(np.tile(table.images, len(group)), _SAMPLES)


def _estimate(estimate: Estimate, seeds: int) -> dict[str, Any]:
    return estimate.to_json() | {"questions": estimate.questions // seeds}


def _difference(
    group: Sequence[Cell], base: Sequence[Cell], right: dict[Cell, np.ndarray], table: QuestionTable
) -> dict[str, Any] | None:
    pairs = [(cell, other) for cell in group for other in base if cell.seed == other.seed and cell != other]
    if not pairs:
        return None
    first, second = (np.concatenate([right[pair[side]] for pair in pairs]) for side in (0, 1))
    found = paired_difference(first, second, _images(table, [cell for cell, _ in pairs]))
    kept = {name: value for name, value in asdict(found).items() if name in ("value", "low", "high", "p")}
    return kept | {"seeds": [cell.seed for cell, _ in pairs]}


def _passed_at(curve: Sequence[dict[str, Any]]) -> int | None:
    """Presentations at the first measurement that lies at the threshold or above."""
    return next((point["presentations"] for point in curve if point["held_out_accuracy"] >= THRESHOLD), None)


def format_report(report: dict[str, Any], markdown: bool = False) -> str:
    """The report's tables, for a terminal or as Markdown."""
    test, intervals = report["test"], report["intervals"]
    lines = [
        f"Accuracy in % on {test['name']} ({test['questions']:,} questions) after {report['budget']:,} question "
        f"presentations, in brackets its {intervals['level']:.0%} interval: {intervals['method']}.",
        "With several seeds it is their mean, ± their standard deviation, which the interval does not hold.",
        "",
        *_table(*_overview(report), markdown),
        "",
        *_table(*_types(report), markdown),
    ]
    if any(seed["gates"] for variant in report["variants"] for seed in variant["seeds"]):
        lines += ["", "Gates at the end of training, from the first block to the last:", ""]
        lines += _table(*_gates(report), markdown)
    if len({seed["precision"] for variant in report["variants"] for seed in variant["seeds"]}) > 1:
        lines += ["", "Cells differ in their arithmetic (bf16 or not), which was chosen by speed; see the JSON."]
    if report["unfinished"]:
        lines += ["", f"Not finished: {', '.join(report['unfinished'])}; run the command again."]
    return "\n".join(lines)


def _overview(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    passed = f"past {report['threshold']:.0%} at"
    header = ["variant", "seeds", "parameters", "minutes", passed, "accuracy", f"minus {report['baseline']}", "p"]
    rows = []
    for variant in report["variants"]:
        accuracy, difference = variant["accuracy"], variant["difference"]
        deviation = accuracy["deviation"]
        rows.append(
            [
                variant["name"],
                str(len(variant["seeds"])),
                f"{variant['parameters']:,}",
                f"{variant['minutes']:.1f}",
                " ".join(_thousands(seed["passed_at"]) for seed in variant["seeds"]),
                _interval(accuracy) + ("" if deviation is None else f" ± {100 * deviation:.1f}"),
                "" if difference is None else _interval(difference, "+"),
                "" if difference is None else f"{difference['p']:.4f}",
            ]
        )
    return header, rows


def _types(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    labels = [row["label"] for row in report["variants"][0]["by_type"]] if report["variants"] else []
    rows = [[variant["name"], *(_interval(row) for row in variant["by_type"])] for variant in report["variants"]]
    return ["variant", *labels], rows


def _gates(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    header = ["variant", "effective channels", "of", "spread over questions", "guard fired, % of questions"]
    rows = []
    for variant in report["variants"]:
        for seed in variant["seeds"]:
            if blocks := list(seed["gates"].values()):
                rows.append(
                    [
                        variant["name"] + (f" seed {seed['seed']}" if len(variant["seeds"]) > 1 else ""),
                        " ".join(f"{block['effective_channels']:.1f}" for block in blocks),
                        str(seed["channels"]),
                        " ".join(f"{block['spread']:.3f}" for block in blocks),
                        " ".join(f"{100 * block['fired']:.1f}" for block in blocks),
                    ]
                )
    return header, rows


def _interval(estimate: dict[str, Any], sign: str = "") -> str:
    value, low, high = (format(100 * estimate[name], f"{sign}.1f") for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _thousands(number: int | None) -> str:
    return "never" if number is None else f"{number / 1000:.0f}k"


def _table(header: list[str], rows: Iterable[list[str]], markdown: bool) -> list[str]:
    """Lines of a table: its first column to the left, the others to the right."""
    rows = list(rows)
    if markdown:
        return [f"| {' | '.join(row)} |" for row in [header, ["---"] + ["---:"] * (len(header) - 1), *rows]]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    padded = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in [header, *rows]]
    return [
        "  ".join([row[0].ljust(widths[0]), *cells[1:]]) for row, cells in zip([header, *rows], padded, strict=True)
    ]


def plot_curves(report: dict[str, Any], path: Path) -> None:
    """Held-out accuracy of every cell over question presentations, a color for each variant. Raises InputError."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(9, 5), layout="constrained")
    colors = pyplot.get_cmap("tab20")
    for i, variant in enumerate(report["variants"]):
        for j, seed in enumerate(variant["seeds"]):
            axis.plot(
                [point["presentations"] / 1000 for point in seed["curve"]],
                [100 * point["held_out_accuracy"] for point in seed["curve"]],
                color=colors(2 * i % 20 + i // 10 % 2),
                lw=1.3,
                label=None if j else variant["name"],
            )
    axis.axhline(100 * report["threshold"], color="0.6", lw=0.8, ls="--")
    axis.set_xlabel("question presentations, thousands")
    axis.set_ylabel("accuracy on held-out training images, %")
    axis.grid(alpha=0.3)
    if report["variants"]:
        axis.legend(fontsize="small")
    with atomic_write(path) as file:
        figure.savefig(file, dpi=110)
    pyplot.close(figure)
