"""The report of faithfulness: measured, read back, as text and as a plot."""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError
from vqa.evaluation.metrics import Contrast
from vqa.explain.anova import SOURCES
from vqa.explain.faithfulness import (
    RANKINGS,
    REMOVALS,
    Experiment,
    GateTest,
    Removal,
    measure_gates,
    measure_removal,
)
from vqa.explain.gate_selection import (
    AttributePairs,
    OpenConcepts,
    Openings,
    Reliance,
    Swap,
    measure_concepts,
    measure_openings,
    measure_reliance,
    measure_swap,
    measure_variance,
)
from vqa.explain.paraphrase_stability import Paraphrase, measure_paraphrase
from vqa.explain.pointing_game import Pointing, measure_pointing
from vqa.explain.probe_set import gather_probe_set
from vqa.inference.checkpoints import read_beside
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import FilmSEProcessor
from vqa.utils.records import LEFT_OUT_IF_NONE, Count, Share
from vqa.utils.tables import format_interval, format_percent, text_table

FILENAME = "faithfulness.json"
PER_IMAGE = 2
_MAX_BYTES = 1_000_000
_COLORS = {"top": "#d55e00", "random": "#8a8f98", "bottom": "#0072b2"}


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Another model on the same questions, and the accuracy of the first less its own."""

    name: str
    accuracy: Contrast
    difference: Contrast


@dataclass(frozen=True, kw_only=True)
class FaithfulnessReport:
    """What `vqa explain faithfulness --json` writes; fields that a model does not have are None."""

    command: str
    data: str
    split: str
    weights_sha256: str
    questions: Count
    images: Annotated[Count, Field(alias="pictures")]
    channels_per_block: Count
    draws: Count
    seed: Count
    accuracy: Contrast
    gates: list[GateTest]
    baseline: Annotated[Baseline | None, LEFT_OUT_IF_NONE] = None
    open: Annotated[Openings | None, LEFT_OUT_IF_NONE] = None
    concepts: Annotated[OpenConcepts | None, LEFT_OUT_IF_NONE] = None
    variance: Annotated[dict[str, Share] | None, LEFT_OUT_IF_NONE] = None
    swap: Annotated[Swap | None, LEFT_OUT_IF_NONE] = None
    reliance: Annotated[dict[str, dict[str, dict[str, Reliance]]] | None, LEFT_OUT_IF_NONE] = None
    pointing: dict[str, Pointing]
    paraphrase: Paraphrase
    removal: list[Removal]


Loaded = tuple[FilmSEForVisualQuestionAnswering, FilmSEProcessor]


def measure_faithfulness(
    model: FilmSEForVisualQuestionAnswering,
    processor: FilmSEProcessor,
    data: PackedDataset,
    *,
    questions: int,
    channels: Sequence[int],
    draws: int,
    seed: int,
    about: Mapping[str, str],
    baseline: tuple[str, Loaded] | None = None,
    progress: Callable[[str], Callable[[int], object]] = lambda stage: lambda answers: None,
) -> FaithfulnessReport:
    """All measures of one model's faithfulness.

    Args:
        questions: sample size, two for each image.
        channels: numbers of channels to remove from each block, one after the other.
        draws: of random channels to compare each ranking with.
        about: command, data, split and weights_sha256.
        baseline: name, model and processor to compare the accuracy with.
        progress: begins a stage, by its name; gives a callback for the answers done.

    Raises InputError for data without scenes or programs, and for more channels than half of a block's.
    """
    width = model.config.trunk_width
    if wrong := [k for k in channels if not 1 <= k <= width // 2]:
        raise InputError(f"--channels {wrong[0]}: must be 1 to {width // 2}, half of a block's channels")

    def sample(model: FilmSEForVisualQuestionAnswering, processor: FilmSEProcessor) -> Experiment:
        images = -(-questions // PER_IMAGE)
        probes = gather_probe_set(model, processor, data, images=images, per_image=PER_IMAGE, seed=seed)
        return Experiment(model, processor, probes)

    experiment = sample(model, processor)
    rng = np.random.default_rng(seed)

    def measured(stage: str, measure: Callable[..., Any], *args: Any) -> Any:
        experiment.on_progress = progress(stage)
        return measure(*args)

    gated, by_attribute = model.config.channel_attention != "none", model.input_gate is not None
    pairs = AttributePairs.sample(experiment, seed)
    return FaithfulnessReport(
        **about,
        questions=len(experiment.labels),
        images=len(experiment.probes.scenes),
        channels_per_block=width,
        draws=draws,
        seed=seed,
        gates=measured("gates", measure_gates, experiment, rng),
        accuracy=experiment.estimate(experiment.plain.right),
        baseline=None if baseline is None else _compared(experiment, baseline[0], sample(*baseline[1])),
        open=measure_openings(experiment) if by_attribute else None,
        concepts=measure_concepts(experiment, seed) if by_attribute else None,
        variance=measured("variance", measure_variance, experiment, seed) if gated else None,
        swap=measured("swap", measure_swap, pairs) if gated and pairs.pairs else None,
        reliance=measured("exchanged attributes", measure_reliance, pairs) if model.scene and pairs.pairs else None,
        pointing=measured("pointing", measure_pointing, experiment),
        paraphrase=measured("paraphrases", measure_paraphrase, experiment, seed),
        removal=measured("channels removed", measure_removal, experiment, channels, draws, rng),
    )


def _compared(experiment: Experiment, name: str, other: Experiment) -> Baseline:
    difference = experiment.plain.right.astype(float) - other.plain.right
    return Baseline(
        name=name,
        accuracy=experiment.estimate(other.plain.right),
        difference=experiment.estimate(difference),
    )


def read_faithfulness(folder: str | os.PathLike) -> FaithfulnessReport:
    """The report `faithfulness.json` in a checkpoint's folder.

    Raises InputError if it is missing or made for other weights, and one that names the field that is wrong.
    """
    remedy = "make it with `vqa explain faithfulness --data DIR`"
    return read_beside(FaithfulnessReport, Path(folder) / FILENAME, _MAX_BYTES, "report of faithfulness", remedy)


def format_faithfulness(report: FaithfulnessReport) -> str:
    """The report as tables for the terminal."""
    lines = [summary(report)]
    for title, rows in sections(report):
        lines += ["", title, *text_table(rows)]
    return "\n".join(lines)


def summary(report: FaithfulnessReport) -> str:
    """What was asked, and the accuracies, in a sentence."""
    said = f"{report.questions} questions about {report.images} images; accuracy {format_interval(report.accuracy)} %"
    if found := report.baseline:
        less = format_interval(found.difference, "+")
        said += f", that of {found.name} {format_interval(found.accuracy)} %, the difference {less} points"
    return said


def sections(report: FaithfulnessReport) -> Iterator[tuple[str, list[list[str]]]]:
    """The report's tables: title, header and rows."""
    gates = [[row.test, format_interval(row.accuracy), format_interval(row.loss)] for row in report.gates]
    yield "As gates and FiLM stop following the question", [["change", "accuracy, %", "points lost"], *gates]
    yield from _selection(report)
    for change, found in (report.reliance or {}).items():
        kinds = [
            [kind, *(format_interval(row[x]) if x in row else "-" for x in ATTRIBUTES)] for kind, row in found.items()
        ]
        yield f"Answers that change as {_CHANGES.get(change, change)}, in %", [["question", *ATTRIBUTES], *kinds]
    removed = [["ranked by", "set to", "k", "top k", "random k", "bottom k", "random less top", "activation of these"]]
    for row in report.removal:
        accuracies = map(format_interval, (row.top, row.random, row.bottom, row.extra_loss))
        activation = ", ".join(f"{row.activation.get(name, 0):.3f}" for name in _COLORS)
        removed.append(
            [RANKINGS.get(row.ranking, row.ranking), row.removal, str(row.channels), *accuracies, activation]
        )
    about = f"of {report.channels_per_block}; random ones have like activation, {report.draws} draws"
    yield f"Accuracy in % as k channels of every block are removed ({about})", removed
    head = ["peak of", "on an object that is meant, %", "chance, %", "questions"]
    peaks = [
        [name, format_interval(row), format_percent(row.chance), str(row.questions)]
        for name, row in report.pointing.items()
    ]
    yield "Object attention and Grad-CAM, within half a cell; chance: a random object", [head, *peaks]
    yield from _paraphrase(report.paraphrase)


