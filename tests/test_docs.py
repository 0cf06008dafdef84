"""README and docs tell the truth: tables are the reports', commands exist, snippets run, links lead somewhere."""

import hashlib
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from vqa.ablation.report import format_report
from vqa.ablation.results import read_ablation
from vqa.cli import build_parser

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for pattern in ("*.md", "docs/*.md", "*/README.md") for path in ROOT.glob(pattern))
REPORTS = sorted(ROOT.glob("checkpoints/*/results/*.json"))


def _load_tables():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("docs_tables", ROOT / "docs/tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = _load_tables()


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.name)
def test_tables_are_made_of_the_shipped_reports(page: Path) -> None:
    text = page.read_text()
    assert tables.render(text) == text, "run `python docs/tables.py`"


def test_every_table_stands_somewhere() -> None:
    named = re.findall(r"<!-- table: (\S+) -->", "".join(page.read_text() for page in tables.PAGES))
    assert sorted(named) == sorted(tables.TABLES)


def test_readme_is_one_page_and_names_nothing_that_readers_lack() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
    for page in tables.PAGES:
        assert not re.search(r"\.\./(shared|runs)", page.read_text()), page


def test_counts_of_training_questions_agree() -> None:
    """README, docs and the cards: how many the runs asked for, and how many the best weights had seen."""
    readme = (ROOT / "README.md").read_text()
    for folder in (tables.MAIN, tables.BASE):
        about = tables.training(folder)
        assert f"{about['seen']:,}" in readme
        assert f"{about['asked']:,}" in readme or about["asked"] <= about["seen"]  # the best were the last
        assert f"{about['seen']:,}" in (folder / "README.md").read_text()


@pytest.mark.parametrize("folder", [tables.MAIN, tables.BASE], ids=lambda folder: folder.name)
def test_cards_are_made_of_the_reports(folder: Path) -> None:
    assert tables.model_card(folder) == (folder / "README.md").read_text(), "run `python docs/tables.py cards`"


def test_the_ablation_is_the_shipped_one() -> None:
    folder = ROOT / "checkpoints/ablation"
    text = format_report(read_ablation(folder / "ablation.json"), markdown=True)
    assert text.strip() in (folder / "ablation.md").read_text()


def test_reports_are_about_the_shipped_weights() -> None:
    """Those that are not shipped are at least told by their weights and how they were trained."""
    docs = "".join(page.read_text() for page in tables.PAGES)
    shipped_ones = 0
    for path in REPORTS:
        report = json.loads(path.read_text())
        for model in report.get("models") or [model for entry in report["sets"] for model in entry["models"]]:
            weights = ROOT / "checkpoints" / Path(model["source"]).name / "model.safetensors"
            if weights.is_file():
                shipped_ones += 1
                assert model["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest(), path
            else:
                assert re.fullmatch("[0-9a-f]{64}", model["weights_sha256"])
                assert model.get("commands") or f"--out {tables.portable(model['source'])}\n" in docs
    assert shipped_ones


@pytest.mark.parametrize("name", ["atlas.json", "faithfulness.json", "masks.json", "calibration.json"])
def test_what_lies_beside_weights_is_about_them(name: str) -> None:
    for path in ROOT.glob(f"checkpoints/*/{name}"):
        digest = hashlib.sha256(path.with_name("model.safetensors").read_bytes()).hexdigest()
        assert digest in path.read_text(), f"{path} is about other weights"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings], heading


def _commands() -> list[str]:
    pages = [*tables.PAGES, ROOT / "CONTRIBUTING.md", ROOT / "data/README.md"]
    blocks = [block for page in pages for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if re.match(r"(uv run )?vqa ", line)})


def test_fences_stand_on_lines_of_their_own() -> None:
    for page in PAGES:
        assert not re.search(r"^ *```\w* \S|\S ```$", page.read_text(), re.MULTILINE), page


@pytest.mark.parametrize("line", _commands())
def test_commands_are_those_of_today(line: str, capsys: pytest.CaptureFixture) -> None:
    """The parser knows every option, by its present name."""
    line = re.sub(r"\$[AF] ", "--data $DATA ", line)
    words = shlex.split(line.removeprefix("uv run "), comments=True)[1:]
    try:
        build_parser().parse_args(words)
    except SystemExit:
        assert "--help" in words, capsys.readouterr().err


@pytest.mark.parametrize("name", ["README.md", "docs/api.md", "docs/layers.md"])
def test_snippets_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("data", "checkpoints"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    for snippet in snippets:
        if "http://127" not in snippet and "resnet50" not in snippet:  # a running page; 100 MB of weights made anew
            exec(compile(snippet, name, "exec"), names)
            if name == "docs/api.md" and snippet is snippets[0]:
                assert f"# {names['answer'].answer} {names['answer'].confidence:.1f}" in snippet
    assert snippets
