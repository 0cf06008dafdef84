"""Whether answers and the ranking of channels stay when a question's wording changes and its meaning does not."""

import warnings
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from scipy.stats import ConstantInputWarning, spearmanr

from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import Program, equivalent
from vqa.errors import InputError
from vqa.evaluation.metrics import Contrast
from vqa.evaluation.perturbations import make_perturbation
from vqa.explain.faithfulness import Experiment
from vqa.explain.probe_set import ProbeSet
from vqa.utils.records import LEFT_OUT_IF_NONE, Count, Number

TOP = 0.25
"""Share of a block's channels whose overlap is measured."""


@dataclass(frozen=True, kw_only=True)
class Paraphrase:
    """How answers and the ranking of channels change with the words of a question.

    `blocks` have for each block how alike channels are ranked, see `_compare`, under another wording, and with
    "_other_question" under another question about the image. All but `questions` is None or empty without a paraphrase.
    """

    questions: Count
    same_answer: Annotated[Contrast | None, LEFT_OUT_IF_NONE] = None
    accuracy_before: Annotated[Contrast | None, LEFT_OUT_IF_NONE] = None
    accuracy_after: Annotated[Contrast | None, LEFT_OUT_IF_NONE] = None
    blocks: list[dict[str, Number | None]] = field(default_factory=list)


def measure_paraphrase(experiment: Experiment, seed: int) -> Paraphrase:
    """How answers and the ranking of channels change when a question's words are exchanged for CLEVR's synonyms, its
    program staying the same; and, for comparison, when another question is asked about the same image."""
    probes = experiment.probes
    texts, kept = _reworded(probes, seed)
    if not texts:
        return Paraphrase(questions=0)
    other = _other_questions(probes)
    numbers, paired = np.array(kept), np.array([i for i in kept if other[i] >= 0], int)
    reworded = replace(
        probes,
        questions=[replace(probes.questions[i], question=text) for i, text in zip(kept, texts, strict=True)],
        tokens=experiment.processor.encode_questions(texts),
        images=probes.images[numbers],
    )
    changed, plain = experiment.on(reworded), experiment.plain
    before, after = (next(iter(some.plain.scores().values())) for some in (experiment, changed))
    blocks = []
    for scores, new in zip(before, after, strict=True):
        others = _compare(scores[paired], scores[other[paired]], scores.mean(0))
        same = _compare(scores[numbers], new, scores.mean(0))
        blocks.append(same | {f"{name}_other_question": value for name, value in others.items()})
    return Paraphrase(
        questions=len(kept),
        same_answer=changed.estimate(changed.plain.best == plain.best[numbers]),
        accuracy_before=changed.estimate(plain.right[numbers]),
        accuracy_after=changed.estimate(changed.plain.right),
        blocks=blocks,
    )


def _compare(one: np.ndarray, other: np.ndarray, mean: np.ndarray) -> dict[str, float | None]:
    """How alike two sets of scores (Q, C) rank channels, as they are and as deviations from their `mean` (C,): rank
    correlations (Spearman's) within a block, and which share of the top quarter stays; None if nothing is ranked.

    Most of a channel's weight is the same for all questions, so that plain ranks agree whatever is asked; deviations
    show whether the part that follows the question stays.
    """
    found = {
        "correlation": rank_correlation(one, other),
        "overlap": top_overlap(one, other),
        "deviation_correlation": rank_correlation(one - mean, other - mean),
    }
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Mean of Spearman's rank correlations of the rows of two arrays (Q, C); NaN if none has any.

    A row that is constant in one of the two, such as that of a gate that is open for all channels, ranks nothing and
    is left out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        found = [spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]
    found = [value for value in found if not np.isnan(value)]
    return float(np.mean(found)) if found else float("nan")


def top_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Mean share of the `TOP` channels of a row of one array (Q, C) that are among those of the other's."""
    size = max(1, round(TOP * one.shape[1]))
    first, second = (np.argsort(-values, axis=1, kind="stable")[:, :size] for values in (one, other))
    shares = [len(np.intersect1d(a, b)) / size for a, b in zip(first, second, strict=True)]
    return float(np.mean(shares)) if shares else float("nan")


def _reworded(probes: ProbeSet, seed: int) -> tuple[list[str], list[int]]:
    """The questions whose wording changes while their program stays: the new texts, and their numbers."""
    change = make_perturbation("synonyms", seed)
    texts, kept = [], []
    for number, question in enumerate(probes.questions):
        text = change.question(question.question, probes.filenames[probes.images[number]])
        assert question.program is not None
        if text != question.question and _same_program(text, question.program):
            texts.append(text)
            kept.append(number)
    return texts, kept


def _same_program(text: str, program: Program) -> bool:
    try:
        return equivalent(parse_question(text), program)
    except InputError:
        return False


def _other_questions(probes: ProbeSet) -> np.ndarray:
    """For each question another one about the same image, -1 if there is none."""
    other = np.full(len(probes.questions), -1)
    for image in np.unique(probes.images):
        mine = np.flatnonzero(probes.images == image)
        if len(mine) > 1:
            other[mine] = np.roll(mine, 1)
    return other
