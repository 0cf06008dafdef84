"""Files as people have them: every case of ../shared/cases gives its right value."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image

from vqa.clevr.annotations import questions_path, scenes_path
from vqa.clevr.dataset.loading import cache_dir, open_data, open_images
from vqa.cli import main
from vqa.utils.resources import shipped

CASES = Path(__file__).parents[4] / "shared/cases"
MINI = shipped("data/clevr-mini")
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not here")


def run(capsys, *words) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    return status, *capsys.readouterr()


def scored(tmp_path, *words) -> dict:
    """The JSON report's one set."""
    report = tmp_path / "report.json"
    assert main(["evaluate", *map(str, words), "--json", str(report), "--resamples", "100"]) == 0
    return json.loads(report.read_text())["sets"][0]


def contents(root: Path) -> list:
    """Pixels, scene and questions (but names) of each row."""
    rows = open_data(root, "val")
    return [
        (
            rows.image(row).tobytes(),
            rows.scene(row) and rows.scene(row).objects,
            [(item.question, item.answer, item.program) for item in rows.questions(row)],
        )
        for row in range(len(rows))
    ]


CLEAN = contents(CASES / "predictions") if CASES.is_dir() else []


@pytest.mark.parametrize("case", ["bom", "side-inputs", "fn-prefix", "upper", "flat"])
def test_other_forms_read_as_clean(case, capsys):
    assert contents(CASES / case) == CLEAN
    said = capsys.readouterr().err
    taken = {"fn-prefix": "CLEVR_val_000000.png for val/CLEVR", "upper": "CLEVR_val_000000.PNG for CLEVR"}
    assert taken.get(case, "") in said
    assert ("read under another name" in said) == (case in taken)


def test_jpg_instead_of_png(capsys):
    found = contents(CASES / "jpg-vs-png")
    assert [row[1:] for row in found] == [row[1:] for row in CLEAN]
    assert "3 images are read under another name, such as CLEVR_val_000000.jpg for CLEVR" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["evaluate"], ["predict", "--out", "{tmp}/p.jsonl"], ["data", "check"]])
def test_the_dataset_one_folder_down_is_named(command, tmp_path, capsys):
    words = [word.format(tmp=tmp_path) for word in command]
    place = [CASES / "nested-outer"] if words[0] == "data" else ["--data", CASES / "nested-outer", "--split", "val"]
    status, _, said = run(capsys, *words, *place)
    assert status == 2
    assert "give " in said
    assert str(CASES / "nested-outer" / "CLEVR_v1.0") in said


def test_a_git_lfs_pointer_is_named(capsys):
    status, _, said = run(capsys, "evaluate", "--data", CASES / "lfs-json", "--split", "val")
    assert status == 2
    assert "CLEVR_val_questions.json: is a Git LFS pointer" in said
    assert "git lfs pull" in said


@pytest.mark.parametrize(
    "name",
    ["answers.txt", "json-list.json", "csv.csv", "bom.jsonl", "question_id-text.jsonl", "capital-full-stop.jsonl"],
)
def test_prediction_files(name, tmp_path, capsys):
    root = CASES / "predictions"
    found = scored(tmp_path, "--data", root, "--split", "val", "--predictions", root / name)
    assert (found["questions"], found["models"][0]["overall"]["value"]) == (30, 1.0)
    assert ("answers are normalized" in capsys.readouterr().err) == name.startswith("capital")


def test_utf_16_and_a_csv_in_quotes(tmp_path):
    root = CASES / "predictions"
    text = (root / "csv.csv").read_text().replace("question_index,answer", '"questionId","prediction"')
    (tmp_path / "p.csv").write_text(text, encoding="utf-16")
    found = scored(tmp_path, "--data", root, "--split", "val", "--predictions", tmp_path / "p.csv")
    assert found["models"][0]["overall"]["value"] == 1.0


def test_answers_are_normalized_on_both_sides(tmp_path, capsys):
    root = CASES / "pred-capital"
    found = scored(tmp_path, "--data", root, "--split", "val", "--predictions", root / "p.jsonl")
    assert found["models"][0]["overall"]["value"] == 1.0
    said = capsys.readouterr().err
    assert "16 answers are normalized, such as 'False' to 'no'" in said
    assert said.count("answers are normalized") == 2


