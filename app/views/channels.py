"""What the tab "Channels" shows, as HTML: strips of weights, one channel's card, the atlas as a table."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from app.views.answer import percent
from vqa import Answer
from vqa.clevr.annotations import image_path
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.explain.anova import SOURCES
from vqa.explain.atlas import Atlas, BlockAtlas, ExampleImage
from vqa.explain.concepts import CONCEPTS
from vqa.explain.drawing import Scale, data_uri, escape, lit_smoothly, ring_objects, strip
from vqa.explain.explanation import step_in_words
from vqa.utils.images import load_image
from vqa.utils.resources import shipped

IN_PLACE = "by number"
KINDS = {"film_gamma": "FiLM γ", "film_beta": "FiLM β", "channel_weights": "SE weight"}  # noqa: RUF001
"""Kind of weight -> its name here, in the order of a block's steps."""

_LEAST = {"film_gamma": 0.5, "film_beta": 0.5, "channel_weights": 0.05}
"""Differences that are colored fully, unless there are larger ones."""

_CENTRES = {"film_gamma": 1.0, "film_beta": 0.0, "channel_weights": 0.0}
_SOURCES = {
    "type": "the type of question",
    "question": "the question within its type",
    "picture": "the picture",
    "both": "question and picture together",
}

_THUMB = (180, 120)


_CLEAR, _PARTLY = 0.75, 0.6

_RING = 0.06


def strips(question: str, answer: Answer, atlas: Atlas | None, sort_by: str | None) -> str:
    """For each block a strip for each kind of weight: less its mean in the atlas, or as it is without one.

    `sort_by` is the kind of weight that orders a block's channels, falling; by number where None.
    """
    shown = {kind: _shown(answer, kind, atlas) for kind in KINDS if answer.weights["block_1"][kind] is not None}
    scales = {kind: _scale(kind, values, atlas is not None) for kind, values in shown.items()}
    cards = []
    for k in range(len(answer.weights)):
        mine = {kind: values[k] for kind, values in shown.items()}
        count = len(next(iter(mine.values())))
        order = np.argsort(-mine[sort_by], kind="stable") if sort_by in mine else np.arange(count)
        step = escape(step_in_words(answer.steps[k], k + 1)) if answer.steps else ""
        rows = "".join(_strip(kind, values, order, scales[kind], atlas is not None) for kind, values in mine.items())
        cards.append(
            f'<article class="card stage"><h3><b>Block {k + 1}</b> <span>{step}</span></h3>'
            f'<div class="channels pick" role="slider" tabindex="0" aria-label="Channels of block {k + 1}, Enter shows '
            f'one" aria-valuemin="0" aria-valuemax="{count - 1}" aria-valuenow="0" data-block="{k + 1}" '
            f'data-order="{" ".join(map(str, order.tolist()))}">{rows}</div></article>'
        )
    legend = "".join(_legend(kind, scale, atlas is not None) for kind, scale in scales.items())
    return (
        f'<section class="blocks"><p class="asked">{escape(question)} <strong>{escape(answer.answer)}</strong></p>'
        f'<dl class="legend">{legend}</dl>{"".join(cards)}</section>'
    )


def channel_card(
    answer: Answer, image: Image.Image, spatial: np.ndarray, block: int, channel: int, atlas: Atlas | None
) -> str:
    """A channel (from 0) of a block (from 1): its map (h, w) over the image, and what the atlas knows of it."""
    highest = float(spatial.max())
    heat = spatial / highest if highest > 0 else np.zeros_like(spatial)
    says = f"loudest where the picture is lit, at {highest:.2f}" if highest > 0 else "silent under this question"
    figure = (
        f'<figure><img src="{data_uri(lit_smoothly(image, heat, answer.picture_box))}" '
        f'alt="The picture, lit where channel {channel} of block {block} is loud">'
        f"<figcaption>{says}</figcaption></figure>"
    )
    known = atlas.blocks[block - 1] if atlas is not None else None
    about = f"<p>{_tracks(known, channel)}</p>" if known else ""
    table = _weights_table(answer, block, channel, known)
    return (
        f'<section class="card channel" aria-live="polite"><h2>Channel {channel} of block {block}</h2>{about}'
        f'<div class="parts">{figure}<div class="wide">{table}</div></div>{_loudest(known, channel)}</section>'
    )


