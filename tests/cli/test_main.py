"""The command line as a whole: quick, complete, and kind."""

import subprocess
import sys

import pytest

from vqa.cli import build_parser, main
from vqa.cli.renamed import RENAMED, rename_flags


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
    for wrong in (["no-such-command"], ["data"], ["ask", "picture.png"]):
        with pytest.raises(SystemExit) as stop:
            main(wrong)
        assert stop.value.code == 2
        assert "usage: vqa" in capsys.readouterr().err
    assert main(["train"]) == 2, "what to train on has no default"
    assert "--data: say what to train on" in capsys.readouterr().err


def test_renamed_flags_keep_working_with_a_note(capsys: pytest.CaptureFixture) -> None:
    given = ["train", "--max-presentations=5", "--seed", "1", "--data", "nowhere", "--output", "x"]
    assert rename_flags(given) == [
        *("train", "--training-questions=5", "--seed", "1", "--data", "nowhere", "--out", "x")
    ]
    assert "vqa: note: --max-presentations is now --training-questions\n" in capsys.readouterr().err
    assert rename_flags(["data", "render", "--samples", "4"]) == ["data", "render", "--samples", "4"]
    assert rename_flags(["explain", "atlas", "--pictures", "9"])[2] == "--images"


def test_every_renamed_flag_is_one_of_its_command() -> None:
    for command, flags in RENAMED.items():
        parser = build_parser()
        for word in command.split():
            (action,) = [item for item in parser._actions if isinstance(item.choices, dict)]
            parser = action.choices[word]
        known = parser._option_string_actions
        training = command in ("train", "finetune", "ablate")
        assert all(new in known or training for new in flags.values()), command
        assert not known.keys() & flags.keys(), command
