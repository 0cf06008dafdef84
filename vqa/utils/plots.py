"""Plots that stand in a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from vqa.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: "Figure", path: Path) -> Path:
    """Write a figure as PNG; returns the path. Raises InputError if the disk refuses."""
    with atomic_write(path) as file:
        figure.savefig(file, dpi=110)
    return path
