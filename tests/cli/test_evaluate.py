"""`vqa evaluate` and `vqa predict`, from the command line to the files."""

import json
import shutil
from pathlib import Path

import pytest

from vqa.cli import main
from vqa.errors import InputError
from vqa.evaluation.evaluate import distinct_names, make_sets


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_predictions_score_as_the_checkpoint_that_made_them(run, clevr_folder, tiny_checkpoint):
    there = ("--data", clevr_folder, "--split", "val")
    status, out, _ = run("predict", *there, "--checkpoint", tiny_checkpoint, "--out", "made/answers.jsonl")
    assert (status, out) == (0, "made/answers.jsonl: 20 answers\n")
    status, out, _ = run(
        *("evaluate", *there, "--checkpoint", tiny_checkpoint, "--predictions", "made/answers.jsonl"),
        *("--json", "made/report.json", "--resamples", "200", "--by", "type", "length"),
    )
    assert status == 0
    report = json.loads(Path("made/report.json").read_text())
    ran, read = report["sets"][0]["models"]
    assert ran["kind"] == "checkpoint"
    assert len(ran["weights_sha256"]) == 64
    assert read["kind"] == "predictions"
    assert ran["overall"] == read["overall"]
    assert ran["breakdowns"] == read["breakdowns"]
    assert ran["calibration"]["error"] == pytest.approx(read["calibration"]["error"], abs=1e-5)
    assert report["sets"][0]["comparisons"][0]["p"] == 1
    assert f"{100 * ran['overall']['value']:.1f}" in out
    assert "question type" in out
    assert "program length" in out
    assert report["command"].startswith(f"vqa evaluate --data {clevr_folder} --split val --checkpoint")


def test_the_right_answers_score_a_hundred(run, clevr_folder):
    questions = json.loads((clevr_folder / "questions/CLEVR_val_questions.json").read_text())["questions"]
    gold = [{"question_index": question["question_index"], "answer": question["answer"]} for question in questions]
    Path("gold.jsonl").write_text("\n".join(map(json.dumps, reversed(gold))))
    status, out, _ = run("evaluate", "--data", clevr_folder, "--split", "val", "--predictions", "gold.jsonl")
    assert status == 0
    assert "100.0 [51.0, 100.0]" in out


def test_a_test_split_is_answered_but_not_scored(run, clevr_folder, tiny_checkpoint):
    there = ("--data", clevr_folder, "--split", "test", "--checkpoint", tiny_checkpoint)
    assert run("predict", *there, "--out", "test.jsonl")[0] == 0
    lines = [json.loads(line) for line in Path("test.jsonl").read_text().splitlines()]
    assert [line["question_index"] for line in lines] == [0, 1, 2, 3]
    assert [line["image_filename"] for line in lines] == [f"CLEVR_test_{i:06d}.png" for i in range(4)]
    assert all(0 <= line["confidence"] <= 1 and isinstance(line["answer"], str) for line in lines)
    status, _, err = run("evaluate", *there)
    assert status == 2
    assert "vqa predict" in err


def test_no_question_is_refused(run, clevr_folder, tiny_checkpoint):
    there = ("--data", clevr_folder, "--split", "human", "--checkpoint", tiny_checkpoint)
    status, _, err = run("predict", *there, "--out", "human.jsonl")
    assert status == 0
    assert "glorbish" in err
    assert len(Path("human.jsonl").read_text().splitlines()) == 6
    status, out, _ = run("evaluate", *there)
    assert status == 0
    assert "glorbish" in out
    assert "shiny" in out


def test_several_sets_in_one_report(run, clevr_folder, tiny_checkpoint):
    status, _, _ = run(
        *("evaluate", "--data", clevr_folder, "--split", "val", "human", "--checkpoint", tiny_checkpoint),
        *("--json", "both.json", "--device", "cpu", "--batch-size", "7", "--seed", "5"),
    )
    assert status == 0
    report = json.loads(Path("both.json").read_text())
    assert [(entry["split"], entry["questions"]) for entry in report["sets"]] == [("val", 20), ("human", 5)]
    assert report["intervals"]["seed"] == 5


