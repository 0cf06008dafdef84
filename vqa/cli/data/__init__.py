"""`vqa data`: make, render, check, fetch, split and pack CLEVR-like datasets."""

COMMANDS = (
    *("make", "scenes", "render", "questions", "bait", "parse"),
    *("download", "check", "split", "merge", "pack", "export"),
)
