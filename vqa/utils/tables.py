"""Tables as padded text and as Markdown, and figures with their intervals."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol


class Interval(Protocol):
    """A share with its confidence interval, all three in 0..1 (or -1..1 for a difference)."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def format_percent(share: float | None, sign: str = "", digits: int = 1) -> str:
    """0.972 as "97.2"; `sign` "+" marks positive ones too. "-" for None."""
    if share is None:
        return "-"
    return format(100 * share, f"{sign}z.{digits}f")


def format_interval(estimate: Interval | Mapping[str, float], sign: str = "") -> str:
    """A share in percent with its interval, such as "97.2 [96.6, 97.7]"."""
    value, low, high = format_bounds(estimate, sign)
    return f"{value} [{low}, {high}]"


def format_bounds(estimate: Interval | Mapping[str, float], sign: str = "") -> tuple[str, str, str]:
    """The value, low end and high end of a share, each in percent."""
    names = ("value", "low", "high")
    shares = [estimate[name] if isinstance(estimate, Mapping) else getattr(estimate, name) for name in names]
    value, low, high = (format_percent(share, sign) for share in shares)
    return value, low, high


def text_table(rows: Sequence[Sequence[str] | str], align: str = "<>") -> list[str]:
    """Lines of a table for a terminal, its columns as wide as their widest cell.

    Args:
        rows: cells, the header among them; a string stands on a line of its own and widens no column.
        align: "<" or ">" for each column; the last one serves all further columns.
    """
    widths = _widths([row for row in rows if not isinstance(row, str)])
    return [row if isinstance(row, str) else "  ".join(_pad(row, widths, align)).rstrip() for row in rows]


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "<>", padded: bool = False
) -> list[str]:
    """Lines of a Markdown table; `align` as in `text_table`, `padded` lines columns up in the source too.

    Markup, bars and line breaks in cells become plain text.
    """
    cells = [[escape_cell(cell) for cell in row] for row in (header, *rows)]
    cells.insert(1, ["---:" if _side(align, i) == ">" else "---" for i in range(len(header))])
    if padded:
        cells = [_pad(row, _widths(cells), "<") for row in cells]
    return [f"| {' | '.join(row)} |" for row in cells]


def escape_cell(text: str) -> str:
    """A text that stays in its Markdown cell, whatever it holds."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "&#124;")


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    size = max(map(len, rows), default=0)
    return [max(len(row[i]) for row in rows if i < len(row)) for i in range(size)]


def _pad(row: Sequence[str], widths: Sequence[int], align: str) -> list[str]:
    return [f"{cell:{_side(align, i)}{widths[i]}}" for i, cell in enumerate(row)]


def _side(align: str, column: int) -> str:
    return align[min(column, len(align) - 1)]
