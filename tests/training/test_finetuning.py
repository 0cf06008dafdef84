"""`vqa finetune`: what it measures is what `vqa evaluate` says, and an interrupted run ends as a straight one."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.test_trainer import MINI
from vqa.cli import main
from vqa.errors import InputError
from vqa.evaluation.evaluate import EvaluationSet
from vqa.training import finetuning
from vqa.training.finetuning import (
    CURVE,
    PLOT,
    FineTuning,
    accuracy_on,
    build_finetuning,
    finetuning_options,
    read_curve,
)


@pytest.fixture(scope="module")
def finished(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that `vqa finetune` made."""
    folder = tmp_path_factory.mktemp("finetuning") / "run"
    words = [
        "--checkpoint",
        tiny_checkpoint,
        "--data",
        MINI,
        "--split",
        "train",
        "--training-questions",
        64,
        "--evaluate-every",
        32,
    ]
    words += ["--evaluate-on", "val", "--batch-size", 16, "--mixed-precision", "no", "--out", folder]
    assert main(["finetune", *map(str, words)]) == 0
    return folder


def test_it_measures_at_the_start_and_after_each_step_what_evaluate_says(
    finished: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    curve = read_curve(finished)
    assert [line["presentations"] for line in curve] == [0, 32, 64]
    for line, checkpoint in ((curve[0], tiny_checkpoint), (curve[-1], finished)):
        report = tmp_path / "report.json"
        words = ["--data", MINI, "--split", "val", "--checkpoint", str(checkpoint), "--json", str(report)]
        assert main(["evaluate", *words]) == 0
        overall = json.loads(report.read_text())["sets"][0]["models"][0]["overall"]
        assert line["sets"]["val"] == pytest.approx(overall, abs=1e-6)
    assert (finished / PLOT).stat().st_size > 1000
    before, after = (load_file(path / "model.safetensors") for path in (tiny_checkpoint, finished))
    assert any((before[name] != after[name]).any() for name in before)
    record = json.loads((finished / "training.json").read_text())
    assert record["presentations"] == 64
    assert record["data"] == "clevr-mini train"


@pytest.mark.parametrize("cut", ["start", "step", "measurement"])
def test_an_interrupted_run_ends_as_a_straight_one(
    cut: str, finished: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tuning(resume: bool) -> FineTuning:
        given = {"data": MINI, "out": str(tmp_path), "split": "train", "batch_size": 16, "mixed_precision": "no"}
        options = finetuning_options(str(tiny_checkpoint), 64, 32, **given, resume=resume)
        return build_finetuning(str(tiny_checkpoint), options, [EvaluationSet(MINI, "val")], "vqa finetune")

    broken = tuning(resume=False)
    step = broken.trainer.step
    measured = 0

    def measure(trainer, table):
        nonlocal measured
        measured += 1
        broken.trainer.interruption.asked = cut == ("start", "measurement")[measured - 1 : measured][0]
        return accuracy_on(trainer, table)

    def stepped(batch):
        broken.trainer.interruption.asked = cut == "step" and broken.trainer.progress.step == 2
        return step(batch)

    monkeypatch.setattr(finetuning, "accuracy_on", measure)
    monkeypatch.setattr(broken.trainer, "step", stepped)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    monkeypatch.setattr(finetuning, "accuracy_on", accuracy_on)
    assert len(read_curve(tmp_path)) == {"start": 0, "step": 2, "measurement": 1}[cut]
    tuning(resume=True).run()
    straight, other = ([line["sets"] for line in read_curve(folder)] for folder in (finished, tmp_path))
    assert straight == other
    weights, others = (load_file(folder / "model.safetensors") for folder in (finished, tmp_path))
    assert all((value == others[name]).all() for name, value in weights.items())


def test_the_recipe_is_that_of_the_checkpoint_s_preset(tiny_checkpoint: Path, tmp_path: Path) -> None:
    given = {"data": MINI, "out": "out", "resume": False}
    ours = finetuning_options(str(tiny_checkpoint), 30_000, None, **given)
    assert (ours.learning_rate, ours.evaluate_every, ours.holdout) == (3e-4, 3000, 0)
    assert finetuning_options(str(tiny_checkpoint), 30_000, None, **given, learning_rate=0.01).learning_rate == 0.01
    film = shutil.copytree(tiny_checkpoint, tmp_path / "film")
    (film / "training.json").write_text('{"preset": "film"}')
    assert finetuning_options(str(film), 10, None, **given).faithful


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--training-questions", "0"), "--training-questions 0"),
        (("--evaluate-every", "-3"), "--evaluate-every -3"),
        (("--checkpoint", "nowhere"), "nowhere"),
        (("--split", "trainB"), "CLEVR_trainB_questions.json: no such question file"),
        (("--evaluate-on", "valB"), "CLEVR_valB_questions.json: no such question file"),
        (("--evaluate-data", "nowhere"), "nowhere: no such data"),
        (("--resume",), "no run to resume here"),
    ],
)
def test_mistakes_are_named(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture, more: tuple[str, ...], said: str
) -> None:
    words = ["--checkpoint", str(tiny_checkpoint), "--data", MINI, "--split", "train", "--evaluate-on", "val"]
    assert main(["finetune", *words, "--out", str(tmp_path / "run"), *more]) == 2
    assert said in capsys.readouterr().err


def test_a_run_goes_on_from_its_own_checkpoint(
    finished: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = shutil.copytree(tiny_checkpoint, tmp_path / "other")
    words = ["--checkpoint", str(other), "--data", MINI, "--split", "train", "--evaluate-on", "val", "--resume"]
    more = ["--batch-size", "16", "--mixed-precision", "no", "--out", str(finished)]
    assert main(["finetune", *words, *more]) == 2
    assert f"began with --checkpoint {tiny_checkpoint}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ['{"step": 0}', "[1]", "{", '{"step": 0, "presentations": 0, "sets": [1]}'])
def test_a_damaged_curve_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / CURVE).write_text(text)
    with pytest.raises(InputError, match=r"finetuning\.jsonl: damaged"):
        read_curve(tmp_path)
