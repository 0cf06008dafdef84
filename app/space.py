"""The page as a Hugging Face Space: a folder to push there as it is."""

import os
import shutil
from collections.abc import Sequence
from importlib.metadata import requires, version
from pathlib import Path

from vqa.errors import InputError
from vqa.inference.checkpoints import checkpoint_folder, load_checkpoint
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
_START = """\
from app.server import serve

serve(["checkpoints/{name}"], host="0.0.0.0", port=7860)
"""
_SKIPPED = shutil.ignore_patterns("__pycache__", "_shipped", "*.pyc", ".*")


def export_space(folder: str | os.PathLike, checkpoints: Sequence[str] | None = None) -> None:
    """Write a new folder with the page, its first checkpoint (the shipped one by default), and a Space's own files.

    Raises InputError where the folder is there already or cannot be written, and for a broken checkpoint.
    """
    target = Path(folder)
    if target.exists():
        raise InputError(f"--export-space {target}: is there already; give a new folder")
    source = checkpoint_folder(checkpoints[0] if checkpoints else None)
    load_checkpoint(source, "cpu")
    name = source.resolve().name
    making = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    root = Path(__file__).resolve().parents[1]
    try:
        for package in ("vqa", "app"):
            shutil.copytree(root / package, making / package, ignore=_SKIPPED)
        shutil.copytree(shipped("data/clevr-mini"), making / "data" / "clevr-mini", ignore=_SKIPPED)
        shutil.copytree(source, making / "checkpoints" / name, ignore=_SKIPPED)
        (making / "README.md").write_text(_README.format(gradio=version("gradio")), encoding="utf-8")
        (making / "space.py").write_text(_START.format(name=name), encoding="utf-8")
        (making / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements()), encoding="utf-8")
        (making / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")
        making.replace(target)
    except OSError as error:
        raise InputError(f"--export-space {target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def requirements() -> list[str]:
    """What the page needs, without gradio, which a Space has by its `sdk_version`; its MCP server is named."""
    needed = [
        line for line in requires("film-se-vqa") or [] if "extra ==" not in line and not line.startswith("gradio")
    ]
    return [*needed, "gradio[mcp]"]