_CHANGES = {
    "exchanged": "the model reads another value of an attribute, of every object",
    "opened": "gates open an attribute",
}


def _selection(report: FaithfulnessReport) -> Iterator[tuple[str, list[list[str]]]]:
    """What the gates open, and whether it is needed."""
    if shares := report.variance:
        yield (
            "Variance of the gates' weights, in %",
            [[*SOURCES], [format_percent(shares.get(name)) for name in SOURCES]],
        )
    if (opened := report.open) and opened.shut is not None:
        cells = [format_percent(opened.shut.get(name)) for name in ATTRIBUTES]
        open_share = format_percent(opened.share)
        yield (
            f"{open_share} % of the channels are open; questions that shut all of a group, in %",
            [[*ATTRIBUTES], cells],
        )
    if found := report.concepts:
        kinds, diagonal, rest = [*found.table["nothing"]], format_percent(found.diagonal), format_percent(found.opened)
        rows = [
            [name, *(format_percent(row[kind] / sum(row.values())) for kind in kinds), f"{sum(row.values()):.0f}"]
            for name, row in found.table.items()
            if any(row.values())
        ]
        title = (
            f"{diagonal} % of the open channels track what is needed, {rest} % of what is needed is open; by concept"
        )
        yield title, [["needed", *kinds, "channels"], *rows]
    if swap := report.swap:
        rows = [["asked", "own gates, %", "the other's gates, %", "most common answer, %", "questions"]]
        for name, item in {**swap.by_attribute, "all": swap}.items():
            accuracies = format_interval(item.own), format_interval(item.swapped), format_percent(item.majority)
            rows.append([name, *accuracies, str(item.questions)])
        same = f"with the gates of a paraphrase {format_interval(swap.same_answer)} % of the answers stay"
        yield f"{swap.pairs} pairs of questions about one object that ask for two attributes; {same}", rows


