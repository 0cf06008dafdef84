"""Flags that were renamed: the old ones keep working for one version, with a note."""

import sys
from collections.abc import Sequence

_TRAINING = {
    "--output": "--out",
    "--max-presentations": "--training-questions",
    "--evaluate-presentations": "--evaluate-every",
}

RENAMED: dict[str, dict[str, str]] = {
    "train": _TRAINING,
    "finetune": _TRAINING | {"--samples": "--training-questions", "--every": "--evaluate-every"},
    "ablate": _TRAINING | {"--budget": "--training-questions"},
    "evaluate": {"--samples": "--resamples"},
    "explain atlas": {"--pictures": "--images"},
    "explain faithfulness": {"--questions": "--num-questions"},
    "benchmark train": {"--pictures": "--images"},
    "data check": {"--no-pictures": "--no-images"},
}
"""Old flag -> new flag, for each command."""


def rename_flags(argv: Sequence[str]) -> list[str]:
    """The arguments with old flags replaced by new ones, of which a note is printed."""
    renamed = RENAMED.get(" ".join(argv[:1])) or RENAMED.get(" ".join(argv[:2])) or {}
    found = []
    for word in argv:
        flag, equals, value = word.partition("=")
        if flag in renamed:
            print(f"vqa: note: {flag} is now {renamed[flag]}", file=sys.stderr)
        found.append(renamed.get(flag, flag) + equals + value)
    return found
