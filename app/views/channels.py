"""What the tab "Channels" shows, as HTML: strips of weights, one channel's card, the atlas as a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from app.views.answer import unused_blocks, unused_title, warnings
from app.views.intervene import gate_chips
from app.views.render import percent, render
from app.views.weights import HINTS, hints, legend_item, strip_row
from vqa import Answer
from vqa.clevr.annotations import image_path
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.explain.anova import SOURCES
from vqa.explain.atlas import Atlas, BlockAtlas, ExampleImage
from vqa.explain.channel_weights import CHANNEL_WEIGHTS, open_channels, present
from vqa.explain.concepts import CONCEPTS
from vqa.explain.drawing import Scale, lit_smoothly, ring_objects
from vqa.explain.explanation import step_in_words
from vqa.utils.images import load_image
from vqa.utils.resources import shipped

IN_PLACE = "by number"

_SOURCES = {
    "type": "the type of question",
    "question": "the question within its type",
    "picture": "the picture",
    "both": "question and picture together",
}
_COLUMNS = {
    "Block": "",
    "Channel": "",
    "Tracks": "the concept whose objects the channel's map picks out best",
    "ROC area": HINTS["roc"][1],
    "By chance": "what the best area reaches when objects exchange their labels, in 99 of 100 cases",
    "Speaks": "share of questions under which the channel is not silent all over the picture",
}
_THUMB = (180, 120)
_CLEAR, _PARTLY = 0.75, 0.6
_RING = 0.06


def strips(
    question: str,
    answer: Answer,
    atlas: Atlas | None,
    sort_by: str | None,
    factored: bool = False,
) -> str:
    """For each block a strip for each kind of weight: less its mean in the atlas, or as it is without one.

    `sort_by` is the kind of weight that orders a block's channels, falling; by number where None. Only channels
    that are open are drawn, see `open_channels`. Blocks without a step of the question are folded into one line.
    """
    shown = present(answer)
    if atlas is not None:
        means = {kind: [block.weights[kind].mean for block in atlas.blocks] for kind in shown}
        shown = {kind: [v - m for v, m in zip(shown[kind], means[kind], strict=True)] for kind in shown}
    scales = {kind: CHANNEL_WEIGHTS[kind].scale(v) if atlas is None else Scale.fit(v, 0.0) for kind, v in shown.items()}
    folded = unused_blocks(answer)
    opened = open_channels(answer, factored)
    blocks = []
    for k in range(len(answer.blocks)):
        mine = {kind: values[k] for kind, values in shown.items()}
        order = np.argsort(-mine[sort_by], kind="stable") if sort_by in mine else np.arange(len(opened[k]))
        order = order[opened[k][order]]
        deviation = atlas is not None
        rows = [strip_row(kind, values, scales[kind], order, deviation) for kind, values in mine.items() if len(order)]
        step = step_in_words(step, k + 1) if (step := answer.blocks[k].step) else ""
        blocks.append(
            {
                "number": k + 1,
                "step": step,
                "rows": rows,
                "gates": gate_chips(answer, k + 1),
                "channels": len(opened[k]),
                "order": order.tolist(),
            }
        )
    return render(
        "strips",
        question=question,
        answer=answer,
        warned=warnings(answer),
        legend_items=[_legend_item(kind, scale, shown[kind], atlas is not None) for kind, scale in scales.items()],
        used=[block for block in blocks if block["number"] not in folded],
        unused=[block for block in blocks if block["number"] in folded],
        unused_title=unused_title(folded),
        head=gate_chips(answer, len(answer.blocks) + 1),
    )


def channel_card(
    answer: Answer,
    image: Image.Image,
    spatial: np.ndarray,
    block: int,
    channel: int,
    atlas: Atlas | None,
    without: Answer | None = None,
) -> str:
    """A channel (from 0) of a block (from 1): its map (h, w) over the image, and what the atlas knows of it.

    `without` is the answer with the channel switched off.
    """
    highest = float(spatial.max())
    heat = spatial / highest if highest > 0 else np.zeros_like(spatial)
    known = atlas.blocks[block - 1] if atlas is not None else None
    return render(
        "channel",
        block=block,
        channel=channel,
        answer=answer,
        without=without,
        lit=lit_smoothly(image, heat, answer.picture_box),
        says=f"loudest where the picture is lit, at {highest:.2f}" if highest > 0 else "silent under this question",
        tracks=known and _tracks(known, channel),
        area_hint=HINTS["roc"][1],
        names=[CHANNEL_WEIGHTS[kind].symbol for kind in present(answer)],
        rows=_weight_rows(answer, block, channel, known),
        examples=_examples(known.examples[channel]) if known else [],
    )


def depth_card(atlas: Atlas) -> str:
    """What moves the gates (or FiLM's scales, without a gate), block by block."""
    kind = next((name for name in ("channel_weights", "film_gamma") if name in atlas.blocks[0].weights), None)
    if kind is None:
        return ""
    images, questions = atlas.source["crossed"]
    return render(
        "depth",
        name=CHANNEL_WEIGHTS[kind].symbol,
        blocks=[block.weights[kind] for block in atlas.blocks],
        sources=[(name, _SOURCES[name]) for name in SOURCES],
        images=images,
        questions=questions,
    )


def atlas_table(atlas: Atlas) -> str:
    """All channels in a table that sorts by any column; a press on a channel shows it."""
    kinds = [kind for kind in CHANNEL_WEIGHTS if kind in atlas.blocks[0].weights]
    columns = _COLUMNS | {CHANNEL_WEIGHTS[kind].symbol: "mean over questions" for kind in kinds}
    rows = [
        {
            "block": k,
            "channel": c,
            "concept": block.concept(c),
            "area": block.areas[c].max(),
            "chance": block.baseline[c],
            "speaks": 100 * float(block.active[c]),
            "means": [block.weights[kind].mean[c] for kind in kinds],
        }
        for k, block in enumerate(atlas.blocks, 1)
        for c in range(len(block.baseline))
    ]
    return render("atlas", columns=columns, rows=rows, source=atlas.source, glossary=hints("roc"))


def _legend_item(kind: str, scale: Scale, values: Sequence[np.ndarray], deviation: bool) -> dict[str, str]:
    if not deviation:
        return legend_item(kind, scale, min(float(some.min()) for some in values) < 0)
    meaning = "orange is above what is usual for the channel, blue below"
    return legend_item("film_beta", scale, True) | {"name": CHANNEL_WEIGHTS[kind].symbol, "meaning": meaning}


def _tracks(block: BlockAtlas, channel: int) -> dict[str, Any]:
    """What a channel tracks, how clearly and how often it speaks."""
    concept, best = block.concept(channel), int(block.best[channel])
    area = float(block.areas[channel, best])
    return {
        "dead": block.active[channel] == 0,
        "concept": concept and _quoted(concept),
        "how": "clearly" if area >= _CLEAR else "partly" if area >= _PARTLY else "faintly",
        "best": _quoted(CONCEPTS[best]),
        "area": area,
        "chance": float(block.baseline[channel]),
        "speaks": percent(float(block.active[channel])),
    }


def _quoted(concept: str) -> str:
    return f"what is {concept}" if concept == "asked for" else f"“{concept}”"


def _weight_rows(
    answer: Answer, block: int, channel: int, known: BlockAtlas | None
) -> list[tuple[str, list[dict[str, Any]]]]:
    """A channel's weights now, usually, and by type of question; each with its distance from the usual one."""
    weights = {kind: values[block - 1] for kind, values in present(answer).items()}
    rows = [("This question", {kind: float(values[channel]) for kind, values in weights.items()})]
    if known is None:
        return [(name, [{"value": value, "share": None} for value in cells.values()]) for name, cells in rows]
    usual = {kind: float(known.weights[kind].mean[channel]) for kind in weights}
    rows.append(("Usual", usual))
    for i, name in enumerate(QUESTION_TYPES):
        rows.append((name, {kind: float(known.weights[kind].by_type[i, channel]) for kind in weights}))
    reach = {
        kind: max(CHANNEL_WEIGHTS[kind].least_reach, *(abs(cells[kind] - usual[kind]) for _, cells in rows))
        for kind in weights
    }
    return [
        (name, [{"value": cells[kind], "share": (cells[kind] - usual[kind]) / reach[kind]} for kind in weights])
        for name, cells in rows
    ]


def _examples(examples: Sequence[ExampleImage]) -> list[tuple[ExampleImage, Image.Image]]:
    """Shipped images that make a channel loudest, ringed where it is; empty where they are not installed."""
    found = []
    for example in examples:
        try:
            path = image_path(shipped("data/clevr-mini"), example.split, example.filename)
            image = load_image(path).resize(_THUMB, Image.Resampling.BILINEAR)
        except InputError:
            continue
        found.append((example, ring_objects(image, np.array([[example.x, example.y, _RING, 0.0]]), [0])))
    return found
