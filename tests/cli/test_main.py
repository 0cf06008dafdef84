"""The command line as a whole: quick, complete, and kind."""

import subprocess
import sys

import pytest

from vqa.cli import build_parser, main


def test_help_loads_nothing_heavy() -> None:
    """What keeps `vqa --help` under a second: none of these is imported before a command runs."""
    heavy = ["torch", "transformers", "datasets", "gradio", "accelerate", "matplotlib", "numpy", "PIL"]
    script = (
        f"import sys; from vqa.cli import build_parser; build_parser(); print([m for m in {heavy} if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_help_names_every_command(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    actions = build_parser()._subparsers
    assert actions is not None
    commands = next(iter(actions._group_actions)).choices
    assert commands
    for name in commands:
        assert f"\n  {name} " in text, name


def test_version_and_mistakes(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("vqa 0.")
    for wrong in (["no-such-command"], ["data"], ["train"], ["ask", "picture.png"]):
        with pytest.raises(SystemExit) as stop:
            main(wrong)
        assert stop.value.code == 2
        assert "usage: vqa" in capsys.readouterr().err
