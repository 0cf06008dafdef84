"""`vqa train --plan`: what a run will need, without training it."""

from pathlib import Path

import pytest

from tests.training.test_trainer import MINI, command, options
from vqa.benchmarks.plan import STEPS, plan
from vqa.cli import main

SMALL = ["text_dim=32", "word_dim=16", "width=16", "stem_widths=8,16", "image_size=32x48", "classifier_dim=16"]


def test_a_plan_counts_the_steps_of_the_run(tmp_path: Path) -> None:
    found = plan(options(tmp_path / "run", overrides=SMALL, epochs=10, pretrain_epochs=2, holdout=0.25, generated=0.5))
    assert (found.images, found.held_out, found.questions) == (48, 12, 480)
    assert (found.steps, found.encoder_steps) == (10 * 5, 2 * 5), "36 images, 8 a step"
    assert 50 < found.batch <= 64
    assert found.cache == 48 * 32 * 48 * 3
    assert 0 < found.encoder_step < 3 * (found.load + found.compute)
    assert found.generate > 0
    assert found.seconds == pytest.approx(
        10 * found.encoder_step + 40 * max(found.load + found.compute, found.generate)
    )
    assert not (tmp_path / "run").exists()


def test_a_plan_ends_with_the_questions_or_the_minutes(tmp_path: Path) -> None:
    ends = {"overrides": SMALL, "epochs": None, "holdout": 0, "batch_size": 32}
    found = plan(options(tmp_path, training_questions=10_000, max_minutes=60, **ends))
    assert found.steps == -(-10_000 // found.batch)
    short = plan(options(tmp_path, training_questions=10_000_000, max_minutes=0.1, **ends))
    assert short.seconds == pytest.approx(6, abs=short.seconds / short.steps)
    assert STEPS < short.steps < 10_000_000 / 32


def test_the_command_says_it_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*command(tmp_path / "run", "--epochs", "3", "--gradient-accumulation", "2"), "--plan"]) == 0
    said = capsys.readouterr().out
    assert "48 images, 480 questions; 2 images held out" in said
    assert "9 of the model" in said, "3 epochs of 3 steps of 2 batches of 8 images"
    assert "bound by  " in said
    assert not (tmp_path / "run").exists()
    assert main(["train", "--data", MINI, "--out", str(tmp_path), "--plan", "--set", "widht=3"]) == 2
    assert "width" in capsys.readouterr().err
