"""Perturbations are drawn by seed and name alone, and do what their names say."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import equivalent
from vqa.cli import main
from vqa.errors import InputError
from vqa.evaluation.perturbations import KINDS, make_perturbation

TEXT = "How many big gray metal things are left of the tiny ball?"


@pytest.fixture(scope="module")
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("jpeg30", (48, 32)),
        ("border96", (240, 224)),
        ("square320", (320, 320)),
        ("screenshot1.25", (60, 40)),
        ("width24", (24, 16)),
        ("blur", (48, 32)),
        ("noise", (48, 32)),
        ("brightness0.8", (48, 32)),
    ],
)
def test_images_change_and_questions_do_not(image, name, size):
    perturbation = make_perturbation(name)
    once = perturbation.image(image, "a.png")
    assert once.mode == "RGB"
    assert once.size == size
    assert once.tobytes() != image.tobytes()
    assert once.tobytes() == make_perturbation(name).image(image, "a.png").tobytes()
    assert perturbation.question(TEXT, "a.png") == TEXT


def test_borders_are_gray_and_squares_keep_the_ratio(image):
    framed = np.asarray(make_perturbation("border96").image(image, ""))
    assert (framed[:96] == 128).all()
    assert (framed[96:-96, 96:-96] == np.asarray(image)).all()
    square = np.asarray(make_perturbation("square320").image(image, ""))
    assert (square[:53] == 0).all()
    assert (square[60:-60].max((1, 2)) > 0).all()


@given(st.integers(0, 1000))
def test_a_typo_changes_one_word_a_little(seed):
    words, wrong = TEXT.split(), make_perturbation("typo", seed).question(TEXT, "a.png").split()
    assert len(words) == len(wrong), "no word of this question has a single letter, so none is lost"
    changed = [(a, b) for a, b in zip(words, wrong, strict=True) if a != b]
    assert len(changed) <= 1
    for a, b in changed:
        assert abs(len(a) - len(b)) <= 1
        assert len(set(a) ^ set(b)) <= 2


def test_draws_depend_on_seed_image_and_question_alone():
    typo = make_perturbation("typo")
    drawn = {typo.question(TEXT, f"{i}.png") for i in range(30)}
    assert len(drawn) > 20
    assert typo.question(TEXT, "1.png") == make_perturbation("typo", 0).question(TEXT, "1.png")
    assert any(
        typo.question(TEXT, f"{i}.png") != make_perturbation("typo", 1).question(TEXT, f"{i}.png") for i in range(3)
    )


@given(st.integers(0, 200))
def test_synonyms_mean_the_same(seed):
    on_progress = make_perturbation("synonyms", seed).question(TEXT, "a.png")
    assert on_progress != TEXT
    assert equivalent(parse_question(on_progress), parse_question(TEXT))


@pytest.mark.parametrize(
    "name", ["", "jpg", "jpeg0", "jpeg96", "jpeg-3", "border1e9", "typo0", "typo 1", "JPEG30", "٣"]
)
def test_unknown_names_and_amounts_are_refused(name):
    with pytest.raises(InputError, match="--perturb"):
        make_perturbation(name)


def test_every_kind_has_its_usual_amount():
    for name, kind in KINDS.items():
        assert make_perturbation(name).amount == kind.amount


def test_the_report_tells_the_change(clevr_folder, tiny_checkpoint, tmp_path: Path, capsys):
    out = tmp_path / "report.json"
    command = ["evaluate", "--data", str(clevr_folder), "--split", "val", "--checkpoint", str(tiny_checkpoint)]
    command += ["--perturb", "noise200", "typo", "--perturb-seed", "3", "--resamples", "100", "--json", str(out)]
    page = tmp_path / "report.html"
    assert main([*command, "--html", str(page)]) == 0
    assert "small-clevr val noise200" in page.read_text()
    table = capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report["command"].endswith("--perturb noise200 typo --resamples 100 --perturb-seed 3")
    plain, noisy, typed = report["sets"]
    assert "perturbation" not in plain
    for entry, name in ((noisy, "noise200"), (typed, "typo")):
        assert name in table
        assert entry["name"].endswith(name)
        assert (entry["perturbation"]["name"], entry["perturbation"]["seed"]) == (name, 3)
        (change,) = entry["perturbation"]["changes"]
        value = entry["models"][0]["overall"]["value"] - plain["models"][0]["overall"]["value"]
        assert change["value"] == pytest.approx(value, abs=1e-5)
        assert change["low"] <= change["value"] <= change["high"]
    assert main([*command[:-2], "--predictions", str(out)]) == 2
    assert "--perturb" in capsys.readouterr().err