def test_a_part_of_the_images(tiny_checkpoint, tmp_path, capsys):
    words = ["--data", CASES / "subset", "--split", "val", "--checkpoint", tiny_checkpoint]
    found = scored(tmp_path, *words)
    assert (found["questions"], found["left_out"]) == (30, 30)
    assert "3 images named in the JSON are not there, such as CLEVR_val_00000" in capsys.readouterr().err
    status, _, said = run(capsys, "evaluate", *words, "--strict")
    assert status == 2
    assert "--strict: 30 of 60 questions" in said
    assert run(capsys, "predict", *words, "--out", tmp_path / "p.jsonl", "--strict")[0] == 2
    assert not (tmp_path / "p.jsonl").exists()


def test_an_unknown_function(tiny_checkpoint, tmp_path, capsys):
    found = scored(tmp_path, "--data", CASES / "unknown-fn", "--split", "val", "--checkpoint", tiny_checkpoint)
    assert found["questions"] == 30
    assert found["programs"]["stored"] == 29
    said = capsys.readouterr().err
    assert "1 programs have functions that CLEVR does not have, and are left out, such as query_part" in said


def test_a_cone(tiny_checkpoint, tmp_path, capsys):
    root = Path(shutil.copytree(CASES / "custom-shape", tmp_path / "cone"))
    root.chmod(0o755)
    assert scored(tmp_path, "--data", root, "--split", "val", "--checkpoint", tiny_checkpoint)["questions"] == 30
    scenes = json.loads((CASES / "predictions/scenes/CLEVR_val_scenes.json").read_text())
    scenes["scenes"][1]["objects"][0]["shape"] = "cone"
    scenes_path(root, "val").parent.mkdir()
    scenes_path(root, "val").write_text(json.dumps(scenes))
    capsys.readouterr()
    assert scored(tmp_path, "--data", root, "--split", "val", "--checkpoint", tiny_checkpoint)["questions"] == 30
    said = capsys.readouterr().err
    assert "1 scenes have values that CLEVR does not have, and are left out, such as shape 'cone'" in said
    rows = open_data(root, "val")
    assert [rows.scene(row) is None for row in range(len(rows))].count(True) == 1