def depth_card(atlas: Atlas) -> str:
    """What moves the gates (or FiLM's scales, without a gate), block by block."""
    kind = next((name for name in ("channel_weights", "film_gamma") if name in atlas.blocks[0].weights), None)
    if kind is None:
        return ""
    rows = []
    for k, block in enumerate(atlas.blocks, 1):
        found = block.weights[kind]
        parts = "".join(
            f'<i class="{name}" style="width:{found.shares[name]:.1%}" title="{_SOURCES[name]}: '
            f'{found.shares[name]:.0%}"></i>'
            for name in SOURCES
        )
        spoken = ", ".join(f"{_SOURCES[name]} {found.shares[name]:.0%}" for name in SOURCES)
        rows.append(
            f'<li><span>Block {k}</span><span class="shares" role="img" aria-label="{spoken}">{parts}</span>'
            f"<span>± {found.spread:.3f}</span></li>"
        )
    keys = "".join(f'<span><i class="{name}"></i>{text}</span>' for name, text in _SOURCES.items())
    images, questions = atlas.source["crossed"]
    return (
        f'<section class="card depth"><h2>What moves the {KINDS[kind]}s, from early to late blocks</h2>'
        f"<p>Shares of their variance over {questions} questions, each about {images} pictures, and at the right "
        "their spread (standard deviation of a channel's weight).</p>"
        f"<ol>{''.join(rows)}</ol><p class=keys>{keys}</p></section>"
    )


