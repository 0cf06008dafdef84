"""`vqa benchmark speedrun`: it ends at the target, or says that it was missed."""

import re
from pathlib import Path

import pytest

from tests.training.test_trainer import MINI
from vqa.cli import main
from vqa.training.checkpointing import FILE, load_state

SMALL = ["text_dim=32", "word_dim=16", "width=16", "stem_widths=8,16", "image_size=32x48", "classifier_dim=16"]


@pytest.mark.parametrize(("target", "reached"), [("0", True), ("100", False)])
def test_a_run_ends_at_the_target_or_with_its_schedule(
    target: str, reached: bool, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = ["--data", MINI, "--out", str(tmp_path), "--set", *SMALL, "--batch-size", "64", "--pretrain-epochs", "1"]
    flags += ["--mixed-precision", "no", "--max-minutes", "100", "--training-questions", "700", "--generated", "0"]
    flags += ["--compositions", "0", "--evaluate-minutes", "0", "--target", target, "--seeds", "3"]
    assert main(["benchmark", "speedrun", *flags]) == 0
    said = capsys.readouterr().out.splitlines()
    minutes, steps = map(float, re.search(r"after ([\d.]+) minutes, ([\d.]+) of them", said[0]).groups())
    assert minutes >= steps
    assert said[0].startswith("seed 3: ")
    assert ("NOT REACHED" in said[0]) == (not reached)
    assert f"{int(reached)} of 1 runs reached {target}.0 %" in said[1]
    progress = load_state(tmp_path / "seed-3" / FILE)[1]["progress"]
    assert (progress["presentations"] < 700) == reached


def test_a_folder_with_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / FILE).touch()
    assert main(["benchmark", "speedrun", "--data", MINI, "--out", str(tmp_path)]) == 2
    assert "a run is here already" in capsys.readouterr().err
