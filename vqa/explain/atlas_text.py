"""A channel atlas as text for the terminal."""

from collections import Counter

import numpy as np

from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.explain.atlas import Atlas, BlockAtlas
from vqa.explain.concepts import CONCEPTS, KINDS
from vqa.explain.variance import SOURCES

NAMES = {"channel_weights": "SE weight", "film_gamma": "FiLM gamma", "film_beta": "FiLM beta"}
"""Kind of weight -> what people call it."""


def format_atlas(atlas: Atlas) -> str:
    """Block by block: how many channels track which kind of concept, and what moves their weights."""
    source = atlas.source
    lines = [
        f"{source['pictures']} pictures, {source['questions']} questions, {source['objects']} objects",
        "",
        "Channels by the kind of concept they track; median ROC area of those that track one, and by chance; "
        "share of questions under which a channel is not silent",
        _row(
            "block", [*(name for name in [*ATTRIBUTES, "position", "question", "object"]), "none", "median", "chance"]
        ),
    ]
    for k, block in enumerate(atlas.blocks, 1):
        counts, areas = kind_counts(block)
        kinds = [*ATTRIBUTES, "position", "question", "object", "none"]
        cells = [str(counts.get(kind, 0)) for kind in kinds]
        median = f"{np.median(areas):.3f}" if len(areas) else "-"
        lines.append(_row(str(k), [*cells, median, f"{np.median(block.baseline):.3f}", f"{block.active.mean():.0%}"]))
    pictures, questions = source["crossed"]
    for kind, name in NAMES.items():
        if kind in atlas.blocks[0].weights:
            lines += [
                "",
                f"{name}: its spread (standard deviation), and the share of its variance, in %, "
                f"that each source explains ({questions} questions x {pictures} pictures)",
                _row("block", ["mean", "spread", *SOURCES]),
            ]
            for k, block in enumerate(atlas.blocks, 1):
                found = block.weights[kind]
                shares = [f"{100 * found.shares[name]:.1f}" for name in SOURCES]
                lines.append(_row(str(k), [f"{found.mean.mean():.3f}", f"{found.spread:.4f}", *shares]))
    return "\n".join(lines)


def format_stability(one: Atlas, other: Atlas) -> str:
    """Block by block: how many channels track something in both of two atlases of a checkpoint, and how many the same.

    Beside the correlation, over channels and concepts, of the areas under the ROC curve, which needs no threshold.
    """
    sets = [f"{atlas.source.get('data', '')} {atlas.source.get('split', '')}".strip() for atlas in (one, other)]
    lines = [
        f"Do channels track the same in {sets[0]} and {sets[1]}?",
        _row("block", ["in both", "the same", "areas' r"]),
    ]
    for k, pair in enumerate(zip(one.blocks, other.blocks, strict=True), 1):
        concepts = [[block.concept(c) for c in range(len(block.baseline))] for block in pair]
        both = [(a, b) for a, b in zip(*concepts, strict=True) if a is not None and b is not None]
        related = np.corrcoef([block.areas.ravel() for block in pair])[0, 1]
        lines.append(_row(str(k), [str(len(both)), str(sum(a == b for a, b in both)), f"{related:.2f}"]))
    return "\n".join(lines)


def kind_counts(block: BlockAtlas) -> tuple[Counter[str], np.ndarray]:
    """How many channels track each kind of concept, "none" among them, and the areas of those that track one."""
    concepts = [block.concept(c) for c in range(len(block.baseline))]
    areas = [block.areas[c, CONCEPTS.index(name)] for c, name in enumerate(concepts) if name is not None]
    return Counter("none" if name is None else KINDS[name] for name in concepts), np.array(areas)


def _row(first: str, cells: list[str]) -> str:
    return f"{first:6}" + "".join(f"{cell:>10}" for cell in cells)
