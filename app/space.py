"""The page as a Hugging Face Space: a folder to push there as it is."""

import json
import os
import shutil
from collections.abc import Sequence
from importlib.metadata import distribution, requires, version
from pathlib import Path

from app.models import find_models
from vqa.errors import InputError
from vqa.inference.checkpoints import load_checkpoint
from vqa.utils.files import atomic_folder
from vqa.utils.resources import shipped

_README = """\
---
title: Ask a CLEVR image
emoji: 🧊
colorFrom: gray
colorTo: green
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: space.py
license: apache-2.0
short_description: Answers about CLEVR images, and the channels behind them
tags:
- visual-question-answering
- clevr
- mcp-server
---

A small network (CNN, FiLM and query-conditioned squeeze-and-excitation) answers questions about images of simple
objects, and shows the words, places and channels that each of its blocks used. Made by `vqa app --export-space`.
"""
_CPU_TORCH = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""Its builds for CPUs count as newer than PyPI's of the same version, which bring 2 GB of CUDA along."""
_START = """\
from app.server import serve

serve({checkpoints}, host="0.0.0.0", port=7860)
"""
_LICENSES = ("LICENSE", "NOTICE")
_SKIPPED = shutil.ignore_patterns("__pycache__", "_shipped", "*.pyc", ".*")


def export_space(folder: str | os.PathLike, checkpoints: Sequence[str] | None = None) -> None:
    """Write a new folder with the page, its checkpoints (by default all that are shipped), and a Space's own files.

    Raises InputError where the folder is there already or cannot be written, and for a broken checkpoint.
    """
    target = Path(folder)
    if target.exists():
        raise InputError(f"--export-space {target}: is there already; give a new folder")
    sources = find_models(checkpoints).folders
    for source in sources.values():
        load_checkpoint(source, "cpu")
    with atomic_folder(target) as made:
        _copy_packages(made)
        for name, source in sources.items():
            shutil.copytree(source, made / "checkpoints" / name, ignore=_SKIPPED)
        for name, text in _own_files([f"checkpoints/{name}" for name in sources]).items():
            (made / name).write_text(text, encoding="utf-8")


def requirements() -> list[str]:
    """What the page needs, without gradio, which a Space has by its `sdk_version`; its MCP server is named."""
    needed = [
        line for line in requires("film-se-vqa") or [] if "extra ==" not in line and not line.startswith("gradio")
    ]
    return [_CPU_TORCH, *needed, "gradio[mcp]"]


def _copy_packages(folder: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    for package in ("vqa", "app"):
        shutil.copytree(root / package, folder / package, ignore=_SKIPPED)
    shutil.copytree(shipped("data/clevr-mini"), folder / "data" / "clevr-mini", ignore=_SKIPPED)


def _own_files(checkpoints: Sequence[str]) -> dict[str, str]:
    return {
        "README.md": _README.format(gradio=version("gradio")),
        "space.py": _START.format(checkpoints=json.dumps(checkpoints)),
        "requirements.txt": "".join(f"{line}\n" for line in requirements()),
        ".gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        **{name: _license(name) for name in _LICENSES},
    }


def _license(name: str) -> str:
    """A license file: of the checkout, or of the installed package."""
    path = Path(__file__).resolve().parents[1] / name
    if path.is_file():
        return path.read_text(encoding="utf-8")
    text = distribution("film-se-vqa").read_text(f"licenses/{name}")
    if text is None:
        raise InputError(f"{name}: not part of this installation; install film-se-vqa again")
    return text
