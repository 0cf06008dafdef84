"""Bait: what is added, that the truth stays, and how answers are scored."""

import json
import random

import pytest
from blender_stand_in import StandIn, contents

from vqa.clevr.annotations import read_questions, read_scenes
from vqa.clevr.image_generation.bait import add_bait
from vqa.clevr.image_generation.sample_scenes import annotate, placement_issues
from vqa.clevr.programs import answer_string, execute, program_from_json
from vqa.clevr.question import Question
from vqa.clevr.scenes import SceneObject
from vqa.cli import main


def scene_of(*objects):
    return annotate([SceneObject(*looks, (x, y, 0.7 if "large" in looks else 0.35), 0.0) for *looks, x, y in objects])


def question(answer, *steps):
    calls = [{"function": name, "inputs": inputs, "value_inputs": values} for name, inputs, values in steps]
    return Question("?", answer, program_from_json(calls))


RED_CUBES = [("scene", [], []), ("filter_color", [0], ["red"]), ("filter_shape", [1], ["cube"])]
SCENE = scene_of(("cube", "red", "large", "metal", -1.5, 0.5), ("sphere", "blue", "small", "rubber", 2.0, 1.5))


@pytest.mark.parametrize("seed", range(5))
def test_a_bait_fails_one_word_and_would_change_the_answer(seed):
    counted = question("1", *RED_CUBES, ("count", [2], []))
    bait = add_bait(counted, SCENE, random.Random(seed))
    *others, added = bait.scene.objects
    assert [item.coords for item in others] == [item.coords for item in SCENE.objects]
    assert (added.color == "red", added.shape == "cube") == (bait.missed != "color", bait.missed != "shape")
    assert not placement_issues(bait.scene.objects)
    assert (answer_string(execute(counted.program, bait.scene)[-1]), bait.answer) == ("1", "2")


@pytest.mark.parametrize("seed", range(5))
def test_a_bait_in_the_place_of_one_object_answers_for_itself(seed):
    asked = question("metal", *RED_CUBES, ("unique", [2], []), ("query_material", [3], []))
    bait = add_bait(asked, SCENE, random.Random(seed))
    assert bait.scene.objects[-1].material == bait.answer == "rubber"
    related = question("1", *RED_CUBES, ("unique", [2], []), ("relate", [3], ["right"]), ("count", [4], []))
    if found := add_bait(related, SCENE, random.Random(seed)):
        assert answer_string(execute(related.program, found.scene)[-1]) == "1" != found.answer


def test_where_there_is_no_bait():
    one_word = question("1", *RED_CUBES[:2], ("count", [1], []))
    assert add_bait(one_word, SCENE, random.Random(0)) is None
    assert add_bait(Question("?", "1"), SCENE, random.Random(0)) is None
    there = question("yes", *RED_CUBES, ("exist", [2], []))  # with one more it is still yes
    assert add_bait(there, SCENE, random.Random(0)) is None


def test_baits_are_made_and_scored(tmp_path, capsys):
    stand_in = StandIn(tmp_path)
    blender = ["--width", "60", "--blender", str(stand_in.path)]
    data, out = str(tmp_path / "data"), str(tmp_path / "bait")
    assert main(["data", "make", "--num", "6", "--split", "val", "--objects", "3-5", "--out", data, *blender]) == 0
    flags = ["data", "bait", "--data", data, "--num", "8", "--out", out, *blender]
    assert main([*flags, "--format", "jpg"]) == 0
    made = contents(tmp_path / "bait")
    assert sum(name.startswith("images/val/") for name in made) == 8
    assert main([*flags, "--format", "jpg"]) == 0
    assert contents(tmp_path / "bait") == made
    assert main(["data", "check", out]) == 0
    scenes = read_scenes(tmp_path / "bait/scenes/CLEVR_val_scenes.json")
    before = {
        item.question_index: item for item in read_questions(tmp_path / "data/questions/CLEVR_val_questions.json")
    }
    questions = read_questions(tmp_path / "bait/questions/CLEVR_val_questions.json")
    for item in questions:
        assert item.answer == before[item.question_index].answer
        assert answer_string(execute(item.program, scenes[item.image_filename])[-1]) == item.answer
    baits = {bait["question_index"]: bait for bait in json.loads(made["baits.json"])["baits"]}
    answers = [(key, bait["answer"] if k < 2 else bait["truth"]) for k, (key, bait) in enumerate(baits.items())]
    after, first = tmp_path / "after.jsonl", tmp_path / "before.jsonl"
    lines = [json.dumps({"question_index": key, "answer": answer}) + "\n" for key, answer in answers]
    after.write_text("".join(lines))
    correct = [json.dumps({"question_index": key, "answer": bait["truth"]}) + "\n" for key, bait in baits.items()]
    first.write_text("".join(correct))
    capsys.readouterr()
    assert main(["data", "bait", "--out", out, "--score", str(after), str(first)]) == 0
    total = capsys.readouterr().out.splitlines()[1].split()
    assert total == ["all", "8", "8", "25.0", "[7.1,", "59.1]", "75.0"]
    first.write_text("".join(correct[1:]))
    assert main(["data", "bait", "--out", out, "--score", str(after), str(first)]) == 2
    assert "has no answer to question" in capsys.readouterr().err
    first.write_text('{"question": 1}\n' * 2)
    assert main(["data", "bait", "--out", out, "--score", str(after), str(first)]) == 2
    assert "question_index and answer" in capsys.readouterr().err
    assert main(["data", "bait", "--data", data, "--num", "5000", "--out", str(tmp_path / "more"), *blender]) == 2
    assert "gives only" in capsys.readouterr().err
    for wrong in (["--data", data, "--num", "0"], []):
        assert main(["data", "bait", *wrong, "--out", str(tmp_path / "more"), *blender]) == 2