def atlas_table(atlas: Atlas) -> str:
    """All channels in a table that sorts by any column; a press on a channel shows it."""
    kinds = [kind for kind in KINDS if kind in atlas.blocks[0].weights]
    titles = {
        "Block": "",
        "Channel": "",
        "Tracks": "the concept whose objects the channel's map picks out best",
        "ROC area": "how surely: 1 always higher on objects of the concept than on others, 0.5 no better than chance",
        "By chance": "what the best area reaches when objects exchange their labels, in 99 of 100 cases",
        "Speaks": "share of questions under which the channel is not silent all over the picture",
        **{f"{KINDS[kind]}": "mean over questions" for kind in kinds},
    }
    head = "".join(
        f'<th scope="col"><button type="button" title="{escape(hint)}">{escape(title)}</button></th>'
        for title, hint in titles.items()
    )
    rows = []
    for k, block in enumerate(atlas.blocks):
        for c in range(len(block.baseline)):
            concept = block.concept(c)
            speaks = f"{100 * float(block.active[c]):.1f} %"
            means = [f"<td>{block.weights[kind].mean[c]:.2f}</td>" for kind in kinds]
            rows.append(
                f'<tr data-block="{k + 1}" data-channel="{c}"><td>{k + 1}</td>'
                f'<td><button type="button">{c}</button></td>'
                f"<td>{escape(concept) if concept else '<span class=none>no concept</span>'}</td>"
                f"<td>{block.areas[c].max():.3f}</td><td>{block.baseline[c]:.3f}</td><td>{speaks}</td>"
                f"{''.join(means)}</tr>"
            )
    source = atlas.source
    about = f"{source['objects']:,} objects in {source['pictures']:,} pictures under {source['questions']:,} questions"
    return (
        f'<section class="card atlas"><h2>Channel atlas</h2><p>What each channel tracks, from {about}. Sort by a '
        'column; choose a channel to see it.</p><div class="scroll" tabindex="0" role="region" '
        'aria-label="Channel atlas">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _shown(answer: Answer, kind: str, atlas: Atlas | None) -> list[np.ndarray]:
    values = [np.asarray(weights[kind]) for weights in answer.weights.values()]
    if atlas is None:
        return values
    return [value - block.weights[kind].mean for value, block in zip(values, atlas.blocks, strict=True)]


def _scale(kind: str, values: list[np.ndarray], deviation: bool) -> Scale:
    if deviation:
        return Scale.fit(values, 0.0)
    if kind == "channel_weights" and max(float(np.abs(some).max()) for some in values) <= 1:
        return Scale(0.0, 1.0)
    return Scale.fit(values, _CENTRES[kind])


def _strip(kind: str, values: np.ndarray, order: np.ndarray, scale: Scale, deviation: bool) -> str:
    form = "{:+z.2f}" if deviation else "{:z.2f}"
    low, high = int(values.argmin()), int(values.argmax())
    extremes = f"{form.format(values[low])} (channel {low}) to {form.format(values[high])} (channel {high})"
    numbers = " ".join(form.format(value) for value in values[order].tolist())
    return (
        f'<div class="strip{"" if deviation else f" {kind}"}" data-values="{numbers}"><span>{KINDS[kind]}</span>'
        f"{strip(values[order], scale)}<output>{extremes}</output></div>"
    )


def _legend(kind: str, scale: Scale, deviation: bool) -> str:
    gate = kind == "channel_weights"
    if deviation:
        colors, text = "diverging", "orange is above what is usual for the channel, blue below"
    elif gate and scale.reach == 1:
        colors, text = "sequential", "full green lets all of a channel through, blank nothing"
    else:
        colors, text = "diverging", f"blank leaves a channel as it is ({scale.centre:g})"
    low = scale.centre if colors == "sequential" else scale.centre - scale.reach
    return (
        f'<div><dt>{KINDS[kind]} <span class="swatch"><small>{low:g}</small><i class="{colors}"></i>'
        f"<small>{scale.centre + scale.reach:g}</small></span></dt><dd>{text}</dd></div>"
    )


def _tracks(block: BlockAtlas, channel: int) -> str:
    concept, best = block.concept(channel), int(block.best[channel])
    area, chance = float(block.areas[channel, best]), float(block.baseline[channel])
    speaks = f"It speaks under {percent(float(block.active[channel]))} of questions."
    if block.active[channel] == 0:
        return "It never spoke under any question of the atlas: a dead channel."
    numbers = f'<span title="{_AREA_HINT}">ROC area {area:.3f}</span>; by chance it would reach {chance:.3f}'
    if concept is None:
        return f"It tracks <strong>no concept</strong>: at best {_quoted(CONCEPTS[best])}, {numbers}. {speaks}"
    how = "clearly" if area >= _CLEAR else "partly" if area >= _PARTLY else "faintly"
    return f"It {how} tracks <strong>{_quoted(concept)}</strong> ({numbers}). {speaks}"


_AREA_HINT = (
    "How often the channel is louder on an object of the concept than on another one: 1 is always, 0.5 is no better "
    "than a coin"
)


def _quoted(concept: str) -> str:
    return f"what is {concept}" if concept == "asked for" else f"“{escape(concept)}”"


def _weights_table(answer: Answer, block: int, channel: int, known: BlockAtlas | None) -> str:
    weights = answer.weights[f"block_{block}"]
    kinds = [kind for kind in KINDS if weights[kind] is not None]
    head = "".join(f'<th scope="col">{KINDS[kind]}</th>' for kind in kinds)
    rows = [("This question", {kind: float(np.asarray(weights[kind])[channel]) for kind in kinds})]
    if known is not None:
        rows.append(("Usual", {kind: float(known.weights[kind].mean[channel]) for kind in kinds}))
        for i, name in enumerate(QUESTION_TYPES):
            rows.append((name, {kind: float(known.weights[kind].by_type[i, channel]) for kind in kinds}))
    usual = rows[1][1] if known is not None else None
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(_cell(cells, kind, usual, rows) for kind in kinds)}</tr>'
        for name, cells in rows
    )
    caption = "Its weights, and their means by type of question" if known is not None else "Its weights"
    return f"<table><caption>{caption}</caption><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(
    cells: Mapping[str, float],
    kind: str,
    usual: Mapping[str, float] | None,
    rows: list[tuple[str, dict[str, float]]],
) -> str:
    value = cells[kind]
    if usual is None:
        return f"<td>{value:z.2f}</td>"
    reach = max(_LEAST[kind], *(abs(other[kind] - usual[kind]) for _, other in rows))
    share = (value - usual[kind]) / reach
    side = "up" if share > 0 else "down"
    return f'<td class="{side}" style="--w:{abs(share):.2f}">{value:z.2f}</td>'


def _loudest(block: BlockAtlas | None, channel: int) -> str:
    if block is None or not block.examples[channel]:
        return ""
    figures = "".join(map(_thumbnail, block.examples[channel]))
    return f'<h3>Pictures that make it loudest</h3><div class="loudest">{figures}</div>' if figures else ""


def _thumbnail(example: ExampleImage) -> str:
    try:
        path = image_path(shipped("data/clevr-mini"), example.split, example.filename)
        image = load_image(path).resize(_THUMB, Image.Resampling.BILINEAR)
    except InputError:
        return ""
    ringed = ring_objects(image, np.array([[example.x, example.y, _RING, 0.0]]), [0])
    text = escape(example.question)
    return (
        f'<figure><img src="{data_uri(ringed)}" alt="The channel is loudest at the ring, asked: {text}">'
        f"<figcaption>{example.value:.2f} under “{text}”</figcaption></figure>"
    )
