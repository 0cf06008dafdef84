"""The same data wherever it lies: a zip, tars, a folder for each split, rows of any columns; a wrong path names it."""

import json
import shutil
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from vqa.clevr.annotations import questions_path, scenes_path
from vqa.clevr.dataset.loading import cache_dir, export_data, open_data, open_images, splits_of
from vqa.cli import main
from vqa.errors import InputError
from vqa.utils.resources import shipped

MINI = shipped("data/clevr-mini")
IMAGES = sorted((MINI / "images/val").iterdir())


def contents(data, split="val", **source) -> list:
    """Pixels, scene and questions of each row."""
    rows = open_data(data, split, **source)
    return [(rows.image(row).tobytes(), rows.scene(row), rows.questions(row)) for row in range(len(rows))]


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> list:
    return contents(MINI, cache=tmp_path_factory.mktemp("clean"))


@pytest.fixture
def nscl(tmp_path) -> Path:
    """A folder for each split, as NSCL has it."""
    for split in ("train", "val"):
        shutil.copytree(MINI / "images" / split, tmp_path / f"nscl/{split}/images")
        shutil.copy(questions_path(MINI, split), tmp_path / f"nscl/{split}/questions.json")
        shutil.copy(scenes_path(MINI, split), tmp_path / f"nscl/{split}/scenes.json")
    return tmp_path / "nscl"


def zipped(folder: Path, top: str = "CLEVR_v1.0") -> Path:
    path = folder.parent / f"{folder.name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, Path(top, file.relative_to(folder)))
    return path


def test_a_folder_for_each_split(nscl, clean, capsys):
    assert contents(nscl) == clean
    assert splits_of(nscl) == ["train", "val"]
    assert main(["data", "check", str(nscl)]) == 0
    assert main(["data", "merge", f"{nscl}:train", f"{nscl}:val", "--out", str(nscl.parent / "merged")]) == 0
    assert len(open_data(nscl.parent / "merged", "train").answers) == 600


@pytest.mark.parametrize("layout", ["official", "nscl"])
def test_a_zip_is_read_in_place(layout, nscl, clean, tiny_checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VQA_CACHE_DIR", str(tmp_path / "cache/of/tests"))  # which is not there yet
    path = zipped(Path(shutil.copytree(MINI, tmp_path / "mini")) if layout == "official" else nscl)
    assert contents(path) == clean
    assert splits_of(path) == ["train", "val"]
    assert (open_images(path, (16, 24), "val").images == open_images(MINI, (16, 24), "val").images).all()
    assert not list(cache_dir().rglob("*.jpg")), "no image is unpacked"
    words = ["--data", str(path), "--split", "val", "--checkpoint", str(tiny_checkpoint)]
    assert main(["predict", *words, "--out", str(tmp_path / "zip.txt")]) == 0
    words[1] = str(MINI)
    assert main(["predict", *words, "--out", str(tmp_path / "folder.txt")]) == 0
    assert (tmp_path / "zip.txt").read_text() == (tmp_path / "folder.txt").read_text()
    export_data(path, tmp_path / "export", ["val"])
    assert contents(tmp_path / "export") == clean
    assert main(["evaluate", "--data", str(path)]) == 2
    assert "say which: train, val" in capsys.readouterr().err


def test_a_broken_zip_is_named(tmp_path, capsys):
    (tmp_path / "x.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(InputError, match=r"x\.zip: not a usable zip archive"):
        open_data(tmp_path / "x.zip", "val")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("../questions/CLEVR_val_questions.json", "{}")
    with pytest.raises(InputError, match=r"y\.zip: .* points outside the folder"):
        open_data(tmp_path / "y.zip", "val")
    with pytest.raises(InputError, match=r"holds no questions|no such question file; try --split train"):
        open_data(zipped(Path(shutil.copytree(MINI, tmp_path / "mini"))), "test")


def test_a_damaged_image_in_a_zip_is_named(tmp_path):
    path = zipped(Path(shutil.copytree(MINI, tmp_path / "mini")))
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("CLEVR_v1.0/images/val/CLEVR_val_000003.jpg").header_offset
    content = bytearray(path.read_bytes())
    content[at + 300 : at + 400] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"mini\.zip: CLEVR_val_000003\.jpg: cannot be read"):
        open_images(path, (16, 24), "val")


def test_images_in_tars_beside_the_json(clean, tmp_path):
    """laion/clevr-webdataset: CLEVR's JSON, and images in val/*.tar."""
    root = tmp_path / "laion"
    for kind in ("questions", "scenes"):
        shutil.copytree(MINI / kind, root / kind)
    (root / "val").mkdir()
    for number in range(2):
        with tarfile.open(root / f"val/CLEVERv1_val_00{number}.tar", "w") as archive:
            for path in IMAGES[number::2]:
                archive.add(path, path.name)
    assert contents(root) == clean


def samples(path: Path, records: list[dict]) -> Path:
    """A webdataset tar with an image and a JSON for each record."""
    with tarfile.open(path, "w") as archive:
        for i, record in enumerate(records):
            for name, content in (
                (f"{i:06d}.jpg", IMAGES[i].read_bytes()),
                (f"{i:06d}.json", json.dumps(record).encode()),
                (f"{i:06d}.pickle", b"never read"),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, BytesIO(content))
    return path


def test_a_webdataset_tar(tmp_path, capsys):
    path = samples(tmp_path / "train-000.tar", [{"question": f"How many {i}?", "answer": i} for i in range(3)])
    for data in (path, tmp_path):
        rows = open_data(data, "train")
        assert [rows.questions(row)[0].answer for row in range(3)] == ["0", "1", "2"]
    assert "columns read are image for image, question for question, answer for answer" in capsys.readouterr().err
    several = samples(tmp_path / "several.tar", [{"q": ["Is it?", "What?"], "a": [True, "cube"]}])
    rows = open_data(several, "train", columns="question=q,answer=a")
    assert [(item.question, item.answer) for item in rows.questions(0)] == [("Is it?", "yes"), ("What?", "cube")]
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match=r"train-000\.tar"):
        open_data(path, "train")


