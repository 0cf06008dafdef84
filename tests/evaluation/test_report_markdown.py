"""Markdown tables of the reports beside a checkpoint, sound ones and broken ones."""

import json
from pathlib import Path

import pytest

from vqa.cli import main
from vqa.errors import InputError
from vqa.evaluation.report import SUITE_FORMAT
from vqa.evaluation.report_markdown import compositional_tables, report_tables


def test_broken_reports_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vqa evaluate --json"):
        report_tables(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x.json").write_text('{"sets": [{}]}')
    for table in (report_tables, compositional_tables):
        with pytest.raises(InputError, match=r"x\.json"):
            table(tmp_path)
    for name, table in (("evaluation", report_tables), ("compositional", compositional_tables)):
        (tmp_path / "results" / "x.json").write_text(
            json.dumps({"format": f"vqa-{name}-1", "axes": [{}], "sets": [{}]})
        )
        with pytest.raises(InputError, match=r"x\.json"):
            table(tmp_path)


def test_perturbed_reports_become_tables(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    row = {"label": "count", "value": 0.9, "low": 0.8, "high": 1.0, "questions": 30, "pictures": 3}
    model = {"name": "x", "overall": row, "breakdowns": {"type": [row]}}
    moved = {"name": "x", "value": -0.01, "low": -0.02, "high": 0.0, "p": 0.5}
    moved |= {"only_first": 1, "only_second": 2, "questions": 30}
    change = {"name": "jpeg30", "of": "B val", "changes": [moved]}
    entry = {"name": "B val", "questions": 30, "models": [model]}
    sets = [entry, entry | {"perturbation": change}]
    (tmp_path / "results").mkdir()
    for name, some in (("on_A", sets[:1]), ("on_B", sets)):
        found = {"format": "vqa-evaluation-1", "sets": some, "command": f"vqa evaluate {name}"}
        (tmp_path / f"results/{name}.json").write_text(json.dumps(found))
    assert main(["report", str(tmp_path)]) == 0
    accuracy, perturbed = capsys.readouterr().out.split("\n\n| ")
    assert "| on A | x | 30 | 90.0 [80.0, 100.0] | 90.0 [80.0, 100.0] |  |" in accuracy
    assert "| FiLM as published |  | 97.6 |" in accuracy
    assert "vqa evaluate on_A" in accuracy
    assert "vqa evaluate on_B" not in accuracy
    assert perturbed.startswith("on B | x: accuracy, % | x: change, points |\n")
    assert "| none | 90.0 [80.0, 100.0] |  |" in perturbed
    assert "| jpeg30 | 90.0 [80.0, 100.0] | -1.0 [-2.0, 0.0] |" in perturbed
    assert "vqa evaluate on_B" in perturbed


@pytest.mark.parametrize(
    "broken",
    [
        {"command": None},
        {"command": ["vqa"]},
        {"sets": []},
        {"sets": [{"questions": "many", "models": [{}]}]},
        {"command": "\ud800"},
        {"sets": float("nan")},
        {"sets": [{"name": "x", "questions": 1, "models": [{"name": "m", "overall": {"value": 10**400}}]}]},
        {
            "sets": [
                {"name": "x", "models": [{"name": "m"}] * 2, "perturbation": {"name": "p", "of": "x", "changes": []}}
            ]
        },
    ],
)
def test_no_report_breaks_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture, broken: dict) -> None:
    (tmp_path / "results").mkdir()
    found = {"format": "vqa-evaluation-1", "sets": [], "command": "vqa evaluate"} | broken
    (tmp_path / "results/x.json").write_text(json.dumps(found))
    assert main(["report", str(tmp_path)]) == 2
    assert "vqa evaluate --json" in capsys.readouterr().err


def test_names_stay_in_their_cells(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    row = {"label": "count", "value": 0.9, "low": 0.8, "high": 1.0, "questions": 30, "pictures": 3}
    model = {"name": "a | b\n<script>", "overall": row, "breakdowns": {"type": [row]}}
    sets = [{"name": f"set {i}", "questions": 30, "models": [model]} for i in range(2)]
    found = {"format": "vqa-evaluation-1", "sets": sets, "command": "vqa evaluate\n## evil"}
    (tmp_path / "results").mkdir()
    (tmp_path / "results/x.json").write_text(json.dumps(found))
    assert main(["report", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "| set 0 | a &#124; b &lt;script&gt; | 30 |" in said
    assert "| set 1 |" in said
    assert "\n##" not in said


def test_compositional_reports_become_tables(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = [
        {"value": 0.9 - i / 10, "low": 0.8 - i / 10, "high": 0.95, "questions": 30, "pictures": 3} for i in range(3)
    ]
    axis = {
        "title": "CoGenT",
        "parts": [{"label": name, "models": [row] * 2} for name, row in zip("AB", rows, strict=False)],
        "unseen": [rows[1]] * 2,
        "gap": [rows[2]] * 2,
    }
    found = {
        "format": SUITE_FORMAT,
        "models": [{"name": "x"}, {"name": "y"}],
        "axes": [axis],
        "command": "vqa evaluate",
    }
    (tmp_path / "results").mkdir()
    (tmp_path / "results/on_B.json").write_text(json.dumps(found))
    assert main(["report", "--compositional", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| on B: accuracy, % | questions | x | y |"
    assert "| B | 30 | 80.0 [70.0, 95.0] | 80.0 [70.0, 95.0] |" in lines
    assert "| gap, points |  | 70.0 [60.0, 95.0] | 70.0 [60.0, 95.0] |" in lines
    assert lines[-2] == "vqa evaluate"
