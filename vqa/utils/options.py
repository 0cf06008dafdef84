"""An option declared once: a dataclass field with its default, range and help, of which the flag is made."""

import argparse
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from vqa.errors import InputError


def option(default: Any = MISSING, help: str = "", **metadata: Any) -> Any:
    """A dataclass field that is an option; a list or dict as `default` is copied.

    Args:
        default: None for a value found later; without it the option is required.
        help: for `--help`, which adds the default unless the text has a "(default: ...)" of its own.
        metadata: `range` (low, high), `choices`, `metavar`, `flag` (default: --field-name), `group` (a heading of the
            help), and whatever else the dataclass reads.
    """
    metadata["help"] = help
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def flag_of(item: Field) -> str:
    """The flag of an option, such as "--batch-size"."""
    return item.metadata.get("flag", "--" + item.name.replace("_", "-"))


MOST = 2**63 - 1
"""Of an option without an upper limit."""


def check_range(flag: str, value: float, low: float, high: float) -> None:
    """Raises InputError for a value out of range."""
    if not low <= value <= high:
        least, most = (f"{limit:,}" if isinstance(limit, int) else f"{limit:,g}" for limit in (low, high))
        wanted = f"be at least {least}" if high >= MOST else f"lie from {least} to {most}"
        raise InputError(f"{flag} {value}: must {wanted}")


def check_options(options: Any) -> None:
    """Raises InputError for an option out of its range or none of its choices; None is not checked."""
    for item in fields(options):
        value, limits, choices = getattr(options, item.name), item.metadata.get("range"), item.metadata.get("choices")
        if value is not None and limits:
            check_range(flag_of(item), value, *limits)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and choices and one not in choices:
                raise InputError(f"{flag_of(item)} {one:.80}: must be one of {', '.join(choices)}")


def add_options(
    parser: argparse.ArgumentParser,
    options: type,
    *,
    only: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    required: tuple[str, ...] = (),
    defaults: Mapping[str, Any] | None = None,
    helps: Mapping[str, str] | None = None,
) -> None:
    """Add the flags of a dataclass of options, under the headings of their groups.

    Args:
        only: the fields taken, without a heading (default: all).
        without: fields left out.
        required: fields that this command requires.
        defaults, helps: what this command has instead of the field's. A field with a `recipe`, in which its usual
            value is the first, stays None, and the default is only part of the help.
    """
    hints, defaults, helps = get_type_hints(options), defaults or {}, helps or {}
    groups: dict[str, argparse._ActionsContainer] = {}
    for item in fields(options):
        if item.name in without or item.name not in (only or hints) or "help" not in item.metadata:
            continue
        heading = item.metadata["group"]
        if heading not in groups:
            groups[heading] = parser if only else parser.add_argument_group(heading)
        group = groups[heading]
        default = defaults.get(item.name, item.default)
        help = helps.get(item.name, item.metadata["help"])
        needed = item.name in required or (default is MISSING and item.default_factory is MISSING)
        said = item.metadata["recipe"][0] if default is None and "recipe" in item.metadata else default
        if not needed and said not in (None, MISSING, False) and "(default:" not in help:
            help += f" (default: {said:g})" if isinstance(said, float) else f" (default: {said})"
        kind, more = _kind(hints[item.name]), {"choices": item.metadata.get("choices"), "help": help}
        if kind is bool:
            group.add_argument(flag_of(item), dest=item.name, action="store_true", help=help)
        elif kind in (list, dict):
            more |= {"metavar": item.metadata.get("metavar"), "nargs": "+", "action": "extend", "default": []}
            group.add_argument(flag_of(item), dest=item.name, **more)
        else:
            usual = None if more["choices"] else {int: "N", float: "X"}.get(kind)
            more |= {"metavar": item.metadata.get("metavar", usual), "type": kind, "required": needed}
            value = item.default if "recipe" in item.metadata else default
            group.add_argument(flag_of(item), dest=item.name, default=None if needed else value, **more)


def _kind(hint: Any) -> type:
    """The type of a hint such as `int`, `int | None` or `list[str]`: int, int, list."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] if NoneType in get_args(hint) else [hint]
    return get_origin(kinds[0]) or kinds[0]
