"""`vqa data check` on a small true dataset, and on copies with one thing made wrong."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scene_strategies import sampled_scenes

from vqa.clevr.annotations import questions_path, read_questions, scenes_path, write_questions, write_scenes
from vqa.clevr.dataset.validate import CheckReport, check_dataset, false_relation
from vqa.clevr.dataset.validation_report import notes_of, report_text
from vqa.clevr.programs import Step, answer_string, execute
from vqa.clevr.question import Question
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import make_question_file
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ANSWERS
from vqa.cli import main
from vqa.errors import InputError

SHARED = Path(__file__).parents[4] / "shared"

PROGRAMS = (
    (Step("scene"), Step("filter_shape", (0,), "cube"), Step("count", (1,))),
    (Step("scene"), Step("filter_color", (0,), "red"), Step("exist", (1,))),
    (
        Step("scene"),
        Step("count", (0,)),
        Step("filter_size", (0,), "small"),
        Step("count", (2,)),
        Step("greater_than", (1, 3)),
    ),
)


def write_split(root: Path, split: str, num: int = 4, condition: str = "none", seed: int = 0) -> list[Scene]:
    """Images of noise, sampled scenes, three questions for each."""
    scenes = sampled_scenes(num, split, condition, seed)
    noise = np.random.default_rng([seed, *split.encode()])
    (root / "images" / split).mkdir(parents=True)
    questions = []
    for scene in scenes:
        Image.fromarray(noise.integers(0, 256, (16, 24, 3), dtype=np.uint8)).save(
            root / "images" / split / scene.image_filename
        )
        for j, program in enumerate(PROGRAMS):
            answer = answer_string(execute(program, scene)[-1])
            questions.append(
                Question(f"Question {j}?", answer, program, scene.image_filename, scene.image_index, split)
            )
    write_scenes(scenes_path(root, split), scenes, {"split": split})
    write_questions(questions_path(root, split), questions, {"split": split})
    return scenes


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    write_split(root, "val")
    write_split(root, "trainA", condition="cogent-a")
    return root


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "data")


def change(path: Path, edit: Callable[[dict], object]) -> None:
    content = json.loads(path.read_bytes())
    edit(content)
    path.write_text(json.dumps(content))


def only_issue(report: CheckReport) -> tuple[str, str, int | None, str]:
    assert report.issues.counts.total() == 1, report_text(report)
    issue = report.issues.kept[0]
    return issue.kind, issue.file, issue.index, issue.message


def test_true_data_is_clean(data: Path) -> None:
    report = check_dataset(data)
    assert report.clean, report_text(report)
    assert [(facts.name, facts.condition) for facts in report.splits] == [("trainA", "cogent-a"), ("val", "none")]
    for facts in report.splits:
        assert (facts.images, facts.scenes, facts.questions, facts.executed) == (4, 4, 12, 12)
        assert dict(facts.sizes) == {(24, 16): 4}
    assert report_text(report).endswith("no issues")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=st.integers(0, 11), answer=st.sampled_from(ANSWERS))
def test_any_wrong_answer_is_found_at_its_place(data: Path, index: int, answer: str) -> None:
    path = questions_path(data, "val")
    original = path.read_bytes()
    try:
        change(path, lambda content: content["questions"][index].update(answer=answer))
        true = json.loads(original)["questions"][index]["answer"]
        report = check_dataset(data, splits=["val"], images=False)
        if answer == true:
            assert report.clean
        else:
            kind, file, at, message = only_issue(report)
            assert (kind, file, at) == ("wrong answer", "questions/CLEVR_val_questions.json", index)
            assert f"answer {answer!r}, but the program gives {true!r}" in message
    finally:
        path.write_bytes(original)


def add_left(content: dict) -> None:
    rows = content["scenes"][2]["relationships"]["left"]
    empty = next(row for row in rows if len(row) < len(rows) - 1)
    empty.append(next(j for j in range(len(rows)) if j not in empty and j != rows.index(empty)))


SCENE_EDITS: list[tuple[Callable[[dict], object], str, str]] = [
    (add_left, "false relation", r"scenes\[2\]\.relationships\.left\[\d\]: lists .* the coordinates say"),
    (lambda c: c["scenes"][2]["relationships"]["front"][0].append(0), "broken scene", r"front\[0\]"),
    (lambda c: c["scenes"][2]["objects"][1].update(color="pink"), "broken scene", r"objects\[1\]\.color: 'pink'"),
    (lambda c: c["scenes"][2]["objects"][1].pop("shape"), "broken scene", r"'shape' is missing"),
    (lambda c: c["scenes"][2]["relationships"]["left"].pop(), "broken scene", r"rows for"),
    (lambda c: c["scenes"][2].update(image_filename="../../etc/passwd"), "broken scene", r"image_filename"),
    (lambda c: c["scenes"][2].update(image_filename=c["scenes"][0]["image_filename"]), "broken scene", "second scene"),
    (lambda c: c["scenes"].__setitem__(2, "nothing"), "broken scene", r"scenes\[2\]"),
]


@pytest.mark.parametrize(("edit", "kind", "words"), SCENE_EDITS)
def test_faults_in_a_scene(data: Path, edit: Callable[[dict], object], kind: str, words: str) -> None:
    questions_path(data, "val").unlink()
    change(scenes_path(data, "val"), edit)
    report = check_dataset(data, splits=["val"])
    (issue,) = [issue for issue in report.issues.kept if issue.kind != "missing image"]
    assert (issue.kind, issue.file, issue.index) == (kind, "scenes/CLEVR_val_scenes.json", 2)
    assert re.search(words, issue.message)


QUESTION_EDITS: list[tuple[Callable[[dict], object], str, str]] = [
    (lambda q: q.update(answer="maybe"), "wrong answer", "'maybe' is none of the 28 answers"),
    (lambda q: q.update(answer=[3]), "broken question", "answer"),
    (lambda q: q.update(premise="maybe"), "broken question", "premise: 'maybe' is not holds, absent or ambiguous"),
    (lambda q: q.update(premise="absent"), "wrong answer", "premise: is not absent on"),
    (lambda q: q.pop("question"), "broken question", "question"),
    (lambda q: q["program"][1].update(function="frobnicate"), "broken question", "frobnicate"),
    (lambda q: q["program"][1].update(inputs=[1]), "broken question", "earlier steps"),
    (lambda q: q["program"].pop(), "broken question", "ends in filter_color, which is not an answer"),
    (
        lambda q: q["program"].append({"function": "count", "inputs": [2]}),
        "broken question",
        "count reads a set",
    ),
    (lambda q: q.update(image_index=3), "broken question", "image_index 3, but CLEVR_val_000001.png has 1"),
    (lambda q: q.update(image_filename="/etc/passwd"), "broken question", "image_filename"),
]


@pytest.mark.parametrize(("edit", "kind", "words"), QUESTION_EDITS)
def test_faults_in_a_question(data: Path, edit: Callable[[dict], object], kind: str, words: str) -> None:
    change(questions_path(data, "val"), lambda content: edit(content["questions"][4]))
    found = only_issue(check_dataset(data, splits=["val"]))
    assert found[:3] == (kind, "questions/CLEVR_val_questions.json", 4)
    assert words in found[3]


def test_a_question_without_one_referent(data: Path) -> None:
    scene = json.loads(scenes_path(data, "val").read_bytes())["scenes"][0]
    assert len(scene["objects"]) > 1
    program = [Step("scene"), Step("unique", (0,)), Step("query_size", (1,))]
    steps = [step.to_json() for step in program]
    change(questions_path(data, "val"), lambda content: content["questions"][0].update(program=steps, answer="small"))
    kind, _, index, message = only_issue(check_dataset(data, splits=["val"]))
    assert (kind, index) == ("broken question", 0)
    assert "exactly one" in message


def test_questions_whose_premise_fails_are_clean(data: Path) -> None:
    out = questions_path(data, "val")
    make_question_file(scenes_path(data, "val"), out, load_templates(), 8, false_premises=0.5)
    assert {question.premise for question in read_questions(out)} == {"holds", "absent", "ambiguous"}
    report = check_dataset(data, splits=["val"], images=False)
    assert report.clean, report_text(report)


def test_an_image_that_is_missing_or_broken(data: Path) -> None:
    folder = data / "images" / "val"
    (folder / "CLEVR_val_000001.png").unlink()
    whole = (folder / "CLEVR_val_000002.png").read_bytes()
    (folder / "CLEVR_val_000002.png").write_bytes(whole[: len(whole) // 2])
    (folder / "CLEVR_val_000003.png").write_text("no image")
    report = check_dataset(data, splits=["val"])
    assert [(issue.kind, issue.file, issue.index) for issue in report.issues.kept] == [
        ("missing image", "images/val/CLEVR_val_000001.png", 1),
        ("broken image", "images/val/CLEVR_val_000002.png", 2),
        ("broken image", "images/val/CLEVR_val_000003.png", 3),
    ]
    assert check_dataset(data, splits=["val"], images=False).clean


def test_an_image_of_another_shape(data: Path) -> None:
    Image.new("RGB", (48, 32)).save(data / "images/val/CLEVR_val_000001.png")
    Image.new("RGB", (30, 30)).save(data / "images/val/CLEVR_val_000002.png")
    report = check_dataset(data, splits=["val"])
    kind, file, index, message = only_issue(report)
    assert (kind, file, index) == ("broken image", "images/val/CLEVR_val_000002.png", 2)
    assert "30x30" in message
    assert any("different sizes" in note for note in notes_of(report)), "48x32 has the right shape"


def test_no_image_folder(data: Path) -> None:
    shutil.rmtree(data / "images" / "val")
    kind, file, _, message = only_issue(check_dataset(data, splits=["val"]))
    assert (kind, file) == ("missing image", "images/val")
    assert "4 images" in message


@pytest.mark.parametrize("kind", ["scenes", "questions"])
@pytest.mark.parametrize("cut", [0, 20, 700])
def test_files_cut_short(data: Path, kind: str, cut: int) -> None:
    path = {"scenes": scenes_path, "questions": questions_path}[kind](data, "val")
    path.write_bytes(path.read_bytes()[:cut])
    report = check_dataset(data, splits=["val"])
    assert any(issue.kind == "broken file" and issue.file.startswith(kind) for issue in report.issues.kept)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=3), which=st.booleans()
)
def test_damaged_json_is_reported_not_raised(data: Path, changes: list[tuple[float, int]], which: bool) -> None:
    path = (questions_path if which else scenes_path)(data, "val")
    original = path.read_bytes()
    damaged = bytearray(original)
    for place, value in changes:
        damaged[int(place * len(original))] = value
    path.write_bytes(damaged)
    try:
        report_text(check_dataset(data, splits=["val"], images=False))
    finally:
        path.write_bytes(original)


def test_condition_from_the_name_the_info_or_the_caller(data: Path) -> None:
    report = check_dataset(data, splits=["trainA"], condition="cogent-b", limit=1000)
    assert {issue.kind for issue in report.issues.kept} == {"condition not kept"}
    scenes = json.loads(scenes_path(data, "trainA").read_bytes())["scenes"]
    bound = sum(item["shape"] != "sphere" for scene in scenes for item in scene["objects"])
    assert report.issues.counts.total() == bound, "under A every cube and cylinder breaks B"

    change(scenes_path(data, "trainA"), lambda content: content["info"].update(condition="cogent-b"))
    assert not check_dataset(data, splits=["trainA"]).clean
    assert check_dataset(data, splits=["trainA"], condition="none").clean
    change(scenes_path(data, "val"), lambda content: content["info"].update(condition="cogent-a"))
    report = check_dataset(data, splits=["val"])
    assert report.issues.counts.keys() == {"condition not kept"}, "unconditioned scenes break A somewhere"


def test_notes_do_not_fail(data: Path) -> None:
    """Leaks, duplicates, gaps and small sizes are told but are no issues."""
    write_split(data, "test", seed=1)
    shutil.copy(data / "images/val/CLEVR_val_000000.png", data / "images/test/CLEVR_test_000001.png")
    shutil.copy(data / "images/val/CLEVR_val_000002.png", data / "images/val/CLEVR_val_000003.png")
    (data / "images/val/extra.png").write_bytes(b"")

    def gaps(content: dict) -> None:
        content["questions"][1] = content["questions"][0]
        del content["questions"][2]["answer"], content["questions"][5]["program"]

    change(questions_path(data, "val"), gaps)
    scenes_path(data, "test").unlink()
    report = check_dataset(data)
    assert report.clean, report_text(report)
    notes = "\n".join(notes_of(report))
    for words in (
        "test: no scenes",
        "val: 1 questions have no program",
        "val: 1 questions have no answer",
        "val: 1 questions repeat another",
        "val: 1 files in images/val that nothing names, first extra.png",
        "val: small: 4 images",
        "leak between test and val: 1 images with the same pixels",
        "val: duplicates: 1 images with the same pixels",
    ):
        assert words in notes


def test_leaks_are_found_in_scenes_too(data: Path) -> None:
    write_split(data, "test", seed=1)
    first = json.loads(scenes_path(data, "val").read_bytes())["scenes"][0]

    def copy_objects(content: dict) -> None:
        content["scenes"][3].update(objects=first["objects"][::-1])
        del content["scenes"][3]["relationships"]

    change(scenes_path(data, "test"), copy_objects)
    questions_path(data, "test").unlink()
    report = check_dataset(data)
    assert report.copies == [("the same objects", "test/CLEVR_test_000003.png", "val/CLEVR_val_000000.png")]


def test_balance_is_noted(tmp_path: Path) -> None:
    scenes = write_split(tmp_path, "val", 40)
    program = (Step("scene"), Step("exist", (0,)))
    questions = [
        Question(f"{i}?", "yes", program, scenes[i % 40].image_filename, i % 40, "val", None, i % 2 and 1, "t.json")
        for i in range(400)
    ]
    rare = replace(questions[0], question_family_index=7)
    write_questions(questions_path(tmp_path, "val"), [*questions, rare], {})
    report = check_dataset(tmp_path)
    assert report.clean
    notes = "\n".join(notes_of(report))
    assert "100% of the 401 exist questions are answered yes" in notes
    assert "families have 1 (t.json:7) to 200 questions" in notes


def test_more_question_files(data: Path, tmp_path: Path) -> None:
    more = tmp_path / "closure.json"
    shutil.copy(questions_path(data, "val"), more)
    change(
        more,
        lambda content: content["questions"][7].update(answer="0" if content["questions"][7]["answer"] != "0" else "1"),
    )
    report = check_dataset(data, questions=[more])
    assert only_issue(report)[:3] == ("wrong answer", str(more), 7)
    assert report.splits[1].questions == 24

    with pytest.raises(InputError, match="no such question file"):
        check_dataset(data, questions=[tmp_path / "absent.json"])
    change(
        more, lambda content: [content["info"].clear(), *(q.update(split="elsewhere") for q in content["questions"])]
    )
    with pytest.raises(InputError, match="choose with --split"):
        check_dataset(data, questions=[more])


def test_several_threads_give_the_same_report(data: Path) -> None:
    (data / "images/val/CLEVR_val_000002.png").write_text("broken")
    one = report_text(check_dataset(data, workers=1))
    assert report_text(check_dataset(data, workers=2)) == one


def test_relations_within_rounding_are_not_judged() -> None:
    scene = sampled_scenes(1, "val", seed=3)[0]
    first, second, *_ = scene.objects
    direction = (scene.directions or {})["right"]
    x, y, z = (a + d * (0.2 + 1e-9) for a, d in zip(first.coords, direction, strict=True))
    pair = (first, replace(second, coords=(x, y, z)))
    rights: list[list[list[int]]] = [[[1], []], [[], []]]
    for right in rights:
        relationships: dict[str, list[list[int]]] = {
            "left": [[], [0]],
            "right": right,
            "front": [[], []],
            "behind": [[], []],
        }
        assert false_relation(replace(scene, objects=pair, relationships=relationships)) is None
    relationships["front"] = [[1], []]
    assert false_relation(replace(scene, objects=pair, relationships=relationships)) is not None


def test_the_list_is_limited_but_the_count_is_not(data: Path) -> None:
    change(questions_path(data, "val"), lambda content: [q.update(answer="purple") for q in content["questions"]])
    report = check_dataset(data, splits=["val"], limit=5)
    text = report_text(report)
    assert "wrong answer: 12" in text
    assert "and 7 more" in text
    assert text.count("but the program gives") == 5


def test_the_command(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(data)]) == 0
    assert capsys.readouterr().out.endswith("no issues\n")
    change(questions_path(data, "val"), lambda content: content["questions"][4].update(answer="purple"))
    assert main(["data", "check", str(data)]) == 1
    out = capsys.readouterr().out
    assert "questions/CLEVR_val_questions.json: questions[4]: answer 'purple'" in out
    assert out.endswith("1 issue\n")
    assert main(["data", "check", str(data), "--split", "trainA"]) == 0
    assert main(["data", "check", str(data), "--split", "absent"]) == 2
    assert "it has trainA, val" in capsys.readouterr().err
    assert main(["data", "check", str(data / "images" / "val")]) == 2
    assert f"give {data}\n" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data beside the repository")
@pytest.mark.parametrize(
    ("folder", "splits", "questions"),
    [
        ("clevr-blender", ["valB"], []),
        ("clevr-genuine-dev", None, ["clevr-genuine-dev/closure_questions.json"]),
        pytest.param("clevr-blender", None, [], marks=pytest.mark.slow),
    ],
)
def test_shared_data(folder: str, splits: list[str] | None, questions: list[str]) -> None:
    report = check_dataset(SHARED / folder, splits=splits, questions=[SHARED / name for name in questions])
    assert report.clean, report_text(report)
    assert report.copies == []
    assert all(facts.executed == facts.questions > 0 for facts in report.splits)
