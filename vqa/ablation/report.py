"""The report of an ablation: accuracy with intervals, cost, learning curves and gates of every variant."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from vqa.ablation.cells import Cell, predictions_path
from vqa.ablation.results import (
    AblationReport,
    CellTraining,
    MeanAccuracy,
    SeedDifference,
    SeedResult,
    TestSet,
    VariantResult,
)
from vqa.evaluation.breakdowns import QuestionTable, question_keys
from vqa.evaluation.evaluate import EvaluationSet
from vqa.evaluation.metrics import ImageBootstrap, accuracies, paired_difference
from vqa.evaluation.predictions import read_predictions
from vqa.evaluation.report import GroupEstimate, Intervals
from vqa.utils.plots import save_figure
from vqa.utils.tables import format_interval, format_percent, markdown_table, text_table

THRESHOLD = 0.6
"""Held-out accuracy that says that a model is past CLEVR's plateau of 45 to 52 %."""

_SAMPLES = 1000

Table = tuple[list[str], list[list[str]]]
"""The header and the rows."""


def make_report(
    cells: Sequence[Cell], test: EvaluationSet, table: QuestionTable, budget: int, command: str
) -> AblationReport:
    """The report on the finished cells of an ablation; `table` holds the questions of `test`.

    A variant's accuracy is the mean over its seeds, each cell's that of its checkpoint (best on held-out images). The
    interval comes from resampling images, each with all seeds' answers to its questions; it does not include the spread
    between seeds, which stands beside it. Variants are compared with the first, over the seeds that both have. Raises
    InputError for damaged files.
    """
    done = [cell for cell in cells if cell.finished(test)]
    correct = {cell: _correct(cell, test, table) for cell in done}
    variants = list(dict.fromkeys(cell.variant.name for cell in cells))
    groups = {name: [cell for cell in done if cell.variant.name == name] for name in variants}
    base = groups[variants[0]]
    return AblationReport(
        command=command,
        budget=budget,
        threshold=THRESHOLD,
        baseline=variants[0],
        test=TestSet(name=test.name, data=test.data, split=test.split, questions=len(table.answers)),
        intervals=Intervals(samples=_SAMPLES),
        variants=[_variant(group, base, correct, table) for group in groups.values() if group],
        unfinished=[cell.name for cell in cells if cell not in correct],
    )


def _correct(cell: Cell, test: EvaluationSet, table: QuestionTable) -> np.ndarray:
    """Which of the Q questions a cell answered correctly, a boolean mask (Q,)."""
    path = predictions_path(cell.folder, test)
    return table.correct(read_predictions(path, table.data, question_keys(table.data)).of(table.numbers).answers)


