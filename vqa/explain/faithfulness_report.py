"""The report of faithfulness: measured, read back, as text and as a plot."""

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vqa.clevr.dataset.packed import PackedDataset
from vqa.errors import InputError
from vqa.explain.faithfulness import (
    RANKINGS,
    REMOVALS,
    Experiment,
    gate_passes,
    measure_gates,
    measure_openings,
    measure_removal,
    removal_passes,
)
from vqa.explain.paraphrase_stability import measure_paraphrase
from vqa.explain.pointing_game import measure_pointing
from vqa.explain.probe_set import gather_probe_set
from vqa.inference.checkpoints import weights_sha256
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import FilmSEProcessor
from vqa.utils.files import read_object
from vqa.utils.tables import format_interval

FILENAME = "faithfulness.json"
PER_IMAGE = 2
_MAX_BYTES = 1_000_000
_COLORS = {"top": "#d55e00", "random": "#8a8f98", "bottom": "#0072b2"}


def measure_faithfulness(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    data: PackedDataset,
    *,
    questions: int,
    channels: Sequence[int],
    draws: int,
    seed: int,
    about: dict[str, Any],
    progress: Callable[[int], Callable[[int], object]],
) -> dict[str, Any]:
    """All measures of one model's faithfulness, as plain lists and numbers.

    Args:
        questions: sample size, two for each image.
        channels: numbers of channels to remove from each block, one after the other.
        draws: of random channels to compare each ranking with.
        progress: called with the total of answers; gives a callback for the answers done.

    Raises InputError for data without scenes or programs, and for more channels than half of a block's.
    """
    width = model.config.width
    if wrong := [k for k in channels if not 1 <= k <= width // 2]:
        raise InputError(f"--channels {wrong[0]}: must be 1 to {width // 2}, half of a block's channels")
    probes = gather_probe_set(model, processor, data, images=-(-questions // PER_IMAGE), per_image=PER_IMAGE, seed=seed)
    rankings = 3 if model.config.channel_attention != "none" and model.input_gate is None else 1
    passes = 3 + removal_passes(rankings, len(channels), draws) + gate_passes(model)
    on_progress = progress(passes * len(probes.questions))
    experiment = Experiment(model, processor, probes, on_progress)
    rng = np.random.default_rng(seed)
    return {
        **about,
        "questions": len(probes.questions),
        "pictures": len(probes.scenes),
        "channels_per_block": width,
        "draws": draws,
        "seed": seed,
        "accuracy": experiment.estimate(experiment.plain.right),
        "gates": measure_gates(experiment, rng),
        **({} if model.input_gate is None else {"open": measure_openings(experiment)}),
        "pointing": measure_pointing(experiment, on_progress),
        "paraphrase": measure_paraphrase(experiment, seed, on_progress),
        "removal": measure_removal(experiment, channels, draws, rng),
    }


def read_faithfulness(folder: str | os.PathLike) -> dict[str, Any]:
    """The report `faithfulness.json` in a checkpoint's folder.

    Raises InputError if it is missing, broken or made for other weights.
    """
    path = Path(folder) / FILENAME
    remedy = "make it with `vqa explain faithfulness --data DIR`"
    try:
        report = read_object(path, _MAX_BYTES, remedy)
    except FileNotFoundError as error:
        raise InputError(f"{path}: this checkpoint has no report of faithfulness yet; {remedy}") from error
    try:
        for rows, names in ((report["gates"], ("accuracy", "loss")), (report["removal"], ("top", "random", "bottom"))):
            for row in rows:
                for name in names:
                    format_interval(row[name])
        format_faithfulness(report)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path}: not a report of `vqa explain faithfulness --json`, or damaged; {remedy}") from error
    if report.get("weights_sha256") != weights_sha256(folder):
        raise InputError(f"{path}: made for other weights; {remedy}")
    return report


def format_faithfulness(report: dict[str, Any]) -> str:
    """The report as tables for the terminal."""
    lines = [
        f"{report['questions']} questions about {report['pictures']} images; accuracy "
        f"{format_interval(report['accuracy'])}",
        "",
        "Accuracy as gates and FiLM stop following the question",
        *(
            f"  {row['test']:52}{format_interval(row['accuracy'])}   lost {format_interval(row['loss'])}"
            for row in report["gates"]
        ),
        "",
        f"Accuracy as channels of every block (of {report['channels_per_block']}) are removed; random ones have like "
        f"activation, {report['draws']} draws",
        f"  {'ranked by':36}{'set to':8}{'k':>4}  {'top k':20}{'random k':20}{'bottom k':20}random less top",
    ]
    for row in report["removal"]:
        cells = "".join(f"{format_interval(row[name]):20}" for name in ("top", "random", "bottom"))
        name = RANKINGS[row["ranking"]]
        lines.append(f"  {name:36}{row['removal']:8}{row['channels']:>4}  {cells}{format_interval(row['extra_loss'])}")
    lines += ["", "Mean activation of the removed channels: top, random, bottom"]
    for row in report["removal"]:
        if row["removal"] == "zero":
            norms = row["activation"]
            numbers = ", ".join(f"{norms[name]:.3f}" for name in ("top", "random", "bottom"))
            lines.append(f"  {RANKINGS[row['ranking']]:36}k = {row['channels']:<4} {numbers}")
    lines += [
        "",
        "Highest place of a map on an object that is meant (half a cell of tolerance); chance: a random object",
    ]
    for name, row in report["pointing"].items():
        lines.append(f"  {name:12}{format_interval(row)}   chance {row['chance']:6.1%}   {row['questions']} questions")
    found = report["paraphrase"]
    if found["questions"]:
        lines += [
            "",
            f"Other wording, same program ({found['questions']} questions): same answer "
            f"{format_interval(found['same_answer'])}; accuracy {format_interval(found['accuracy_before'])} before, "
            f"{format_interval(found['accuracy_after'])} after",
            "  Rank correlation of channels with the first wording's (with another question's about the image):",
        ]
        for k, row in enumerate(found["blocks"], 1):
            lines.append(
                f"  block {k}: weights {row['correlation']:.3f} ({row['correlation_other_question']:.3f}), deviations "
                f"from their means {row['deviation_correlation']:.3f} "
                f"({row['deviation_correlation_other_question']:.3f}), top quarter kept {row['overlap']:.1%} "
                f"({row['overlap_other_question']:.1%})"
            )
    return "\n".join(lines)


def plot_faithfulness(report: dict[str, Any]) -> bytes:
    """PNG: accuracy over the number of removed channels, for each ranking and removal."""
    rankings = list(dict.fromkeys(row["ranking"] for row in report["removal"]))
    figure = Figure((3.6 * len(rankings) + 1, 6), dpi=110, layout="constrained")
    panels = figure.subplots(len(REMOVALS), len(rankings), sharex=True, sharey=True, squeeze=False)
    whole = 100 * report["accuracy"]["value"]
    for i, how in enumerate(REMOVALS):
        for j, ranking in enumerate(rankings):
            axes = panels[i][j]
            rows = [row for row in report["removal"] if (row["ranking"], row["removal"]) == (ranking, how)]
            x = [0, *(row["channels"] for row in rows)]
            for name, color in _COLORS.items():
                middle, low, high = (
                    [whole, *(100 * row[name][key] for row in rows)] for key in ("value", "low", "high")
                )
                axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
                axes.plot(x, middle, "o-", color=color, markersize=4, label=f"{name} k")
            axes.set_title(f"{RANKINGS[ranking]}, set to {how}", fontsize=9)
            axes.set_ylim(0, 102)
            axes.grid(color="#e3e5e8", linewidth=0.8)
            axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"channels removed from every block, of {report['channels_per_block']}", fontsize=9)
    figure.supylabel("accuracy, %", fontsize=9)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