def test_the_official_generators_questions(tiny_checkpoint, tmp_path, capsys):
    file = CASES / "generator-answers/CLEVR_questions.json"
    words = ["--data", MINI, "--split", "val", "--questions", file]
    found = scored(tmp_path, *words, "--checkpoint", tiny_checkpoint)
    assert (found["questions"], found["programs"]["stored"], found["unknown_answers"]["questions"]) == (60, 60, 0)
    assert "32 answers are normalized" in capsys.readouterr().err
    predicted = ["predict", *words, "--checkpoint", tiny_checkpoint, "--out"]
    assert run(capsys, *predicted, tmp_path / "p.jsonl")[:2] == (0, f"{tmp_path}/p.jsonl: 60 answers\n")
    assert run(capsys, *predicted, tmp_path / "p.txt")[0] == 0
    answers = [json.loads(line)["answer"] for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert (tmp_path / "p.txt").read_text().splitlines() == answers
    status, said, _ = run(capsys, "data", "check", MINI, "--split", "val", "--questions", file)
    assert (status, "no issues" in said) == (0, True)
    pack = ["data", "pack", MINI, "--split", "val", "--questions", file, "--size", "16x24", "--out", tmp_path / "pack"]
    assert run(capsys, *pack)[0] == 0
    split = ["data", "split", MINI, "--split", "val", "--questions", file, "--protocol", "size-depth"]
    assert run(capsys, *split, "--out", tmp_path / "split")[0] == 0


def test_the_official_generators_folder(tiny_checkpoint, tmp_path):
    """Its output is flat: CLEVR_questions.json, CLEVR_scenes.json, images/."""
    root = tmp_path / "output"
    shutil.copytree(MINI / "images/val", root / "images")
    shutil.copy(CASES / "generator-answers/CLEVR_questions.json", root)
    shutil.copy(scenes_path(MINI, "val"), root / "CLEVR_scenes.json")
    rows = open_data(root, "val")
    assert (len(rows), len(rows.answers), rows.scene(0) is None) == (12, 60, False)
    assert rows.image(0).shape == (160, 240, 3)
    assert main(["data", "check", str(root)]) == 0
    assert main(["data", "merge", f"{root}:val", "--out", str(tmp_path / "merged"), "--split", "val"]) == 0
    assert len(open_data(tmp_path / "merged", "val").answers) == 60


def test_questions_as_json_lines_and_as_a_list(tmp_path):
    records = json.loads(questions_path(MINI, "val").read_text())["questions"]
    for text in ("".join(json.dumps(record) + "\n" for record in records), json.dumps(records)):
        (tmp_path / "q.json").write_text(text)
        assert len(open_data(MINI, "val", questions=tmp_path / "q.json").answers) == 120


@pytest.mark.parametrize("inner", ["", "sub"])
def test_overwritten_images_are_seen(inner, tmp_path, capsys):
    root = Path(shutil.copytree(MINI, tmp_path / "mini"))
    folder = root / "images/val"
    if inner:
        folder.rename(root / "images/sub")
        folder.mkdir()
        (root / "images/sub").rename(folder / "sub")
        for path in (questions_path(root, "val"), scenes_path(root, "val")):
            path.write_text(path.read_text().replace('"CLEVR_val_0', '"sub/CLEVR_val_0'))
    before = open_images(root, (16, 24), "val").image(0).copy()
    assert "changed" not in capsys.readouterr().err
    for path in (folder / inner).glob("*.jpg"):
        Image.new("RGB", (240, 160), "red").save(path)  # the folder itself does not change
    after = open_images(root, (16, 24), "val").image(0)
    assert not np.array_equal(before, after)
    assert "images or JSON of split val changed" in capsys.readouterr().err
    assert len(list(cache_dir().glob("*.pack"))) == 1


def training(tmp_path, tiny, *words) -> list[str]:
    settings = [word for item in tiny for word in ("--set", item)]
    length = ["--training-questions", "16", "--batch-size", "8", "--holdout", "0.3", "--augment", "0"]
    return ["train", *words, "--out", str(tmp_path / "run"), *settings, *length, "--mixed-precision", "no"]


def test_another_language(tmp_path, tiny, tiny_checkpoint, capsys):
    words = ["--data", CASES / "vietnamese", "--split", "val"]
    train = training(tmp_path, tiny, *words)
    status, _, said = run(capsys, *train)
    assert status == 2
    assert "40 of 40 questions have words that the model does not know: " in said
    assert "give --vocabulary data" in said
    assert run(capsys, *train, "--vocabulary", "data")[0] == 0
    found = scored(tmp_path, *words, "--checkpoint", tmp_path / "run")
    assert found["models"][0]["unknown_words"]["questions"] == 0
    found = scored(tmp_path, *words, "--checkpoint", tiny_checkpoint)
    assert found["questions"] == 40
    assert found["unknown_words"]["questions"] == 40


@pytest.mark.parametrize("case", ["subset", "custom-shape", "unknown-fn", "bom", "pred-capital"])
def test_training_on_them(case, tmp_path, tiny, capsys):
    train = training(tmp_path, tiny, "--data", CASES / case, "--split", "val")
    assert run(capsys, *train)[0] == 0
    if case == "subset":
        status, _, said = run(capsys, *train, "--strict", "--out", tmp_path / "other")
        assert status == 2
        assert "--strict: 30 of 60 questions" in said


@pytest.mark.parametrize(
    ("case", "taken"),
    [
        ("hf-flat", "image for image, question for question, answer for answer"),
        ("hf-cauldron", "images for image, texts for turns of user and assistant"),
    ],
)
def test_rows_of_the_hub(case, taken, tmp_path, tiny, tiny_checkpoint, capsys):
    words = ["--data", CASES / case, "--split", "train"]
    found = scored(tmp_path, *words, "--checkpoint", tiny_checkpoint)
    assert (found["questions"], found["unknown_answers"]["questions"]) == (30, 0)
    assert f"columns read are {taken}" in capsys.readouterr().err
    rows = open_data(CASES / case, "train")
    asked = [[(item.question, item.answer) for item in rows.questions(row)] for row in range(len(rows))]
    assert asked == [[item[:2] for item in row[2]] for row in CLEAN]
    assert [rows.image(row).tobytes() for row in range(3)] == [row[0] for row in CLEAN]
    assert run(capsys, *training(tmp_path, tiny, *words))[0] == 0


def test_solutions_in_tags(tmp_path):
    """R1-V's and clevr-math's columns."""
    content = (MINI / "images/val/CLEVR_val_000000.jpg").read_bytes()
    rows = {
        "image": [{"bytes": content, "path": None}],
        "problem": ["<image>How many things are there?"],
        "solution": ["<answer> 3 </answer>"],
    }
    folder = tmp_path / "r1v"
    folder.mkdir()
    Dataset.from_dict(rows).to_parquet(str(folder / "train.parquet"))
    (question,) = open_data(folder, "train").questions(0)
    assert (question.question, question.answer) == ("How many things are there?", "3")
