"""The model card: its sections, and the tables that `vqa report --card` writes into it."""

import hashlib
import json
from pathlib import Path

import pytest

from vqa.cli import main
from vqa.evaluation.report import SUITE_FORMAT
from vqa.utils.markdown import replace_section


def test_a_section_is_replaced_or_added():
    text = "# a\n\n## b\n\nold\n\n### c\n\n## d\n\nend\n"
    assert replace_section(text, "## b\n\nnew") == "# a\n\n## b\n\nnew\n\n## d\n\nend\n"
    assert replace_section(text, "## e\n\nnew") == text + "\n## e\n\nnew\n"
    assert replace_section(replace_section(text, "## e\n\n1"), "## e\n\n2") == text + "\n## e\n\n2\n"
    fenced = "## b\n\n```bash\n# no heading\n## neither\n```\n"
    assert replace_section(fenced + "\n# c\n", "## b\n\nnew") == "## b\n\nnew\n\n# c\n"


def test_reports_become_a_section_of_the_card(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    row = {"value": 0.9, "low": 0.8, "high": 1.0, "questions": 30, "pictures": 3}
    part = {"label": "A", "set": "valA", "models": [row]}
    axis = {"title": "CoGenT", "parts": [part, part], "unseen": [row], "gap": [row]}
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    model = {"name": "x", "weights_sha256": hashlib.sha256(b"weights").hexdigest()}
    found = {"format": SUITE_FORMAT, "models": [model], "axes": [axis], "command": "vqa evaluate --suite compositional"}
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
    weights.write_bytes(b"other weights")
    assert main(["report", "--card", str(tmp_path)]) == 2
    assert "on_B.json: not about the weights" in capsys.readouterr().err
    assert main(["report", "--card"]) == 2
    assert "FOLDER" in capsys.readouterr().err
    card.unlink()
    assert main(["report", "--card", str(tmp_path)]) == 2
    assert "README.md" in capsys.readouterr().err
