"""The model card: its sections, and the tables that `vqa report --card` writes into it."""

import json
from pathlib import Path

import pytest

from vqa.cli import main
from vqa.evaluation.suite_text import FORMAT
from vqa.markdown import replace_section


def test_a_section_is_replaced_or_added():
    text = "# a\n\n## b\n\nold\n\n### c\n\n## d\n\nend\n"
    assert replace_section(text, "## b\n\nnew") == "# a\n\n## b\n\nnew\n\n## d\n\nend\n"
    assert replace_section(text, "## e\n\nnew") == text + "\n## e\n\nnew\n"
    assert replace_section(replace_section(text, "## e\n\n1"), "## e\n\n2") == text + "\n## e\n\n2\n"


def test_reports_become_a_section_of_the_card(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    row = {"value": 0.9, "low": 0.8, "high": 1.0, "questions": 30, "pictures": 3}
    part = {"label": "A", "set": "valA", "models": [row]}
    axis = {"title": "CoGenT", "parts": [part, part], "unseen": [row], "gap": [row]}
    found = {
        "format": FORMAT,
        "models": [{"name": "x"}],
        "axes": [axis],
        "command": "vqa evaluate --suite compositional",
    }
    card = tmp_path / "README.md"
    card.write_text("# x\n\n## Limits\n\nmany\n")
    assert main(["report", "--card", str(tmp_path)]) == 2
    assert "no reports" in capsys.readouterr().err
    (tmp_path / "results").mkdir()
    (tmp_path / "results/on_B.json").write_text(json.dumps(found))
    for _ in range(2):
        assert main(["report", "--card", str(tmp_path)]) == 0
    text = card.read_text()
    assert text.startswith("# x\n\n## Limits\n\nmany\n\n## Results\n")
    assert text.count("| A | 30 | 90.0 [80.0, 100.0] |") == 2
    assert text.count("vqa evaluate --suite compositional") == 1
    card.unlink()
    assert main(["report", "--card", str(tmp_path)]) == 2
    assert "README.md" in capsys.readouterr().err
