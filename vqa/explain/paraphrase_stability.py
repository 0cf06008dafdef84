"""Whether evidence points at what a question is about, and whether it stays when the wording changes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import Program, equivalent
from vqa.errors import InputError
from vqa.evaluation.perturbations import make_perturbation
from vqa.explain.concepts import mean_ranks
from vqa.explain.faithfulness import Experiment
from vqa.explain.probe_set import ProbeSet

TOP = 0.25
"""Share of a block's channels whose overlap is measured."""


def measure_paraphrase(experiment: Experiment, seed: int, on_progress: Callable[[int], object]) -> dict[str, Any]:
    """How answers and the ranking of channels change when a question's words are exchanged for CLEVR's synonyms, its
    program staying the same; and, to compare with, when another question is asked about the same image.

    Rank correlations are Spearman's, of the SE weights (or where there are none of the activations), within a block,
    over the channels; `overlap` is the share of the top quarter that stays.
    """
    material, model, processor = experiment.material, experiment.model, experiment.processor
    change = make_perturbation("synonyms", seed)
    texts, kept = [], []
    for number, question in enumerate(material.questions):
        name = material.filenames[material.images[number]]
        text = change.question(question.question, name)
        assert question.program is not None
        if text != question.question and _same_program(text, question.program):
            texts.append(text)
            kept.append(number)
    other = _other_questions(material)
    if not texts:
        return {"questions": 0}
    numbers = np.array(kept)
    reworded = replace(
        material,
        questions=[replace(material.questions[i], question=text) for i, text in zip(kept, texts, strict=True)],
        tokens=processor.encode_questions(texts),
        images=material.images[numbers],
    )
    changed = Experiment(model, processor, reworded, on_progress)
    plain, scores = experiment.plain, next(iter(experiment.plain.scores().values()))
    new = next(iter(changed.plain.scores().values()))
    paired = np.array([i for i in kept if other[i] >= 0], int)
    return {
        "questions": len(kept),
        "same_answer": changed.estimate(changed.plain.best == plain.best[numbers]),
        "accuracy_before": changed.estimate(plain.right[numbers]),
        "accuracy_after": changed.estimate(changed.plain.right),
        "blocks": [
            {
                "correlation": rank_correlation(scores[k, numbers], new[k]),
                "overlap": top_overlap(scores[k, numbers], new[k]),
                "correlation_other_question": rank_correlation(scores[k, paired], scores[k, other[paired]]),
                "overlap_other_question": top_overlap(scores[k, paired], scores[k, other[paired]]),
                "deviation_correlation": rank_correlation(
                    scores[k, numbers] - scores[k].mean(0), new[k] - scores[k].mean(0)
                ),
                "deviation_correlation_other_question": rank_correlation(
                    scores[k, paired] - scores[k].mean(0), scores[k, other[paired]] - scores[k].mean(0)
                ),
            }
            for k in range(len(scores))
        ],
    }


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Mean of Spearman's rank correlations of the rows of two arrays (Q, C); rows that are constant are left out."""
    found = []
    for a, b in zip(one, other, strict=True):
        x, y = mean_ranks(a), mean_ranks(b)
        x, y = x - x.mean(), y - y.mean()
        size = float(np.sqrt((x**2).sum() * (y**2).sum()))
        if size > 0:
            found.append(float((x * y).sum()) / size)
    return float(np.mean(found)) if found else float("nan")


def top_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Mean share of the `TOP` channels of a row of one array (Q, C) that are among those of the other's."""
    size = max(1, round(TOP * one.shape[1]))
    first, second = (np.argsort(-values, axis=1, kind="stable")[:, :size] for values in (one, other))
    shares = [len(np.intersect1d(a, b)) / size for a, b in zip(first, second, strict=True)]
    return float(np.mean(shares)) if shares else float("nan")


def _same_program(text: str, program: Program) -> bool:
    try:
        return equivalent(parse_question(text), program)
    except InputError:
        return False


def _other_questions(material: ProbeSet) -> np.ndarray:
    """For each question another one about the same image, -1 where there is none."""
    other = np.full(len(material.questions), -1)
    for image in np.unique(material.images):
        mine = np.flatnonzero(material.images == image)
        if len(mine) > 1:
            other[mine] = np.roll(mine, 1)
    return other
