"""What the model did, in words."""

from typing import Any

_RELATIONS = {"left": "left of", "right": "right of", "behind": "behind", "front": "in front of"}


def step_in_words(step: dict[str, Any], block: int) -> str:
    """A block's step (an entry of `Answer.steps`; `block` counts from 1) as a phrase about objects."""
    filters = step["filters"]
    kind = filters.get("shape")
    things = " ".join(
        [*(filters[name] for name in ("size", "color", "material") if name in filters), f"{kind or 'thing'}s"]
    )
    operation, before = step["operation"], f"what block {block - 1} picked out"
    other = max(step["reads"], key=step["reads"].get).replace("_", " ") if step["reads"] else "an earlier block"
    if operation == "none":
        return "has no step of this question to do"
    if operation == "scene" or block == 1:
        return things if filters else "all things"
    if operation in _RELATIONS:
        return f"{things} {_RELATIONS[operation]} {before}"
    if operation.startswith("same_"):
        return f"other {things} of the same {operation[5:]} as {before}"
    if operation == "union":
        return f"{things} that block {block - 1} or {other} picked out"
    return f"{things} that block {block - 1} and {other} both picked out"
