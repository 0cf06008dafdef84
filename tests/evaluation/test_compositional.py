"""The compositional suite: its axes, its gaps, and what is said where data lacks something."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vqa.clevr.annotations import questions_path, read_questions, read_scenes, scenes_path, write_questions
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import generate_questions
from vqa.clevr.split_protocols import CLOSURE_FORMS, SPLITS, closure_form
from vqa.cli import main
from vqa.errors import InputError
from vqa.evaluation.compositional import AXES, Suite, evaluate_suite, read_axes
from vqa.evaluation.evaluate import Running
from vqa.evaluation.metrics import Estimate, contrast, wilson_interval
from vqa.evaluation.report import CompositionalReport, read_report
from vqa.evaluation.report_html import html_suite
from vqa.evaluation.report_text import format_suite
from vqa.utils.records import to_json
from vqa.utils.resources import shipped

MINI = Path(shipped("data/clevr-mini"))
QUESTIONS = read_questions(questions_path(MINI, "val"))
SCENES = read_scenes(scenes_path(MINI, "val"))


@pytest.fixture(scope="module")
def cogent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clevr-mini, its val also as valA and valB, the latter with another image's questions left out."""
    root = tmp_path_factory.mktemp("cogent") / "mini"
    for split in ("val", "valA", "valB"):
        (root / "images").mkdir(parents=True, exist_ok=True)
        (root / "images" / split).symlink_to(MINI / "images/val")
        (root / "scenes").mkdir(exist_ok=True)
        shutil.copy(scenes_path(MINI, "val"), scenes_path(root, split))
        write_questions(questions_path(root, split), QUESTIONS[: 60 if split == "valB" else None])
    return root


@pytest.fixture(scope="module")
def report(cogent: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    other = shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("other") / "<b>other</b>")
    config = json.loads((other / "config.json").read_text())
    config["id2label"] = {i: {"yes": "ja"}.get(name, name) for i, name in config["id2label"].items()}
    config["label2id"] = {name: int(i) for i, name in config["id2label"].items()}
    (other / "config.json").write_text(json.dumps(config))
    (other / "training.json").write_text('{"data": "<i>here</i> trainA", "commands": ["vqa train"]}')
    suite = Suite(str(cogent))
    return to_json(evaluate_suite(suite, [str(tiny_checkpoint), str(other)], running=Running("cpu"), samples=100))


def parts_of(report: dict, name: str) -> dict[str, list[dict]]:
    (axis,) = [axis for axis in report["axes"] if axis["name"] == name]
    return {part["label"]: part["models"] for part in axis["parts"]}


def test_every_axis_has_the_questions_of_its_parts(report: dict) -> None:
    assert [axis["name"] for axis in report["axes"]] == [name for name in AXES if name != "humans"]
    assert [rows[0]["questions"] for rows in parts_of(report, "cogent").values()] == [120, 60]
    for name in ("size-depth", "attribute-pairs", "families"):
        expected = {
            label: sum(belongs(SCENES[item.image_filename or ""], item) for item in QUESTIONS)
            for label, belongs in SPLITS[name].tests.items()
        }
        assert {label: rows[0]["questions"] for label, rows in parts_of(report, name).items()} == expected
    closure = parts_of(report, "closure")
    assert list(closure) == ["CLEVR's own", *CLOSURE_FORMS]
    assert closure["CLEVR's own"][0]["questions"] == 120
    assert sum(rows[0]["questions"] for rows in closure.values()) == 120 + 7 * len(SCENES)


def test_a_gap_is_the_seen_part_less_the_mean_of_the_others(report: dict) -> None:
    for axis in report["axes"]:
        for i in range(2):
            seen, *others = [part["models"][i]["value"] for part in axis["parts"]]
            assert axis["unseen"][i]["value"] == pytest.approx(np.mean(others), abs=1e-5)
            assert axis["gap"][i]["value"] == pytest.approx(seen - np.mean(others), abs=1e-5)
            assert axis["gap"][i]["low"] <= axis["gap"][i]["value"] <= axis["gap"][i]["high"]


def test_models_of_other_vocabularies_are_scored_by_their_words(report: dict) -> None:
    (ours, other) = report["models"]
    assert other["trained_on"] == "<i>here</i> trainA"
    assert ours["trained_on"] is None
    assert len(ours["weights_sha256"]) == 64
    yes = sum(question.answer == "yes" for question in QUESTIONS)
    said = f"val: {other['name']}: {yes} questions with answers (yes ({yes})) that it cannot give"
    assert said in report["notes"]
    assert not any(note.startswith(f"val: {ours['name']}") for note in report["notes"])


def test_the_table_and_the_page_show_it(report: dict) -> None:
    made = read_report(json.dumps(report).encode(), "report")
    assert isinstance(made, CompositionalReport)
    table, page = format_suite(made), html_suite(made)
    for axis in report["axes"]:
        for part in axis["parts"]:
            row = part["models"][0]
            cell = f"{100 * row['value']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
            assert any(line.startswith(f"  {part['label']} ") and cell in line for line in table.splitlines())
        gap = axis["gap"][1]
        assert f"{100 * gap['value']:.1f} [{100 * gap['low']:.1f}, {100 * gap['high']:.1f}]" in table
        assert f"{100 * gap['value']:.1f} [{100 * gap['low']:.1f}, {100 * gap['high']:.1f}]" in page
    assert page.count("data:image/svg+xml") == 1
    assert "<b>other" not in page
    assert "<i>here" not in page
    assert "&lt;i&gt;here" in page


