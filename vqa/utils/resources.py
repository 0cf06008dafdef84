"""Files that come with the product: example data and trained checkpoints."""

from pathlib import Path

from vqa.errors import InputError

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """A shipped file or folder by its path in the repository, such as "data/clevr-mini".

    Found inside the installed package, or in the checkout that the code runs from. Raises InputError where it is in
    neither.
    """
    for root in (_PACKAGE / "_shipped", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise InputError(f"{name}: not part of this installation; install film-se-vqa again, or give a path of your own")