def _variant(
    group: Sequence[Cell], base: Sequence[Cell], correct: dict[Cell, np.ndarray], table: QuestionTable
) -> VariantResult:
    variant = group[0].variant
    results = {cell: cell.result() for cell in group}
    types = table.breakdowns["type"]
    groups = np.concatenate([np.ones((len(table.answers), 1), bool), types.members], 1)
    answered = np.concatenate([correct[cell] for cell in group])[:, None]
    [estimates] = accuracies(answered, np.tile(groups, (len(group), 1)), _bootstrap(table, len(group)))
    # every question is there once a seed
    overall, *by_type = (replace(item, questions=item.questions // len(group)) for item in estimates)
    shares = [float(correct[cell].mean()) for cell in group]
    training = CellTraining.__dataclass_fields__
    return VariantResult(
        name=variant.name,
        preset=variant.preset,
        overrides=list(variant.overrides),
        training=variant.training | {f"loss.{name}": value for name, value in variant.loss_weights.items()},
        parameters=results[group[0]].parameters,
        minutes=float(np.mean([result.minutes for result in results.values()])),
        accuracy=MeanAccuracy(**asdict(overall), deviation=float(np.std(shares, ddof=1)) if len(shares) > 1 else None),
        by_type=[GroupEstimate(label=label, **asdict(e)) for label, e in zip(types.labels, by_type, strict=True)],
        seeds=[
            SeedResult(
                seed=cell.seed,
                folder=cell.folder.name,
                accuracy=share,
                passed_at=next((p.questions_seen for p in result.curve if p.held_out_accuracy >= THRESHOLD), None),
                **{name: getattr(result, name) for name in training},
            )
            for (cell, result), share in zip(results.items(), shares, strict=True)
        ],
        difference=_difference(group, base, correct, table),
    )


def _bootstrap(table: QuestionTable, seeds: int) -> ImageBootstrap:
    """Over the same images for all seeds: a resample takes an image with every seed's answers, or not at all."""
    return ImageBootstrap(np.tile(table.images, seeds), _SAMPLES)


def _difference(
    group: Sequence[Cell], base: Sequence[Cell], correct: dict[Cell, np.ndarray], table: QuestionTable
) -> SeedDifference | None:
    """How a variant differs from the baseline, seed by seed, as equal seeds see equal batches; None without any."""
    pairs = [(cell, other) for cell in group for other in base if cell.seed == other.seed and cell != other]
    if not pairs:
        return None
    first, second = (np.concatenate([correct[pair[side]] for pair in pairs]) for side in (0, 1))
    found = paired_difference(first, second, _bootstrap(table, len(pairs)))
    seeds = [cell.seed for cell, _ in pairs]
    return SeedDifference(value=found.value, low=found.low, high=found.high, p=found.p, seeds=seeds)


def format_report(report: AblationReport, markdown: bool = False) -> str:
    """The report's tables, for a terminal or as Markdown."""
    test, intervals = report.test, report.intervals
    lines = [
        f"Accuracy in % on {test.name} ({test.questions:,} questions) after {report.budget:,} training questions, "
        f"in brackets its {intervals.level:.0%} interval: {intervals.method}.",
        "With several seeds it is their mean, ± their standard deviation, which the interval does not include.",
        "",
        *_table(_overview(report), markdown),
        "",
        *_table(_types(report), markdown),
    ]
    seeds = [seed for variant in report.variants for seed in variant.seeds]
    if any(seed.gates for seed in seeds):
        lines += ["", "Gates at the end of training, from the first block to the last:", ""]
        lines += _table(_gates(report), markdown)
    if len({seed.precision for seed in seeds}) > 1:
        lines += ["", "Cells differ in their arithmetic (bf16 or not), which was chosen by speed; see the JSON."]
    if report.unfinished:
        lines += ["", f"Not finished: {', '.join(report.unfinished)}; run the command again."]
    return "\n".join(lines)


def _overview(report: AblationReport) -> Table:
    passed = f"past {report.threshold:.0%} at"
    header = ["variant", "seeds", "parameters", "minutes", passed, "accuracy", f"minus {report.baseline}", "p"]
    rows = []
    for variant in report.variants:
        deviation, difference = variant.accuracy.deviation, variant.difference
        rows.append(
            [
                variant.name,
                str(len(variant.seeds)),
                f"{variant.parameters:,}",
                f"{variant.minutes:.1f}",
                " ".join("never" if s.passed_at is None else f"{s.passed_at / 1000:.0f}k" for s in variant.seeds),
                format_interval(variant.accuracy) + ("" if deviation is None else f" ± {format_percent(deviation)}"),
                "" if difference is None else format_interval(difference, "+"),
                "" if difference is None else f"{difference.p:.4f}",
            ]
        )
    return header, rows


def _types(report: AblationReport) -> Table:
    labels = [group.label for group in report.variants[0].by_type] if report.variants else []
    return ["variant", *labels], [[item.name, *map(format_interval, item.by_type)] for item in report.variants]


def _gates(report: AblationReport) -> Table:
    header = ["variant", "effective channels", "of", "spread over questions", "regularizer active, % of questions"]
    rows = []
    for variant in report.variants:
        for seed in variant.seeds:
            if blocks := list(seed.gates.values()):
                rows.append(
                    [
                        variant.name + (f" seed {seed.seed}" if len(variant.seeds) > 1 else ""),
                        " ".join(f"{block.effective_channels:.1f}" for block in blocks),
                        str(seed.channels),
                        " ".join(f"{block.spread:.3f}" for block in blocks),
                        " ".join(format_percent(block.fired) for block in blocks),
                    ]
                )
    return header, rows


def _table(table: Table, markdown: bool) -> list[str]:
    header, rows = table
    return markdown_table(header, rows) if markdown else text_table([header, *rows])


def plot_curves(report: AblationReport, path: Path) -> None:
    """Plot every cell's held-out accuracy over training questions, a color for each variant. Raises InputError."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure((9, 5), layout="constrained")
    axis = figure.add_subplot()
    colors = colormaps["tab20"]
    for i, variant in enumerate(report.variants):
        for j, seed in enumerate(variant.seeds):
            axis.plot(
                [point.questions_seen / 1000 for point in seed.curve],
                [100 * point.held_out_accuracy for point in seed.curve],
                color=colors(2 * i % 20 + i // 10 % 2),  # tab20 pairs a strong and a light tone: strong ones first
                lw=1.3,
                label=None if j else variant.name,
            )
    axis.axhline(100 * report.threshold, color="0.6", lw=0.8, ls="--")
    axis.set_xlabel("training questions seen, thousands")
    axis.set_ylabel("accuracy on held-out training images, %")
    axis.grid(alpha=0.3)
    if report.variants:
        axis.legend(fontsize="small")
    save_figure(figure, path)
