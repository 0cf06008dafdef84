"""What the tab "Intervene" shows, as HTML: the answer before and after, and all that can be changed, to be pressed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from app.views.answer import unused_blocks, unused_title
from app.views.comparison import Side, side_by_side
from app.views.render import render
from app.views.scene_plan import COLORS
from app.views.seen import outlines
from vqa import Answer
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.explain.channel_weights import open_attributes
from vqa.explain.drawing import lit_places
from vqa.explain.explanation import step_in_words
from vqa.model.scene import ATTRIBUTE_SIZES

Changes = Mapping[tuple[str, ...], str]
"""See `app.tabs.intervene.Edits`."""

_ENDS = np.cumsum((0, *ATTRIBUTE_SIZES)).tolist()
_WHOLE = "all channels"
GATE_GROUPS: dict[str, list[int] | None] = {
    **{name: list(range(*span)) for name, *span in zip(ATTRIBUTES, _ENDS, _ENDS[1:], strict=False)},
    _WHOLE: None,
}
"""What one press opens or shuts: the attribute channels of an input gate by their attribute, or a whole gate."""

_SIZE = (600, 600)


def intervene_section(
    image: Image.Image,
    question: str,
    before: Answer,
    after: Answer,
    changes: Changes,
    chosen: int | None,
    told: list[str],
) -> str:
    """Before and after, the image with its objects, the settings of the chosen one, and each used block.

    `told` has the changes in words.
    """
    folded = unused_blocks(before)
    blocks = [_block(before, after, k, image, changes) for k in range(1, len(before.blocks) + 1) if k not in folded]
    if before.head_gate is not None:
        chips = gate_chips(after, len(before.blocks) + 1, changes)
        blocks.append({"number": 0, "step": "reads what the blocks selected", "gates": chips, "lit": None})
    shown = image.copy()
    shown.thumbnail(_SIZE)
    frame = outlines(before, image, {int(key[1]) for key in changes if key[0] in ("hide", "set")}, {chosen})
    return render(
        "intervene",
        pair=side_by_side(Side("As it is", question, before), Side("; ".join(told) or "Nothing changed", "", after)),
        told=told,
        frame=frame,
        image=shown,
        hidden={int(key[1]) for key in changes if key[0] == "hide"},
        chosen=chosen,
        item=None if chosen is None or before.scene is None else before.scene.objects[chosen].as_object(),
        now={key[2]: value for key, value in changes.items() if key[:2] == ("set", str(chosen))},
        attributes=ATTRIBUTES,
        colors=COLORS,
        blocks=blocks,
        unused_title=unused_title(folded) if folded else "",
    )


def gate_chips(answer: Answer, block: int, changes: Changes | None = None) -> list[dict[str, Any]]:
    """The gates of a block (from 1; the head is one more) as chips: their names, whether open, and whether forced."""
    head = block > len(answer.blocks)
    gate = answer.head_gate if head else answer.blocks[block - 1].channel_gate
    if gate is None:
        return []
    by_attribute = head or open_attributes(answer.blocks[block - 1]) is not None
    return [
        {
            "block": block,
            "group": group,
            "open": bool(gate[GATE_GROUPS[group]].mean() > 0.5),
            "forced": ("gate", str(block), group) in (changes or {}),
        }
        for group in (ATTRIBUTES if by_attribute else [_WHOLE])
    ]


def _block(before: Answer, after: Answer, k: int, image: Image.Image, changes: Changes) -> dict[str, Any]:
    attention, step = after.blocks[k - 1].object_attention, after.blocks[k - 1].step
    found = {"number": k, "step": step_in_words(step, k) if step else "", "gates": gate_chips(after, k, changes)}
    if attention is None or before.scene is None:
        return found | {"lit": None}
    held = [i for i, item in enumerate(before.scene.objects) if sum(attention[cell] for cell in item.cells) >= 0.5]
    forced = {int(key[2]) for key in changes if key[:2] == ("attend", str(k))}
    return found | {
        "lit": lit_places(image, attention, before.scene),
        "frame": outlines(before, image, forced, held),
    }


def in_words(key: tuple[str, ...], value: str, names: list[str]) -> str:
    """A change in words."""
    match key:
        case ("hide", i):
            return f"without {int(i) + 1}, the {names[int(i)]}"
        case ("set", i, attribute):
            return f"{int(i) + 1}, the {names[int(i)]}, of {attribute} {value}"
        case ("attend", block, i):
            return f"block {block} {'attends' if value == '1' else 'does not attend'} to {int(i) + 1}"
        case ("gate", block, group):
            return f"{group} {'open' if value == '1' else 'shut'} for block {block}"
        case ("off", block):
            return f"block {block} without channels {value}"
    return f"{key[1]} of “{value}”"
