"""The page's scripts, which lie beside this file."""

from pathlib import Path


def script(name: str) -> str:
    """The text of a script, for `gr.HTML(js_on_load=...)`."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
