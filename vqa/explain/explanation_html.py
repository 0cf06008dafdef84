"""An explanation as HTML: where the evidence lies, for the page's tab and for files that need nothing else."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from vqa.explain.atlas import NAMES
from vqa.explain.drawing import (
    Scale,
    data_uri,
    escape,
    lit_places,
    lit_smoothly,
    ring_objects,
    shaded_words,
    small,
    strip,
)
from vqa.explain.explanation import Explanation, step_in_words
from vqa.explain.object_regions import discs_of

_CENTRES = {"channel_weights": 0.0, "film_gamma": 1.0, "film_beta": 0.0}
_STYLE = """
:root { --line: #e2e3df; --soft: #59616b; --up: #c44e00; --down: #0064b0; --pass: #00795f; --word: #58bda4; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; margin: 0 auto; padding: 24px 16px; max-width: 1080px; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 18px; margin: 28px 0 8px; } p { margin: 4px 0; }
.soft, figcaption { color: var(--soft); } figcaption b, figcaption strong { color: #1b1f24; }
.evidence { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 14px; }
figure { margin: 0; } figure img { width: 100%; display: block; border-radius: 8px; } figcaption { font-size: 13px; }
.block { border-top: 1px solid var(--line); padding: 10px 0; }
.block h3 { font-size: 15px; font-weight: 400; margin: 0 0 6px; }
.words { margin: 0 0 8px; line-height: 1.8; } .words span { padding: 2px 3px; border-radius: 4px; }
.words span { background: color-mix(in srgb, var(--word) calc(var(--w) * 100%), transparent); }
.words .unknown { text-decoration: underline dashed #a51d2d; }
.strip { display: grid; grid-template-columns: 90px 1fr 210px; gap: 10px; align-items: center; font-size: 12px; }
.strip svg { width: 100%; height: 20px; box-shadow: inset 0 0 0 1px var(--line); margin: 2px 0; }
.strip rect { width: 1px; height: 1px; shape-rendering: crispEdges; }
.up { fill: var(--up); } .down { fill: var(--down); } .channel_weights .up { fill: var(--pass); }
@media (max-width: 640px) { .strip { grid-template-columns: 1fr; gap: 0; } }
"""


def evidence_figures(explanation: Explanation) -> tuple[list[str], list[str]]:
    """HTML figures of the answer (the image, its evidence, Grad-CAM), and of each block's evidence, where it has any.

    Objects that the question refers to have rings where scene and program are known.
    """
    answer, image, found = explanation.answer, explanation.image, explanation.referents
    box = answer.picture_box
    discs = discs_of(explanation.scene) if explanation.scene else np.zeros((0, 4))

    def ringed(image: Image.Image, chosen: Sequence[int] | None) -> Image.Image:
        return ring_objects(image, discs, chosen or ())

    asked = found.answer if found else None
    about = "the objects that the answer is read from are ringed" if asked else referents_note(explanation)
    whole = [_figure(ringed(small(image), asked), "The image", about)]
    if explanation.answer_map is not None:
        lit = lit_places(image, explanation.answer_map, box)
        whole.append(
            _figure(ringed(lit, asked), "Evidence of the answer", "what the model itself marked and then read")
        )
    heat = lit_smoothly(image, explanation.grad_cam, box)
    note = (
        "which places push towards this answer, by gradients" if explanation.grad_cam.any() else "nothing speaks for it"
    )
    whole.append(_figure(ringed(heat, asked), "Grad-CAM, for comparison", note))
    blocks = []
    for k, weights in enumerate(answer.weights.values()):
        spatial = weights["spatial_weights"]
        if spatial is not None:
            step = answer.steps[k] if answer.steps else None
            text = step_in_words(step, k + 1) if step else ""
            chosen = found.blocks[k] if found else None
            image = ringed(lit_places(image, spatial, box), chosen)
            blocks.append(
                _figure(image, f"Block {k + 1}", text, "unused" if step and step["operation"] == "none" else "")
            )
    return whole, blocks


def referents_note(explanation: Explanation) -> str:
    """Why no object is ringed, or an empty text where some are."""
    if explanation.referents is not None:
        return "" if explanation.referents.answer else "the question refers to no object here"
    if explanation.program is None:
        return "not in CLEVR's wording, so nothing says which objects are meant"
    if explanation.scene is None:
        return "this image's objects are not known, so none is ringed"
    return "the question does not fit this image: it means exactly one object where there is none or several"


def html_explanation(explanation: Explanation) -> str:
    """A whole page that needs no other file: the answer, its evidence, and for each block words and channel strips."""
    answer = explanation.answer
    whole, blocks = evidence_figures(explanation)
    ranked = ", ".join(f"{escape(name)} {p:.1%}" for name, p in answer.top_answers)
    parts = [
        f"<h1>{escape(answer.answer)}</h1>",
        f'<p class="soft">{escape(explanation.question)}</p><p>{ranked}</p>',
        f"<h2>Where the answer comes from</h2><div class=evidence>{''.join(whole)}</div>",
        f"<h2>What each block picked out</h2><div class=evidence>{''.join(blocks)}</div>" if blocks else "",
        "<h2>What each block read, and how it weighed its channels</h2>",
        *(_block(explanation, k) for k in range(len(answer.weights))),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(answer.answer)}: {escape(explanation.question)}</title><style>{_STYLE}</style></head>\n"
        f"<body>{chr(10).join(filter(None, parts))}</body></html>\n"
    )


def _figure(image: Image.Image, title: str, text: str, kind: str = "") -> str:
    return (
        f'<figure class="{kind}"><img src="{data_uri(image)}" alt="{escape(f"{title}: {text}".rstrip(": "))}">'
        f"<figcaption><b>{escape(title)}</b> {escape(text)}</figcaption></figure>"
    )


def _block(explanation: Explanation, k: int) -> str:
    answer = explanation.answer
    weights = answer.weights[f"block_{k + 1}"]
    step = f" {escape(step_in_words(answer.steps[k], k + 1))}" if answer.steps else ""
    words = weights["word_weights"]
    rows = [shaded_words(answer.words, words, answer.unknown_words)] if words is not None else []
    for kind, name in NAMES.items():
        values = weights[kind]
        if values is not None:
            everywhere = [other for block in answer.weights.values() if (other := block[kind]) is not None]
            within = kind == "channel_weights" and max(float(np.abs(some).max()) for some in everywhere) <= 1
            scale = Scale(0.0, 1.0) if within else Scale.fit(everywhere, _CENTRES[kind])
            extremes = (
                f"{values.min():.2f} (channel {values.argmin()}) to {values.max():.2f} (channel {values.argmax()})"
            )
            rows.append(f'<div class="strip {kind}"><b>{name}</b>{strip(values, scale)}<span>{extremes}</span></div>')
    return f'<div class="block"><h3><b>Block {k + 1}</b>{step}</h3>{"".join(rows)}</div>'
