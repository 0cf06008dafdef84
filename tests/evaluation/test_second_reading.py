"""`vqa evaluate --second-reading`: each question counted once, by who answered it."""

import json

from vqa.clevr.annotations import read_scenes, scenes_path
from vqa.cli import main
from vqa.utils.resources import shipped

ROOT = shipped("data/clevr-mini")
IMAGE = "CLEVR_val_000000.jpg"
QUESTIONS = [
    ("How many things are not red?", "3"),
    ("How many cubes are there?", "1"),
    ("What is the meaning of the cube?", "yes"),
    ("How many things are without color?", "0"),
]


def test_who_answered_what(tiny_checkpoint, tmp_path, capfd):
    records = [{"question": text, "answer": answer, "image_filename": IMAGE} for text, answer in QUESTIONS]
    (tmp_path / "questions.json").write_text(json.dumps({"info": {}, "questions": records}))
    command = ["evaluate", "--second-reading", "--data", str(ROOT), "--split", "val"]
    command += ["--questions", str(tmp_path / "questions.json"), "--checkpoint", str(tiny_checkpoint)]
    assert main([*command, "--json", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    asked = {name: counts["n"] for name, counts in report["readers"].items()}
    assert asked == {"program": 1, "network": 1, "network, a guess": 1, "nothing: refused": 1}
    assert report["answers"]["all"]["n"] == 3
    objects = read_scenes(scenes_path(ROOT, "val"))[IMAGE].objects
    assert (
        sum(part.get("objects", 0) for part in report["occlusion"].values())
        == len(objects)
        == report["scene"]["objects"]
    )
    kinds = {kind: counts["n"] for half in report["premises"].values() for kind, counts in half.items()}
    assert kinds.keys() <= {"absent", "ambiguous"}
    out = capfd.readouterr().out
    for table in ("visible share", "both together", "answered by", "F1, %", "sentences"):
        assert table in out


def test_questions_about_other_images_are_refused(tiny_checkpoint, tmp_path, capfd):
    (tmp_path / "q.json").write_text(
        '{"questions": [{"question": "Is it red?", "answer": "no", "image_filename": "x"}]}'
    )
    command = ["evaluate", "--second-reading", "--data", str(ROOT), "--questions", str(tmp_path / "q.json")]
    assert main([*command, "--checkpoint", str(tiny_checkpoint)]) == 2
    assert "no question with an answer about an image with a known scene" in capfd.readouterr().err
