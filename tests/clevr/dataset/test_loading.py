"""Folders, exported parquet and packs: the same rows, however the data lies."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from vqa.clevr.annotations import (
    image_path,
    questions_path,
    read_questions,
    read_scenes,
    scenes_path,
    write_questions,
    write_scenes,
)
from vqa.clevr.dataset.loading import cache_dir, export_data, open_data, open_images, pack_data, require_complete
from vqa.clevr.question import Question
from vqa.cli import main
from vqa.errors import InputError
from vqa.utils.resources import shipped

MINI = shipped("data/clevr-mini")
SHARED = Path(__file__).parents[4] / "shared"
SCENES = list(read_scenes(scenes_path(MINI, "val")).values())
QUESTIONS = read_questions(questions_path(MINI, "val"))


@pytest.fixture
def mini(tmp_path) -> Path:
    """A copy of clevr-mini to break."""
    return Path(shutil.copytree(MINI, tmp_path / "mini"))


def rows_of(data, **options) -> Iterator[tuple]:
    rows = open_data(data, "val", **options)
    return ((rows.filenames[i], rows.image(i), rows.scene(i), rows.questions(i)) for i in range(len(rows)))


def exported(data: Path, out: Path) -> datasets.Dataset:
    """The split val of exported data, as `datasets` reads it."""
    export_data(data, out, ["val"])
    return datasets.load_dataset(str(out), split="val", cache_dir=str(out / "hf"))


def test_an_exported_row_is_an_image_with_its_scene_and_questions(tmp_path):
    dataset = exported(MINI, tmp_path / "export")
    assert len(dataset) == 12
    assert isinstance(dataset.features["image"], datasets.Image)
    for row, scene in zip(dataset, SCENES, strict=True):
        asked = [question for question in QUESTIONS if question.image_filename == scene.image_filename]
        with Image.open(image_path(MINI, "val", scene.image_filename)) as image:
            assert np.array_equal(np.array(row["image"]), np.array(image))
        assert (row["image_filename"], row["image_index"], row["split"]) == (
            scene.image_filename,
            scene.image_index,
            "val",
        )
        record = scene.to_json()
        assert {name: record[name] for name in row["scene"]} == row["scene"]
        assert [(item["family"], item["type"]) for item in row["questions"]] == [(q.family, q.type) for q in asked]
        for item, question in zip(row["questions"], asked, strict=True):
            record = question.to_json()
            assert {name: record[name] for name in item if name not in ("family", "type")} == {
                name: value for name, value in item.items() if name not in ("family", "type")
            }


def test_the_second_opening_is_fast_and_memory_mapped():
    open_data(MINI, "val")
    before = {path: path.stat().st_mtime_ns for path in cache_dir().iterdir()}
    start = time.perf_counter()
    rows = open_data(MINI, "val")
    assert time.perf_counter() - start < 1
    assert len(rows) == 12
    assert {path: path.stat().st_mtime_ns for path in cache_dir().iterdir()} == before


def test_a_changed_folder_is_read_again(mini):
    assert len(open_data(mini, "val").answers) == 120
    write_questions(questions_path(mini, "val"), QUESTIONS[:50])
    assert len(open_data(mini, "val").answers) == 50
    write_scenes(scenes_path(mini, "val"), SCENES[:5])
    assert len(open_data(mini, "val")) == 5
    scenes_path(mini, "val").unlink()
    assert open_data(mini, "val").scene(0) is None
    images = open_images(mini, (16, 24), "val")
    assert len(open_data(mini, "val")) == len(images) == 5
    Image.new("RGB", (240, 160)).save(mini / "new.jpg")
    (mini / "new.jpg").rename(image_path(mini, "val", images.filenames[0]))
    assert open_images(mini, (16, 24), "val").image(0).max() == 0
    assert images.image(0).max() > 100
    assert len(list(cache_dir().glob("*.pack"))) == 2


def test_another_question_file_over_the_same_images(mini, tmp_path):
    """Without image names and answers, as in the test files that are passed around."""
    bare = [Question(question.question, image_index=question.image_index) for question in reversed(QUESTIONS)]
    write_questions(tmp_path / "other.json", bare)
    for with_scenes in (True, False):
        rows = open_data(mini, "val", questions=tmp_path / "other.json")
        assert sorted(rows.filenames) == sorted(scene.image_filename for scene in SCENES)
        assert len(rows.answers) == 120
        assert set(rows.answers) == {-1}
        assert all(q.image_filename == rows.filenames[i] for i in range(12) for q in rows.questions(i))
        if with_scenes:
            scenes_path(mini, "val").unlink()


def test_images_may_have_no_questions_or_no_scene(mini, tmp_path):
    write_questions(questions_path(mini, "val"), [QUESTIONS[0], QUESTIONS[-1]])
    write_scenes(scenes_path(mini, "val"), SCENES[:2])
    dataset = exported(mini, tmp_path / "export")
    assert [len(row["questions"]) for row in dataset] == [1, 0, 1]
    assert [row["scene"] is None for row in dataset] == [False, False, True]


def test_big_rgba_images(mini):
    """Genuine CLEVR: 480x320 RGBA PNG."""
    for scene in SCENES:
        path = image_path(mini, "val", scene.image_filename)
        with Image.open(path) as image:
            image.resize((480, 320)).convert("RGBA").save(path, "PNG")
    rows = open_data(mini, "val")
    assert rows.image(0).shape == (320, 480, 3)
    assert rows.image(0, (160, 240)).shape == (160, 240, 3)


def test_export_is_read_by_datasets_and_by_us(tmp_path):
    out = tmp_path / "export"
    assert export_data(MINI, out) == {"train": 48, "val": 12}
    card = (out / "README.md").read_text()
    assert "CC BY 4.0" in card
    assert "| train | 48 | 480 |" in card
    start = time.perf_counter()
    ours = open_data(out, "val")
    first = time.perf_counter() - start
    for row, (filename, scene) in enumerate(zip(ours.filenames, SCENES, strict=True)):
        assert ours.image_file(row).read_bytes() == image_path(MINI, "val", filename).read_bytes()
        assert ours.scene(row) == scene
        assert ours.questions(row) == [question for question in QUESTIONS if question.image_filename == filename]
    start = time.perf_counter()
    open_data(out, "val")
    assert time.perf_counter() - start < max(first, 1)


def test_export_without_scenes_and_answers_comes_back(mini, tmp_path):
    scenes_path(mini, "val").unlink()
    bare = [replace(question, answer=None, program=None, template_filename=None) for question in QUESTIONS]
    write_questions(questions_path(mini, "val"), bare)
    export_data(mini, tmp_path / "export", ["val"])
    ours = open_data(tmp_path / "export", "val")
    assert [question for i in range(len(ours)) for question in ours.questions(i)] == bare
    assert ours.scene(0) is None


def test_export_command_keeps_what_is_there(tmp_path, capsys):
    out = tmp_path / "export"
    arguments = ["data", "export", str(MINI), "--split", "val", "--out", str(out)]
    assert main(arguments) == 0
    assert "val: 12 images" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export"]
    with pytest.raises(InputError, match=r"no dataset that can be loaded with split 'train'"):
        open_data(out, "train")


def test_foreign_parquet_is_refused(tmp_path):
    folder = tmp_path / "foreign"
    folder.mkdir()
    datasets.Dataset.from_dict({"question": ["Is it?"], "answer": ["yes"]}).to_parquet(str(folder / "train.parquet"))
    with pytest.raises(InputError, match="no column for image; it has question, answer: say which with --columns"):
        open_data(folder, "train")


def test_packs_are_opened_by_the_same_name(tmp_path):
    pack_data(MINI, tmp_path / "p", (16, 24), "val")
    assert open_data(tmp_path / "p", "val").images.shape == (12, 16, 24, 3)
    with pytest.raises(InputError, match="give --split val"):
        open_data(tmp_path / "p", "train")
    with pytest.raises(InputError, match="its own questions"):
        open_data(tmp_path / "p", "val", questions=questions_path(MINI, "val"))


def test_what_is_missing_is_named(mini, tmp_path):
    with pytest.raises(
        InputError, match=r"CLEVR_test_questions\.json: no such question file; try --split train or val"
    ):
        open_data(mini, "test")
    with pytest.raises(InputError, match="no such data"):
        open_data(tmp_path / "nowhere")
    with pytest.raises(InputError, match="split"):
        open_data(mini, "../val")
    image_path(mini, "val", "CLEVR_val_000007.jpg").unlink()
    assert open_data(mini, "val").left_out == 10
    with pytest.raises(InputError, match="--strict: 10 of 120 questions"):
        require_complete(open_data(mini, "val"))
    shutil.rmtree(cache_dir())
    shutil.rmtree(mini / "questions")
    with pytest.raises(InputError, match=r"no such question file; try --questions FILE"):
        open_data(mini, "val")
    assert not cache_dir().exists()


def test_questions_that_name_no_image(mini):
    record = {"questions": [{"question": "Is it?"}]}
    questions_path(mini, "val").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"questions\[0\]: names no image"):
        open_data(mini, "val")
    record["questions"][0]["image_index"] = 99
    questions_path(mini, "val").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"none of its 1 questions .* CLEVR_val_000099\.png"):
        open_data(mini, "val")


def test_a_broken_image_is_named_when_it_is_read(mini):
    path = image_path(mini, "val", "CLEVR_val_000001.jpg")
    path.write_bytes(path.read_bytes()[:2000])
    rows = open_data(mini, "val")
    rows.image(0)
    with pytest.raises(InputError, match=r"CLEVR_val_000001\.jpg: the image is damaged or cut short"):
        rows.image(1)
    with pytest.raises(InputError, match=r"CLEVR_val_000001\.jpg"):
        pack_data(mini, mini / "p", (16, 24), "val")
    assert not list(mini.glob("*p*"))


def test_an_unwritable_cache_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VQA_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be written"):
        open_data(MINI, "val")


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_closure_questions_over_genuine_images():
    genuine = SHARED / "clevr-genuine-dev"
    rows = open_data(genuine, "train", questions=genuine / "closure_questions.json")
    assert len(rows) == 268
    assert len(rows.answers) == 1608
    assert rows.image(0).shape == (320, 480, 3)


def test_rows_are_the_same_however_the_data_lies(tmp_path):
    export_data(MINI, tmp_path / "export", ["val"])
    pack_data(MINI, tmp_path / "pack", (160, 240), "val")
    for ways in zip(rows_of(MINI), rows_of(tmp_path / "export"), rows_of(tmp_path / "pack"), strict=True):
        for name, image, scene, questions in ways[1:]:
            assert (name, scene, questions) == (ways[0][0], ways[0][2], ways[0][3])
            assert np.array_equal(image, ways[0][1])


def test_other_questions_about_absent_images_are_left_out_and_counted(mini, tmp_path):
    other = tmp_path / "other.json"
    foreign = [replace(QUESTIONS[0], image_filename=f"CLEVR_val_99990{i}.jpg", image_index=None) for i in range(3)]
    write_questions(other, [*foreign, *QUESTIONS[:5]])
    rows = open_data(mini, "val", questions=other)
    assert (len(rows.answers), rows.left_out) == (5, 3)
    assert open_data(mini, "val", questions=other).left_out == 3, "from the cache"
    assert open_data(mini, "val").left_out == 0
    write_questions(other, foreign)
    with pytest.raises(InputError, match=r"other\.json: none of its 3 questions is about an image in .*999900"):
        open_data(mini, "val", questions=other)
