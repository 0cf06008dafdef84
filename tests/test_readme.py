"""README tells the truth: its table is what the shipped reports say, and its pictures and links are there."""

import re
from pathlib import Path

import pytest

from vqa.cli import main
from vqa.errors import InputError
from vqa.evaluation.tables import report_table
from vqa.resources import shipped

ROOT = Path(__file__).parents[1]


def test_the_table_is_made_of_the_shipped_reports(capsys: pytest.CaptureFixture) -> None:
    assert main(["report"]) == 0
    assert capsys.readouterr().out.strip() in (ROOT / "README.md").read_text()


def test_reports_are_about_the_shipped_weights() -> None:
    import hashlib
    import json

    folder = shipped("checkpoints/film-qcse-clevr")
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    reports = list((folder / "results").glob("*.json"))
    assert reports
    for path in reports:
        for entry in json.loads(path.read_text())["sets"]:
            assert entry["models"][0]["weights_sha256"] == weights, path


def test_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_broken_reports_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vqa evaluate --json"):
        report_table(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x.json").write_text('{"sets": [{}]}')
    with pytest.raises(InputError, match=r"x\.json"):
        report_table(tmp_path)
