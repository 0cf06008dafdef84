"""`vqa calibrate` from its command to its files; the temperature that it fits; the data out of distribution."""

import json
import shutil

import numpy as np
import pytest
import torch

from vqa.calibration import ood_data
from vqa.calibration.fit import fit_temperature, open_holdout
from vqa.clevr.dataset.loading import open_data
from vqa.cli import main
from vqa.errors import InputError
from vqa.inference.ood import OODDetector
from vqa.training.data import load_training_data
from vqa.utils.images import load_image
from vqa.utils.resources import shipped

DATA = str(shipped("data/clevr-mini"))


@pytest.fixture(scope="module")
def calibrated(tiny_checkpoint, tmp_path_factory):
    """A copy of the small checkpoint, calibrated; its weights before; what was printed."""
    import os

    os.environ["VQA_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    folder = tmp_path_factory.mktemp("calibrated") / "model"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "README.md").write_text("# card\n\n## Limits\n\nSome.\n")
    (folder / "training.json").write_text('{"data": "clevr-mini val", "seed": 3, "holdout": 0.4}')
    command = ["calibrate", "--data", DATA, "--split", "val", "--checkpoint", str(folder)]
    assert main(command) == 0
    return folder, command


def test_it_writes_configuration_figures_and_card_but_no_weights(calibrated, tiny_checkpoint):
    folder, _ = calibrated
    before, after = (json.loads((place / "config.json").read_text()) for place in (tiny_checkpoint, folder))
    assert {name for name in after if after[name] != before.get(name)} == {"logit_temperature", "domain"}
    report = json.loads((folder / "calibration.json").read_text())
    assert report["temperature"] == after["logit_temperature"] == report["fitted"]["temperature"] != 1
    assert report["fitted"]["likelihood"]["after"] < report["fitted"]["likelihood"]["before"]
    held = report["sets"][0]
    assert held["calibration_error"] != held["calibration_error_at_1"]
    assert held["outside"]["pictures"]["value"] <= 0.01
    assert {entry["name"] for entry in report["foreign"]} >= {
        "photographs",
        "empty scenes",
        "noise",
        "questions outside CLEVR's language",
    }
    assert (folder / "model.safetensors").read_bytes() == (tiny_checkpoint / "model.safetensors").read_bytes()
    card = (folder / "README.md").read_text()
    assert card.startswith("# card\n\n## Limits\n\nSome.\n\n## Confidence")
    assert not list(folder.glob("*.tmp*"))


def test_vqa_ask_warns_of_what_a_calibrated_model_does_not_know(calibrated, capsys):
    image = str(next((shipped("data/clevr-mini") / "images/val").iterdir()))
    assert main(["ask", image, "Is the man old?", "--checkpoint", str(calibrated[0]), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["in_domain"] is False
    assert "question" in json.loads(out)["unfamiliar"]
    assert "warning: the question looks unlike those" in err
    assert main(["ask", image, "whats the color of the cube", "--checkpoint", str(calibrated[0])]) == 0
    err = capsys.readouterr().err
    assert "read as: what is the color of the cube" in err
    assert "the question looks unlike" not in err


def test_the_report_alone_writes_nothing(calibrated, tmp_path, capsys):
    folder, command = calibrated
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    out = tmp_path / "figures.json"
    assert main([*command, "--report", "--on", DATA, "--on-split", "val", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    report = json.loads(out.read_text())
    assert "fitted" not in report
    assert [entry["name"] for entry in report["sets"]] == ["held out in training", "clevr-mini val"]
    assert all(entry["name"] in printed for entry in report["foreign"])
    questions = next(entry for entry in report["foreign"] if entry["kind"] == "questions")
    assert questions["of"] == len(ood_data.QUESTIONS)
    assert questions["value"] == 1


def test_the_slice_is_that_of_training(calibrated):
    folder, _ = calibrated
    slices = open_holdout(folder, DATA, "val")
    pack = open_data(DATA, "val")
    pack.images = np.zeros((len(pack), 1, 1, 3), np.uint8)
    data = load_training_data(pack, lambda texts: [[1]] * len(texts), {"yes": 0}, 3, holdout=0.4, seed=3)
    assert slices.held_out.tolist() == data.held_out.tolist()
    assert slices.seen.tolist() == data.rows.tolist()
    on_progress = []
    open_holdout(folder, DATA, "val", seed=4, warn=on_progress.append)
    assert on_progress == []
    (folder / "training.json").write_text('{"data": "other train", "seed": 3, "holdout": 0.4}')
    open_holdout(folder, DATA, "val", warn=on_progress.append)
    assert "other train" in on_progress[0]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--holdout", "0"], "--holdout"),
        (["--seed", "-1"], "--seed"),
        (["--split", "nope"], "nope"),
        (["--on-split", "val"], "--on"),
        (["--json", "/"], "is a folder"),
    ],
)
def test_mistakes_are_told(calibrated, capsys, flags, message):
    assert main([*calibrated[1], *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_is_that_of_the_labels(true):
    torch.manual_seed(0)
    logits = 3 * torch.randn(20_000, 5)
    labels = (logits / true).softmax(1).multinomial(1)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.05)
    assert fit_temperature(logits, logits.argmax(1)) == pytest.approx(0.1, rel=0.01), "no colder than this"


def test_ood_images_are_drawn_by_its_seed():
    images = [load_image(path) for path in sorted((shipped("data/clevr-mini") / "images/val").iterdir())[:6]]
    makers = [
        lambda seed: ood_data.empty_scenes(images, 3, seed),
        lambda seed: ood_data.shuffled_tiles(images, seed),
        lambda seed: ood_data.drawings(4, seed),
        lambda seed: ood_data.noise(3, seed),
        lambda seed: ood_data.plain_colors(5, seed),
    ]
    for make in makers:
        once, again, other = ([image.tobytes() for image in make(seed)] for seed in (0, 0, 1))
        assert once == again != other
    tiles, whole = np.asarray(ood_data.shuffled_tiles(images, 0)[0]), np.asarray(images[0])
    assert tiles.shape == whole.shape
    assert sorted(tiles.ravel().tolist()) == sorted(whole.ravel().tolist())


def test_photographs_come_from_installed_packages():
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    found = ood_data.photographs()
    assert len(found) >= 10
    assert all(image.mode == "RGB" for image in found)


def test_a_model_without_evidence_gets_a_temperature_alone(tiny, tmp_path, capsys):
    from vqa.model.presets import build_config, build_model, build_processor

    torch.manual_seed(0)
    config = build_config("film-qcse-1", (*tiny, "evidence=false", "head=mean"))
    build_model(config).save_pretrained(tmp_path)
    build_processor(config).save_pretrained(tmp_path)
    assert main(["calibrate", "--data", DATA, "--split", "val", "--checkpoint", str(tmp_path)]) == 0
    assert "goes unnoticed" in capsys.readouterr().out
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings["domain"] is None
    assert settings["logit_temperature"] != 1
    with pytest.raises(InputError, match=r"config\.domain"):
        OODDetector.from_config({})
