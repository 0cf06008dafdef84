"""Several splits as one."""

from pathlib import Path

import pytest

from vqa.clevr.files import image_path, questions_path, read_questions, read_scenes, scenes_path
from vqa.clevr.merging import merge_splits
from vqa.cli import main
from vqa.errors import InputError
from vqa.resources import shipped

MINI = str(shipped("data/clevr-mini"))


@pytest.fixture
def split() -> str:
    return next(path.name for path in Path(MINI, "images").iterdir())


def test_two_splits_become_one_and_every_question_keeps_its_picture(tmp_path: Path, split: str, capsys) -> None:
    source = f"{MINI}:{split}"
    assert main(["data", "merge", source, source, "--out", str(tmp_path), "--split", "train"]) == 0
    own, merged = read_questions(questions_path(MINI, split)), read_questions(questions_path(tmp_path, "train"))
    scenes = read_scenes(scenes_path(tmp_path, "train"))
    assert f"{len(scenes):,} scenes and {len(merged):,} questions" in capsys.readouterr().out
    assert [question.question for question in merged] == 2 * [question.question for question in own]
    assert [question.question_index for question in merged] == list(range(len(merged)))
    indices = {scene.image_index for scene in scenes.values()}
    assert len(indices) == len(scenes) == 2 * len(read_scenes(scenes_path(MINI, split)))
    for question, old in zip(merged, 2 * own, strict=True):
        picture = image_path(tmp_path, "train", question.image_filename or "")
        assert picture.samefile(image_path(MINI, split, old.image_filename or ""))
        assert scenes[question.image_filename or ""].image_index == question.image_index


def test_a_merged_split_opens_as_any_other(tmp_path: Path, split: str) -> None:
    from vqa.clevr.dataset import open_pictures

    assert main(["data", "merge", f"{MINI}:{split}", "--out", str(tmp_path)]) == 0
    pack = open_pictures(str(tmp_path), (32, 48), "train")
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
    assert "stands here already" in capsys.readouterr().err
    assert not questions_path(tmp_path, "train").exists()
    with pytest.raises(InputError, match="split"):
        merge_splits([(MINI, "../" + split)], tmp_path, "train")
