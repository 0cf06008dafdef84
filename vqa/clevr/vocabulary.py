"""The closed world of CLEVR: attribute values, relations, answers, question types (Johnson et al. 2017, section 3)."""

SHAPES = ("cube", "sphere", "cylinder")
COLORS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
SIZES = ("large", "small")
MATERIALS = ("rubber", "metal")
ATTRIBUTES = {"size": SIZES, "color": COLORS, "material": MATERIALS, "shape": SHAPES}
"""Attribute name -> its values, in the order in which CLEVR's phrases name them."""

_COGENT_HALVES = (("gray", "blue", "brown", "yellow"), ("red", "green", "purple", "cyan"))
COGENT_COLORS: dict[str, dict[str, tuple[str, ...]]] = {
    "cogent-a": {"cube": _COGENT_HALVES[0], "cylinder": _COGENT_HALVES[1], "sphere": COLORS},
    "cogent-b": {"cube": _COGENT_HALVES[1], "cylinder": _COGENT_HALVES[0], "sphere": COLORS},
}
"""CoGenT condition -> shape -> the colors it may have (Johnson et al. 2017, section 4.7)."""

RELATIONS = ("left", "right", "behind", "front")
MAX_OBJECTS = 10

ANSWERS = (*map(str, range(MAX_OBJECTS + 1)), "yes", "no", *SHAPES, *COLORS, *SIZES, *MATERIALS)
"""The 28 answers, in the order of the classifier's outputs."""

SYNONYMS = {
    "sphere": ("sphere", "ball"),
    "cube": ("cube", "block"),
    "large": ("large", "big"),
    "small": ("small", "tiny"),
    "metal": ("metallic", "metal", "shiny"),
    "rubber": ("rubber", "matte"),
    "left": ("left of", "to the left of", "on the left side of"),
    "right": ("right of", "to the right of", "on the right side of"),
    "behind": ("behind",),
    "front": ("in front of",),
}
"""Value -> the ways CLEVR's language says it; a value that is absent is said by its own name."""

QUESTION_TYPES = ("count", "exist", "compare integer", "query attribute", "compare attribute")
"""The five types of CLEVR's result tables."""