def test_the_same_answers_give_the_same_report(report: dict, cogent: Path, tiny_checkpoint: Path) -> None:
    suite = Suite(str(cogent), axes=("cogent", "closure"))
    again = to_json(evaluate_suite(suite, [str(tiny_checkpoint)], running=Running("cpu"), samples=100))
    for axis in again["axes"]:
        (first,) = [item for item in report["axes"] if item["name"] == axis["name"]]
        assert [part["models"] for part in axis["parts"]] == [part["models"][:1] for part in first["parts"]]


def test_published_files_of_closure(tmp_path: Path) -> None:
    made = list(generate_questions(SCENES.values(), load_templates(families=["closure"]), 7, seed=1))
    for form in CLOSURE_FORMS:
        some = [item for item in made if closure_form(item.program or ()) == form]
        write_questions(tmp_path / f"{form}_test.json", some)
        write_questions(tmp_path / f"{form}_val.json", [replace(item, program=None) for item in some])
    write_questions(tmp_path / "all.json", [*made, QUESTIONS[0]])
    expected = {form: sum(closure_form(item.program or ()) == form for item in made) for form in CLOSURE_FORMS}
    for files, said in (
        ([tmp_path], []),
        ([tmp_path / "all.json"], ["questions of none of the seven forms left out: 1"]),
    ):
        (axis,) = read_axes(Suite(str(MINI), closure=[str(path) for path in files], axes=("closure",)))
        assert {part.label: int(part.chosen.sum()) for part in axis.parts[1:]} == expected
        assert axis.notes == said


def test_people_s_questions_with_answers_beyond_clevr_s(tmp_path: Path, tiny_checkpoint: Path) -> None:
    human = [replace(item, question="Whats the shiny thing?", program=None, answer="a glorb") for item in QUESTIONS[:9]]
    write_questions(tmp_path / "human.json", human + QUESTIONS[9:20])
    suite = Suite(str(MINI), humans=str(tmp_path / "human.json"), axes=("humans",))
    report = to_json(evaluate_suite(suite, [str(tiny_checkpoint)], running=Running("cpu"), samples=100))
    assert [rows[0]["questions"] for rows in parts_of(report, "humans").values()] == [120, 20]
    assert "human.json: 9 questions with answers (a glorb (9)) that are none of CLEVR's 28" in report["notes"]


def variant(root: Path, **changes: object) -> Path:
    """clevr-mini's val without scenes, and its questions without some fields."""
    (root / "images").mkdir(parents=True)
    (root / "images/val").symlink_to(MINI / "images/val")
    write_questions(questions_path(root, "val"), [replace(item, **changes) for item in QUESTIONS])  # type: ignore[arg-type]
    return root


def test_what_the_data_lacks_is_said(tmp_path: Path) -> None:
    axes = {axis.name: axis for axis in read_axes(Suite(str(variant(tmp_path / "bare"))))}
    assert [name for name, axis in axes.items() if axis.parts] == ["families"]
    for name in ("cogent", "size-depth", "attribute-pairs"):
        assert axes[name].notes[0].startswith("120 of 120 questions of val left out, for question")
        assert "has no scene" in axes[name].notes[0]
    assert axes["closure"].notes == ["left out, for val has no scenes, and no --closure"]
    assert axes["humans"].notes == ["left out, for no --humans is given"]


def test_questions_without_programs_families_and_images_are_said_to_be_left_out(tmp_path: Path) -> None:
    bare = variant(tmp_path / "bare", program=None, template_filename=None, question_family_index=None)
    with pytest.raises(InputError, match=r"no axis has questions to compare .*neither a template nor a program"):
        read_axes(Suite(str(bare)))
    some = [replace(item, program=None) if i % 2 else item for i, item in enumerate(QUESTIONS)]
    shutil.copytree(MINI / "scenes", tmp_path / "half/scenes")
    (tmp_path / "half/images").symlink_to(MINI / "images")
    write_questions(questions_path(tmp_path / "half", "val"), some)
    (axis,) = read_axes(Suite(str(tmp_path / "half"), axes=("size-depth",)))
    assert sum(part.chosen.sum() for part in axis.parts) == 60
    assert axis.notes[0].startswith("60 of 120 questions of val left out, for question")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--split", "nowhere"), "CLEVR_nowhere_questions.json: no such question file"),
        (("--split", "val", "train"), "--split: --suite takes one"),
        (("--data", "elsewhere"), "--data: --suite takes one"),
        (("--axes", "colour"), "--axes: 'colour' is none of cogent, size-depth"),
        (("--axes", "humans"), "no --humans is given"),
        (("--humans", "nowhere.json"), "nowhere.json: no such question file"),
        (("--closure", "nowhere.json"), "nowhere.json"),
        (("--closure", "."), "holds no file such as and_mat_spa_val.json"),
        (("--questions", "a.json"), "--questions: not with --suite"),
        (("--predictions", "a.jsonl"), "--predictions: not with --suite"),
        (("--by", "type"), "--by: not with --suite"),
        (("--checkpoint", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_named_with_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, flags: tuple, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--suite", "compositional", "--data", str(MINI), *flags]) == 2
    written = capsys.readouterr()
    assert (written.out, said in written.err) == ("", True), written.err


def test_flags_of_the_suite_need_it(capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", "--data", str(MINI), "--split", "val", "--closure", "x"]) == 2
    assert "--closure: belongs to --suite compositional" in capsys.readouterr().err


def test_intervals_of_differences_hold_what_they_promise() -> None:
    rng, true, trials = np.random.default_rng(0), np.array([0.9, 0.6, 0.8]), 60
    weights, inside = (1.0, -0.5, -0.5), 0
    for _ in range(400):
        shares = rng.binomial(trials, true) / trials
        parts = [Estimate(share, *wilson_interval(share, trials), trials, trials) for share in shares]
        found = contrast(parts, weights)
        assert found.low <= found.value <= found.high
        inside += found.low <= true @ weights <= found.high
    assert 0.92 < inside / 400 < 0.99
