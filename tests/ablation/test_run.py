"""`vqa ablate` on clevr-mini with tiny models: trained, reused, interrupted, reported."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vqa.ablation import cells
from vqa.ablation.cells import CELL, RESULT
from vqa.ablation.report import format_report
from vqa.ablation.results import read_ablation
from vqa.cli import main
from vqa.evaluation.metrics import ImageBootstrap, accuracies
from vqa.training.checkpointing import FILE
from vqa.training.trainer import Trainer
from vqa.utils.files import lock_folder
from vqa.utils.resources import shipped

TINY = ("width=16", "text_dim=32", "word_dim=8", "num_blocks=2", "stem_widths=8,16", "image_size=32x48")
MINI = str(shipped("data/clevr-mini"))


def command(output: Path, presets: str, *more: str, budget: int = 400) -> list[str]:
    flags = ["--presets", presets, "--training-questions", str(budget), "--data", MINI, "--out", str(output)]
    return ["ablate", *flags, "--set", *TINY, "classifier_dim=16", "--mixed-precision", "no", *more]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Cells run in the process of the test; gives those that ran."""
    ran: list[Path] = []

    def run(folder: Path, lock: int | None) -> bool:
        ran.append(folder)
        cells.work(folder)
        return True

    monkeypatch.setattr(cells, "_run_process", run)
    return ran


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ablation of two variants, one of them with two seeds."""
    output = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VQA_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(cells, "_run_process", lambda folder, lock: cells.work(folder) is None)
        assert main(command(output, "film-base,film-qcse*2")) == 0
    return output


def test_the_report(finished: Path) -> None:
    report = json.loads((finished / "ablation.json").read_text())
    base, product = report["variants"]
    assert (base["name"], product["name"], report["unfinished"]) == ("film-base", "film-qcse", [])
    assert base["parameters"] != product["parameters"]
    assert base["difference"] is None
    assert product["difference"]["seeds"] == [0]
    assert [seed["seed"] for seed in product["seeds"]] == [0, 1]
    assert product["accuracy"]["value"] == pytest.approx(
        np.mean([seed["accuracy"] for seed in product["seeds"]]), abs=2e-6
    )
    assert product["accuracy"]["low"] <= product["accuracy"]["value"] <= product["accuracy"]["high"]
    questions = report["test"]["questions"]
    for variant in report["variants"]:
        assert variant["accuracy"]["questions"] == questions == sum(row["questions"] for row in variant["by_type"])
        for seed in variant["seeds"]:
            assert 400 <= seed["presentations"] < 400 + 128
            assert len(seed["curve"]) >= 3
            assert (finished / seed["folder"] / "model.safetensors").exists()
            assert not (finished / seed["folder"] / FILE).exists()
    assert {
        seed["presentations"] for variant in report["variants"] for seed in variant["seeds"] if not seed["seed"]
    } == {base["seeds"][0]["presentations"]}
    assert set(product["seeds"][0]["gates"]) == {"block_1", "block_2"}
    assert product["seeds"][0]["gates"]["block_1"].keys() == {"entropy", "effective_channels", "fired", "spread"}
    assert base["seeds"][0]["gates"] == {}
    assert (finished / "ablation.png").stat().st_size > 5000


def test_the_figures_are_those_of_vqa_evaluate(finished: Path, capsys: pytest.CaptureFixture) -> None:
    report = json.loads((finished / "ablation.json").read_text())
    seed = report["variants"][0]["seeds"][0]
    out = finished.parent / "evaluated.json"
    checkpoint = str(finished / seed["folder"])
    assert main(["evaluate", "--checkpoint", checkpoint, "--data", MINI, "--split", "val", "--json", str(out)]) == 0
    model = json.loads(out.read_text())["sets"][0]["models"][0]
    ours = report["variants"][0]
    for name in ("value", "low", "high", "questions", "pictures"):
        assert model["overall"][name] == pytest.approx(ours["accuracy"][name], abs=1e-6)
        for row, own in zip(model["breakdowns"]["type"], ours["by_type"], strict=True):
            assert (row["label"], row[name]) == (own["label"], pytest.approx(own[name], abs=1e-6))


def test_the_tables(finished: Path) -> None:
    report = read_ablation(finished / "ablation.json")
    text, markdown = (finished / "ablation.txt").read_text(), (finished / "ablation.md").read_text()
    assert text == format_report(report) + "\n"
    for variant in report.variants:
        value = f"{100 * variant.accuracy.value:.1f} ["
        assert any(line.startswith(variant.name + " ") and value in line for line in text.splitlines())
        assert any(line.startswith(f"| {variant.name} |") and value in line for line in markdown.splitlines())
    assert "never" in text
    assert "vqa " in markdown
    base, product = report.variants
    seeds = [replace(product.seeds[0], passed_at=81_234), replace(product.seeds[1], precision="bf16")]
    variants = [base, replace(product, seeds=seeds)]
    changed = format_report(replace(report, variants=variants, unfinished=["film-qcse seed 2"]))
    assert "81k never" in changed
    assert "arithmetic" in changed
    assert "Not finished: film-qcse seed 2" in changed


def test_a_broken_result_is_named(finished: Path, tmp_path: Path, in_process: list[Path], capsys) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    path = next((tmp_path / "copy").glob("film-base*/result.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"minutes": "long"}))
    assert main(command(tmp_path / "copy", "film-base")) == 2
    assert "result.json: minutes: Input should be a valid number; remove the cell's folder" in capsys.readouterr().err


def test_finished_cells_are_used_again(finished: Path, tmp_path: Path, in_process: list[Path], capsys) -> None:
    output = tmp_path / "copy"
    shutil.copytree(finished, output)
    assert main(command(output, "film-base,film-qcse*2")) == 0
    assert in_process == []
    assert capsys.readouterr().out == (finished / "ablation.txt").read_text()
    assert main(command(output, "film-qcse,film-base", "--test-split", "train")) == 0
    assert len(in_process) == 2, "the same training, other questions: tested again, not trained again"
    report = json.loads((output / "ablation.json").read_text())
    assert report["baseline"] == "film-qcse"
    before = json.loads((finished / "ablation.json").read_text())["variants"][0]["seeds"][0]
    assert report["variants"][1]["seeds"][0]["curve"] == before["curve"]
    assert main(command(output, "film-qcse", budget=401)) == 0
    assert len(in_process) == 3


def test_an_interrupted_cell_goes_on_to_the_same_end(
    finished: Path, tmp_path: Path, in_process: list[Path], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    step = Trainer.step

    def interrupted(self: Trainer, batch: object) -> dict[str, float]:
        if self.progress.step == 2:
            raise KeyboardInterrupt
        return step(self, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert main(command(tmp_path, "film-base")) == 130
    [folder] = in_process
    assert (folder / FILE).exists()
    assert not (folder / RESULT).exists()
    resumed: list[int] = []
    run = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self: (resumed.append(self.progress.step), run(self))[1])
    assert main(command(tmp_path, "film-base")) == 0
    assert resumed == [2]
    ours, other = (json.loads((place / "ablation.json").read_text()) for place in (tmp_path, finished))
    assert ours["variants"][0]["accuracy"] == other["variants"][0]["accuracy"]
    straight = other["variants"][0]["seeds"][0]["curve"]
    for entry, same in zip(ours["variants"][0]["seeds"][0]["curve"], straight, strict=True):
        assert entry | {"minutes": 0} == same | {"minutes": 0}


def test_a_cell_that_fails_does_not_stop_the_others(
    tmp_path: Path, in_process: list[Path], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    work = cells.work
    monkeypatch.setattr(
        cells, "_run_process", lambda folder, lock: "reduction" not in folder.name and work(folder) is None
    )
    presets = "film-qcse,film-qcse[reduction=4],film-base"
    assert main(command(tmp_path, presets, budget=100)) == 1
    shown = capsys.readouterr()
    assert "reduction=4] seed 0 failed" in shown.err
    assert "Not finished: film-qcse[reduction=4] seed 0" in shown.out
    assert [variant["name"] for variant in json.loads((tmp_path / "ablation.json").read_text())["variants"]] == [
        "film-qcse",
        "film-base",
    ]
    assert main(command(tmp_path, "film-qcse[reduction=4]", budget=100)) == 2
    assert "failed, for the reason above" in capsys.readouterr().err


def test_a_cell_that_another_process_holds_is_left_to_it(tmp_path: Path, in_process: list[Path], capsys) -> None:
    assert main(command(tmp_path, "film-base", budget=100)) == 0
    [folder] = in_process
    (folder / RESULT).unlink()
    with lock_folder(folder):
        assert main(command(tmp_path, "film-base", budget=100)) == 1
    assert len(in_process) == 1
    assert "another process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--training-questions", "0"], "--training-questions 0"),
        (["--presets", "flim"], "film"),
        (["--test-split", "nowhere"], "nowhere"),
        (["--loss-weight", "entropy"], "--loss-weight"),
        (["--holdout", "2"], "--holdout"),
        (["--seeds", "0"], "seeds"),
    ],
)
def test_mistakes_are_named(flags: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert main([*command(tmp_path / "out", "film-base"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/film*"))


def test_a_cells_process_names_its_mistake_and_reports_failure(tmp_path: Path, capfd) -> None:
    assert main(command(tmp_path, "film-base", "--split", "nowhere")) == 2
    assert "nowhere" in capfd.readouterr().err


@pytest.mark.slow
def test_killed_the_cell_saves_and_a_second_command_ends_it(tmp_path: Path) -> None:
    """SIGKILL of the command alone: its cell notices, saves and ends; then the command is run again."""
    given = [sys.executable, "-m", "vqa", *command(tmp_path, "film-base", budget=20_000)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(given, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (logs := [*tmp_path.glob("*/log.jsonl")]) or len(logs[0].read_text().splitlines()) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    folder = logs[0].parent
    while True:
        try:
            with lock_folder(folder):
                break
        except BlockingIOError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert (folder / FILE).exists()
    assert not (folder / RESULT).exists()
    assert subprocess.run(given, env=environment, capture_output=True, timeout=600).returncode == 0
    result = json.loads((folder / RESULT).read_text())
    assert result["presentations"] >= 20_000
    assert json.loads((folder / CELL).read_text())["seed"] == 0


def test_pooled_seeds_draw_images_not_answers() -> None:
    """Two equal seeds say no more than one."""
    right, groups = np.random.default_rng(0).random((200, 1)) < 0.7, np.ones((200, 1), bool)
    images = np.repeat(np.arange(40), 5)
    [[one]] = accuracies(right, groups, ImageBootstrap(images))
    [[two]] = accuracies(*(np.tile(part, (2, 1)) for part in (right, groups)), ImageBootstrap(np.tile(images, 2)))
    assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high))
