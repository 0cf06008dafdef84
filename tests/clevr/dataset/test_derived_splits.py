"""Several splits as one."""

import shutil
from pathlib import Path

import pytest

from vqa.clevr.annotations import image_path, questions_path, read_questions, read_scenes, scenes_path
from vqa.clevr.dataset.derived_splits import merge_splits
from vqa.cli import main
from vqa.errors import InputError
from vqa.utils.resources import shipped

MINI = str(shipped("data/clevr-mini"))


@pytest.fixture
def split() -> str:
    return "val"


def test_two_splits_become_one_and_every_question_keeps_its_image(tmp_path: Path, capsys) -> None:
    splits = ("train", "val")
    command = ["data", "merge", *(f"{MINI}:{name}" for name in splits), "--out", str(tmp_path), "--split", "train"]
    assert main(command) == 0
    own = [question for name in splits for question in read_questions(questions_path(MINI, name))]
    merged = read_questions(questions_path(tmp_path, "train"))
    scenes = read_scenes(scenes_path(tmp_path, "train"))
    assert f"{len(scenes):,} scenes and {len(merged):,} questions" in capsys.readouterr().out
    assert [question.question for question in merged] == [question.question for question in own]
    assert [question.question_index for question in merged] == list(range(len(merged)))
    indices = {scene.image_index for scene in scenes.values()}
    assert len(indices) == len(scenes) == sum(len(read_scenes(scenes_path(MINI, name))) for name in splits)
    for question, old in zip(merged, own, strict=True):
        image = image_path(tmp_path, "train", question.image_filename or "")
        assert image.samefile(image_path(MINI, old.split or "", old.image_filename or ""))
        assert scenes[question.image_filename or ""].image_index == question.image_index
    assert main(command) == 0, "an earlier merged split may be written again"
    assert main(["data", "check", str(tmp_path)]) == 0


def test_nothing_is_written_over_and_no_image_is_taken_twice(tmp_path: Path, capsys) -> None:
    shutil.copytree(MINI, tmp_path / "mine")
    before = questions_path(tmp_path / "mine", "train").read_bytes()
    mine = str(tmp_path / "mine")
    assert main(["data", "merge", f"{mine}:train", f"{mine}:val", "--out", mine]) == 2
    assert main(["data", "merge", f"{MINI}:val", "--out", mine]) == 2
    assert "already exists" in capsys.readouterr().err
    assert questions_path(mine, "train").read_bytes() == before
    assert not any(path.is_symlink() for path in Path(mine, "images", "train").iterdir())
    assert main(["data", "merge", f"{MINI}:val", f"{MINI}:val", "--out", str(tmp_path / "out")]) == 2
    assert "given twice" in capsys.readouterr().err


def test_a_merged_split_opens_as_any_other(tmp_path: Path, split: str) -> None:
    from vqa.clevr.dataset.loading import open_images

    assert main(["data", "merge", f"{MINI}:{split}", "--out", str(tmp_path)]) == 0
    pack = open_images(str(tmp_path), (32, 48), "train")
    assert len(pack) == len(read_scenes(scenes_path(MINI, split)))
    assert pack.scene(0) is not None
    assert pack.images is not None
    assert pack.images[0].std() > 0


def test_faults_are_named(tmp_path: Path, split: str, capsys) -> None:
    assert main(["data", "merge", "nosplit", "--out", str(tmp_path)]) == 2
    assert "DIR:SPLIT" in capsys.readouterr().err
    assert main(["data", "merge", f"{MINI}:nothing", "--out", str(tmp_path)]) == 2
    assert "neither scenes nor questions" in capsys.readouterr().err
    (tmp_path / "images" / "train" / f"0-{split}").mkdir(parents=True)
    assert main(["data", "merge", f"{MINI}:{split}", "--out", str(tmp_path)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert not questions_path(tmp_path, "train").exists()
    with pytest.raises(InputError, match="split"):
        merge_splits([(MINI, "../" + split)], tmp_path, "train")
