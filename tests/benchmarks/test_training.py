"""`vqa benchmark train`: what it counts, and that its figures belong together."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.training.test_trainer import MINI
from vqa.benchmarks.training import repeat_images, training_flops
from vqa.clevr.dataset.loading import open_images
from vqa.clevr.dataset.packed import PackedDataset
from vqa.cli import main
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.presets import build_config

TINY = ["text_dim=32", "word_dim=16", "width=16", "head_width=16", "image_size=32x48", "classifier_dim=16"]


@pytest.mark.parametrize("preset", ["film", "film-qcse"])
def test_flops_are_those_of_a_real_step(preset: str) -> None:
    config = build_config(preset, TINY)
    model = FilmSEForVisualQuestionAnswering(config)
    ids = torch.ones(12, 7, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        output = model(torch.rand(3, 3, 32, 48), ids, torch.ones_like(ids), torch.arange(12) % 3)
        parts = [output.logits]
        if config.evidence:
            parts += [*output.evidence_logits, output.step_logits, output.pointer_logits, *vars(output.scene).values()]
        torch.stack([part.sum() for part in parts if part is not None]).sum().backward()
    assert training_flops(config, 3, 12, 7) == counter.get_total_flops() > 0


def test_a_stem_is_paid_for_once_a_image() -> None:
    film, ours = (build_config(preset, TINY) for preset in ("film", "film-qcse"))
    assert training_flops(film, 8, 8, 5) == 8 * training_flops(film, 1, 1, 5)
    assert training_flops(ours, 1, 8, 5) < 0.8 * training_flops(ours, 8, 8, 5)


def test_repeated_images_keep_their_scenes_and_questions(tmp_path: Path) -> None:
    pack = open_images(MINI, (16, 24))
    repeat_images(pack, 100, tmp_path / "more.pack", (16, 24))
    more = PackedDataset(tmp_path / "more.pack")
    assert len(more) == len(set(more.filenames)) == 100
    for row in (0, 47, 48, 99):
        assert (more.images[row] == pack.images[row % 48]).all()
        assert more.scene(row).objects == pack.scene(row % 48).objects
        asked, original = more.questions(row), pack.questions(row % 48)
        assert [item.question for item in asked] == [item.question for item in original]
        assert {item.image_filename for item in asked} == {more.filenames[row]}


def test_the_command_prints_and_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "speeds.json"
    flags = ["--set", *TINY, "--steps", "3", "--images", "96", "--mixed-precision", "no", "--json", str(file)]
    assert main(["benchmark", "train", *flags]) == 0
    table = capsys.readouterr().out
    found = json.loads(file.read_text())
    film, ours = found["speeds"]
    assert (film["preset"], film["pictures"], film["questions"]) == ("film", 64, 64)
    assert (ours["preset"], ours["pictures"], ours["questions"]) == ("film-qcse", 16, 128)
    assert (found["pictures"], found["questions"]) == (96, 960)
    assert film["steps"] == ours["steps"] == 3
    assert f"| {ours['questions_per_second'] / film['questions_per_second']:.1f} " in table
    for speed in (film, ours):
        rate = speed["share_of_peak"] * found["matrix_peak"] / (1e9 * speed["gflops_per_question"])
        assert 0.5 * speed["questions_per_second"] < rate < 2 * speed["questions_per_second"]
        assert speed["questions_per_second"] < 3 * speed["questions"] / (speed["step_ms"] + speed["load_ms"]) * 1000
    assert 2**27 < found["peak_memory"] < 2**34


def test_steps_end_with_the_time(tmp_path: Path) -> None:
    flags = ["--presets", "film-base", "--set", *TINY, "--max-seconds", "0.001", "--images", "16"]
    assert main(["benchmark", "train", *flags, "--json", str(tmp_path / "speeds.json")]) == 0
    assert json.loads((tmp_path / "speeds.json").read_text())["speeds"][0]["steps"] == 1


@pytest.mark.parametrize("flags", [["--steps", "0"], ["--max-seconds", "-1"], ["--images", "0"], ["--threads", "0"]])
def test_numbers_out_of_range_are_named(flags: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main(["benchmark", "train", *flags]) == 2
    assert flags[0] in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "value"), [("--presets", "flim"), ("--data", "nowhere"), ("--split", "nothing")])
def test_what_is_not_there_is_named(flag: str, value: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["benchmark", "train", flag, value]) == 2
    assert value in capsys.readouterr().err