def test_checkpoints_with_other_answers_are_scored_by_their_words(run, clevr_folder, tiny_checkpoint):
    folder = Path(shutil.copytree(tiny_checkpoint, "german"))
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {i: {"yes": "ja", "no": "nein"}.get(name, name) for i, name in config["id2label"].items()}
    config["label2id"] = {name: int(i) for i, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    status, out, _ = run(
        *("evaluate", "--data", clevr_folder, "--split", "val", "--checkpoint", tiny_checkpoint, folder),
        *("--json", "report.json"),
    )
    assert status == 0
    ours, german = json.loads(Path("report.json").read_text())["sets"][0]["models"]
    assert ours["unknown_answers"]["questions"] == 0
    assert german["unknown_answers"] == {"questions": 12, "answers": {"no": 8, "yes": 4}}
    assert "german: 12 questions with answers (no (8), yes (4)) that it cannot give" in out


def test_two_runs_give_the_same_bytes(run, clevr_folder, tiny_checkpoint):
    for name in ("one", "two"):
        command = ("evaluate", "--data", clevr_folder, "--split", "val", "--checkpoint", tiny_checkpoint)
        assert run(*command, "--json", f"{name}.json")[0] == 0
    assert Path("one.json").read_bytes() == Path("two.json").read_bytes()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "--split: say which: human, test, val"),
        (("--split", "nowhere"), "nowhere_questions.json: no such question file"),
        (("--split", "../val"), "split '../val'"),
        (("--split", "val", "--questions", "nowhere.json"), "nowhere.json"),
        (
            ("--split", "val", "human", "test", "--questions", "a.json", "b.json"),
            "2 values beside lists of 3",
        ),
        (("--split", "val", "--predictions", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--split", "val", "human", "--predictions", "nowhere.jsonl"), "--predictions"),
        (("--split", "val", "--checkpoint", "nowhere"), "nowhere"),
        (("--split", "val", "--batch-size", "0"), "--batch-size"),
        (("--split", "val", "--resamples", "3"), "--resamples"),
        (("--split", "val", "--seed", "-1"), "--seed"),
        (("--split", "val", "--by", "colour"), "--by"),
        (("--split", "val", "--json", "."), "is a folder"),
        (("--split", "val", "--device", "abacus"), "abacus"),
    ],
)
def test_mistakes_are_named_with_status_2(run, clevr_folder, tiny_checkpoint, flags, said):
    more = () if {"--checkpoint", "--predictions"} & {*flags} else ("--checkpoint", tiny_checkpoint)
    data = shutil.copytree(clevr_folder, "small-clevr")
    status, out, err = run("evaluate", "--data", data, *flags, *more)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_folders_without_questions_are_named(run, tmp_path, tiny_checkpoint):
    (tmp_path / "bare/questions").mkdir(parents=True)
    for data in ("bare", "absent"):
        for split in ((), ("--split", "val")):
            status, _, err = run("evaluate", "--data", data, *split, "--checkpoint", tiny_checkpoint)
            assert status == 2
            assert data in err
    (tmp_path / "bare/questions/CLEVR_val_questions.json").write_text('{"questions": []}')
    status, _, err = run("evaluate", "--data", "bare", "--split", "val", "--checkpoint", tiny_checkpoint)
    assert status == 2
    assert "holds no questions" in err


def test_a_place_that_cannot_be_written_is_named_before_the_work(run, clevr_folder, tiny_checkpoint, monkeypatch):
    import vqa.evaluation.evaluate

    monkeypatch.setattr(vqa.evaluation.evaluate, "predict", None)
    Path("file").touch()
    for command, flag in (("predict", "--out"), ("evaluate", "--json")):
        status, _, err = run(
            *(command, "--data", clevr_folder, "--split", "val", "--checkpoint", tiny_checkpoint, flag, "file/in/it")
        )
        assert status == 2
        assert "file/in/it" in err


def test_lists_are_matched_in_order():
    assert [(s.data, s.split, s.questions) for s in make_sets(["a", "b"], ["x", "y"])] == [
        ("a", "x", None),
        ("b", "y", None),
    ]
    assert [(s.data, s.split, s.questions) for s in make_sets(["a"], ["x"], ["1", "2"])] == [
        ("a", "x", "1"),
        ("a", "x", "2"),
    ]
    with pytest.raises(InputError, match="absent"):
        make_sets(["absent"], None)
    assert [s.name for s in make_sets(["d/a"], ["x"], ["q/closure.json"])] == ["a x closure"]


def test_models_of_one_name_are_told_apart():
    assert distinct_names(["a/x", "b/y.jsonl"]) == ["x", "y"]
    assert distinct_names(["a/x", "b/x", "c/z"]) == ["a/x", "b/x", "z"]
    assert distinct_names(["a/x", "a/x"]) == ["a/x", "a/x (2)"]