def message(*fields: tuple[int, bytes]) -> bytes:
    """A protocol buffer."""
    found = b""
    for number, value in fields:
        size, length = len(value), bytearray()
        while size >= 128:
            length.append(size & 127 | 128)
            size >>= 7
        found += bytes([number << 3 | 2, *length, size]) + value
    return found


def test_tfrecords_of_tensorflow_datasets(tmp_path):
    features = {
        "image": [IMAGES[0].read_bytes()],
        "file_name": [b"CLEVR_val_000007.png"],
        "question_answer/question": [b"Is it?", b"What?"],
        "question_answer/answer": [b"yes", b"cube"],
    }
    lists = {name: message((1, message(*((1, value) for value in values)))) for name, values in features.items()}
    lists["objects/rotation"] = message((2, message((1, bytes(8)))))
    record = message((1, message(*((1, message((1, name.encode()), (2, value))) for name, value in lists.items()))))
    content = len(record).to_bytes(8, "little") + bytes(4) + record + bytes(4)
    path = tmp_path / "clevr-validation.tfrecord-00000-of-00001"
    path.write_bytes(content)
    rows = open_data(tmp_path, "val")
    assert [(item.question, item.answer) for item in rows.questions(0)] == [("Is it?", "yes"), ("What?", "cube")]
    assert rows.filenames == ["CLEVR_val_000007.png"]
    assert rows.image(0).shape == (160, 240, 3)
    for broken in (content[:-9], content[:20] + b"\xff" * (len(content) - 20), bytes(7) + b"\xff" + content[8:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"clevr-validation\.tfrecord"):
            open_data(path, "val")


def rows_with(image: str, question: str, answer: str) -> Dataset:
    content = [{"bytes": path.read_bytes(), "path": None} for path in IMAGES[:3]]
    return Dataset.from_dict({image: content, question: ["Is it?"] * 3, answer: ["yes", "no", "2"]})


def test_columns_of_other_names(tiny_checkpoint, tmp_path, capsys):
    rows_with("photo", "query", "label").to_parquet(tmp_path / "train.parquet")
    words = ["evaluate", "--data", str(tmp_path), "--split", "train", "--checkpoint", str(tiny_checkpoint)]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "no column for image, question; it has photo, query, label: say which with --columns image=NAME" in said
    columns = ["--columns", "image=photo,question=query,answer=label"]
    report = ["--json", str(tmp_path / "report.json"), "--resamples", "100"]
    assert main([*words, *columns, *report]) == 0
    said = capsys.readouterr().err
    assert said.count("columns read are photo for image, query for question, label for answer") == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["sets"][0]["questions"] == 3
    assert "--columns image=photo,question=query,answer=label" in report["command"]
    out = ["--out", str(tmp_path / "out.pack"), "--size", "16x24"]
    assert main(["data", "pack", str(tmp_path), *columns, *out]) == 0
    for wrong, says in (("image=photo,question=q", "no column for question (q)"), ("photo", "expected image=NAME")):
        assert main([*words, "--columns", wrong]) == 2
        assert says in capsys.readouterr().err


def test_folders_of_save_to_disk(tmp_path):
    rows_with("image", "problem", "solution").save_to_disk(tmp_path / "one")
    DatasetDict({"val": rows_with("image", "question", "answer")}).save_to_disk(tmp_path / "several")
    for name, split in (("one", "train"), ("several", "val")):
        rows = open_data(tmp_path / name, split)
        assert [rows.questions(row)[0].answer for row in range(3)] == ["yes", "no", "2"]
    with pytest.raises(InputError, match="no dataset that can be loaded with split 'test'"):
        open_data(tmp_path / "several", "test")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("home/CLEVR_v1.0/images", "home/CLEVR_v1.0"),
        ("home/CLEVR_v1.0/images/val", "home/CLEVR_v1.0"),
        ("home/CLEVR_v1.0/questions/CLEVR_val_questions.json", "home/CLEVR_v1.0"),
        ("home/CLEVR", "home/CLEVR_v1.0"),
        ("home", "home/CLEVR_v1.0"),
        ("tfds", "tfds/downloads/extracted/ZIP.dl.fbai/CLEVR_v1.0"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "check"])
