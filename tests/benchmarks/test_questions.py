"""How fast online questions are made."""

import json

import pytest

from vqa.benchmarks.questions import KINDS
from vqa.cli import main


def test_the_command_times_every_kind(capsys):
    flags = ["--images", "60", "--per-image", "3", "--seconds", "0.01", "--json"]
    assert main(["benchmark", "questions", *flags]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 60
    assert [speed["kind"] for speed in report["speeds"]] == list(KINDS)
    for speed in report["speeds"]:
        assert speed["questions"] >= 60 * 3 * 0.9
        assert speed["per_second"] > 0
        assert speed["first_seconds"] > 0.1, "a new process has to start"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--images", "0"], "--images"),
        (["--seconds", "nan"], "--seconds"),
        (["--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_flags_that_are_wrong(flags, complaint, capsys):
    assert main(["benchmark", "questions", *flags]) == 2
    assert complaint in capsys.readouterr().err