def _paraphrase(found: Paraphrase) -> Iterator[tuple[str, list[list[str]]]]:
    if found.same_answer is None or found.accuracy_before is None or found.accuracy_after is None:
        return
    same, before, after = map(format_interval, (found.same_answer, found.accuracy_before, found.accuracy_after))
    rows = [["in brackets, under another question", "weights", "their deviations from the mean", "top quarter kept"]]
    for k, row in enumerate(found.blocks, 1):
        cells = ((row.get(name), row.get(f"{name}_other_question")) for name in _COMPARED)
        rows.append(
            [f"block {k}", *("{} ({})".format(*("-" if x is None else f"{x:.3f}" for x in pair)) for pair in cells)]
        )
    words = f"Other words, same program: {same} % of {found.questions} answers stay, accuracy {before}, then {after}"
    yield f"{words}; rank correlation of channels", rows


_COMPARED = ("correlation", "deviation_correlation", "overlap")


def plot_faithfulness(report: FaithfulnessReport) -> bytes:
    """PNG: accuracy over the number of removed channels, for each ranking and removal."""
    rankings = list(dict.fromkeys(row.ranking for row in report.removal))
    figure = Figure((3.6 * len(rankings) + 1, 6), dpi=110, layout="constrained")
    panels = figure.subplots(len(REMOVALS), len(rankings), sharex=True, sharey=True, squeeze=False)
    whole = 100 * report.accuracy.value
    for i, how in enumerate(REMOVALS):
        for j, ranking in enumerate(rankings):
            axes = panels[i][j]
            rows = [row for row in report.removal if (row.ranking, row.removal) == (ranking, how)]
            x = [0, *(row.channels for row in rows)]
            for name, color in _COLORS.items():
                middle, low, high = (
                    [whole, *(100 * getattr(getattr(row, name), key) for row in rows)]
                    for key in ("value", "low", "high")
                )
                axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
                axes.plot(x, middle, "o-", color=color, markersize=4, label=f"{name} k")
            axes.set_title(f"{RANKINGS.get(ranking, ranking)}, set to {how}", fontsize=9)
            axes.set_ylim(0, 102)
            axes.grid(color="#e3e5e8", linewidth=0.8)
            axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"channels removed from every block, of {report.channels_per_block}", fontsize=9)
    figure.supylabel("accuracy, %", fontsize=9)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