def test_a_wrong_path_names_the_right_one(given, meant, command, tmp_path, capsys):
    for place in ("home", "tfds/downloads/extracted/ZIP.dl.fbai"):
        shutil.copytree(MINI, tmp_path / place / "CLEVR_v1.0")
    data = str(tmp_path / given)
    words = ["data", "check", data] if command == "check" else ["evaluate", "--data", data, "--split", "val"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.rstrip().endswith((f"give {tmp_path / meant}", f"give --data {tmp_path / meant}"))


def test_files_that_are_no_data(tmp_path):
    for name, content, says in (
        ("nan.json", b'{"questions": [{"question": "Is it?", "image_index": NaN}]}', "NaN"),
        ("pointer.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("empty.json", b"", "is empty"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: .*{says}"):
            open_data(MINI, "val", questions=tmp_path / name)


def test_merge_takes_other_question_files(tmp_path, capsys):
    record = json.loads(questions_path(MINI, "val").read_text())
    record["questions"] = record["questions"][:7]
    (tmp_path / "few.json").write_text("﻿" + json.dumps(record))
    out = ["--out", str(tmp_path / "merged"), "--questions"]
    assert main(["data", "merge", f"{MINI}:val", *out, str(tmp_path / "few.json")]) == 0
    rows = open_data(tmp_path / "merged", "train")
    assert len(rows.answers) == 7
    assert main(["data", "merge", f"{MINI}:val", *out, *[str(tmp_path / "few.json")] * 2]) == 2
    assert "2 files for 1 splits; give one for each" in capsys.readouterr().err


@pytest.fixture
def cone(tmp_path) -> Path:
    """A scene has a cone, and a program of another image an unknown function."""
    root = Path(shutil.copytree(MINI, tmp_path / "cone"))
    scenes = json.loads(scenes_path(root, "val").read_text())
    scenes["scenes"][1]["objects"][0]["shape"] = "cone"
    scenes_path(root, "val").write_text(json.dumps(scenes))
    questions = json.loads(questions_path(root, "val").read_text())
    questions["questions"][-1]["program"][-1]["function"] = "query_part"
    questions_path(root, "val").write_text(json.dumps(questions))
    return root


def test_what_needs_no_scene_goes_on_without_it(cone, tmp_path, capsys):
    assert main(["data", "merge", f"{cone}:val", "--out", str(tmp_path / "merged"), "--split", "val"]) == 0
    printed = capsys.readouterr()
    assert "11 scenes and 120 questions" in printed.out
    assert "1 scenes have values that CLEVR does not have, and are left out, such as shape 'cone'" in printed.err
    assert "1 programs have functions that CLEVR does not have, and are left out, such as query_part" in printed.err
    assert main(["data", "split", str(cone), "--split", "val", "--protocol", "families"]) == 0
    assert "120 questions are in no part" not in capsys.readouterr().err
    words = ["data", "split", str(cone), "--split", "val", "--protocol", "size-depth", "--out", str(tmp_path / "split")]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "11 of 120 questions are in no part: question 10 on CLEVR_val_000001.jpg has no scene" in printed.err
    assert sum(int(line.split()[2]) for line in printed.out.splitlines() if line.startswith("val-")) == 109
    scenes_path(cone, "val").unlink()
    assert main(words) == 2
    assert "none of its 120 questions can be placed: question 0" in capsys.readouterr().err
