"""Writes the tables in README.md and docs/, and the model cards, from the reports beside the shipped weights.

    uv run python docs/tables.py           # all
    uv run python docs/tables.py closure   # this table
    uv run python docs/tables.py cards     # the cards alone

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`. tests/test_docs.py holds them to the reports.
"""

import contextlib
import io
import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from vqa.ablation.report import format_report
from vqa.ablation.results import read_ablation
from vqa.calibration.report import card_section, format_calibration, read_calibration
from vqa.cli.renamed import rename_flags
from vqa.evaluation.report_markdown import compositional_tables, report_tables
from vqa.explain.faithfulness_report import read_faithfulness, sections, summary
from vqa.explain.object_masks import mask_table, read_masks
from vqa.inference.checkpoints import load_checkpoint
from vqa.training.model_card import card
from vqa.utils.markdown import replace_section
from vqa.utils.tables import format_interval, markdown_table

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MAIN, BASE, COGENT = (ROOT / "checkpoints" / name for name in ("film-qcse-clevr", "film-base-clevr", "cogent"))

_REGION = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

_PLACES = {
    r"(\.\./)*shared/clevr-blender": "$DATA",
    r"(\.\./)*shared/clevr-genuine-dev": "$GENUINE",
    r"(\.\./)*shared/clevr-language": "$LANGUAGE",
    r"(\.\./)+(runs/|(?=cogent-b))": "runs/",
}
"""Folders of the reports' commands -> what docs/README.md calls them."""


def portable(text: str) -> str:
    """Commands as a reader can type them: folders by their variables, options by today's names."""
    for old, new in _PLACES.items():
        text = re.sub(old, new, text)
    return re.sub(r"^vqa .*$", _with_new_flags, text, flags=re.MULTILINE)


def _with_new_flags(line: re.Match[str]) -> str:
    with contextlib.redirect_stderr(io.StringIO()):  # its notes on renamed flags
        return " ".join(["vqa", *rename_flags(line[0].split(" ")[1:])])


def render(text: str, names: Iterable[str] = ()) -> str:
    """A page with the named tables (default: all) as the reports give them. Raises KeyError for an unknown name."""

    def table(found: re.Match[str]) -> str:
        start, name, end = found.groups()
        return f"{start}{portable(TABLES[name]())}\n{end}" if not names or name in names else found[0]

    return _REGION.sub(table, text)


def model_card(checkpoint: Path) -> str:
    """A checkpoint's card as its training, `vqa calibrate` and `vqa report --card` write it in turn."""
    model, _ = load_checkpoint(checkpoint)
    text = card(_read(checkpoint / "training.json"), model, checkpoint.name)
    text = replace_section(text, card_section(read_calibration(checkpoint / "calibration.json")))
    if not (checkpoint / "results").is_dir():
        return text
    return replace_section(
        text, "\n\n".join(["## Results", report_tables(checkpoint), compositional_tables(checkpoint)])
    )


def training(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint's record says of its training: `asked` and `seen` count training questions of all runs."""
    record = json.loads((checkpoint / "training.json").read_text())
    asked = re.findall(r"--(?:max-presentations|training-questions) (\d+)", " ".join(record["commands"]))
    seen = record.get("earlier_presentations", 0) + record["presentations"]
    return {
        "images": record["pictures"],
        "asked": max(sum(map(int, asked)), seen),  # a run whose length is given in minutes asks for no number
        "seen": seen,
        "held_out": record["held_out"],
        "commands": record["commands"],
    }


def _accuracy() -> str:
    return report_tables(MAIN).split("\n\n| ")[0]


def _gate() -> str:
    rows = []
    for path in sorted((MAIN / "results").glob("*.json")):
        for entry in _read(path).get("sets", []):
            for pair in entry["comparisons"]:
                if (pair["first"], pair["second"]) == (MAIN.name, BASE.name) and "perturbation" not in entry:
                    rows.append([path.stem.replace("_", " "), format_interval(pair), f"{pair['p']:.2f}"])
    return _table([f"{MAIN.name} less {BASE.name}", "points", "p"], rows)


def _robustness() -> str:
    return "\n\n".join(f"| {table}" for table in report_tables(MAIN).split("\n\n| ")[1:])


def _calibration() -> str:
    report = read_calibration(MAIN / "calibration.json")
    return f"{format_calibration(report)}\n\n{_commands(report.command)}"


def _ablation() -> str:
    report = read_ablation(ROOT / "checkpoints/ablation/ablation.json")
    text = format_report(report, markdown=True)
    return f"{text[text.index('| variant') :].split(chr(10) * 2)[0]}\n\n{_commands(report.command)}"


def _faithfulness() -> str:
    report = read_faithfulness(MAIN)
    tables = [f"{title}:\n\n{_table(rows[0], rows[1:])}" for title, rows in sections(report)]
    return "\n\n".join([f"{summary(report)}.", *tables, _commands(report.command)])


def _masks() -> str:
    report = read_masks(MAIN)
    rows = mask_table(report)
    about = f"{report.correct} of {report.questions} questions about {report.images} images, answered correctly; in %."
    return "\n\n".join([about, _table(rows[0], rows[1:]), _commands(report.command)])


def _weights() -> str:
    head = ["weights", "parameters", "images", "training questions, all runs", "of these seen by the weights shipped"]
    rows = []
    for folder in (MAIN, BASE):
        about = training(folder)
        numbers = (_parameters(folder), about["images"], about["asked"], about["seen"])
        rows.append([f"`{folder.name}`", *(f"{number:,}" for number in numbers)])
    commands = [command for folder in (MAIN, BASE) for command in training(folder)["commands"]]
    return f"{_table(head, rows)}\n\n{_commands(*commands)}"


def _summary() -> str:
    head = ["accuracy, %", "questions", "`film-qcse`", "`film-base`: plain FiLM blocks"]
    names = (MAIN.name, BASE.name)
    rows = [
        _set_row("genuine CLEVR images", "genuine_CLEVR", names),
        _set_row("rendered images (`clevr-blender` val)", "clevr-blender_val", names),
        _set_row("genuine images, questions by people (CLEVR-Humans)", "human_questions_on_genuine_CLEVR", names),
        _unseen_row("genuine images, CLOSURE's seven unseen question forms, mean", names),
        *_cogent_rows(),
    ]
    return _table(head, rows)


def _set_row(label: str, report: str, names: Iterable[str]) -> list[str]:
    entry = _read(MAIN / f"results/{report}.json")["sets"][0]
    found = {model["name"]: format_interval(model["overall"]) for model in entry["models"]}
    return [label, f"{entry['questions']:,}", *(found.get(name, "") for name in names)]


def _unseen_row(label: str, names: Iterable[str]) -> list[str]:
    report = _read(MAIN / "results/CLOSURE_on_genuine_CLEVR.json")
    axis = report["axes"][0]
    found = _by_name(report, axis["unseen"])
    questions = sum(part["models"][0]["questions"] for part in axis["parts"][1:])
    return [label, f"{questions:,}", *(found.get(name, "") for name in names)]


def _cogent_rows() -> Iterator[list[str]]:
    found = _cogent_models()
    for i, condition in enumerate("AB"):
        ours, base = (found[name][i] for name in ("film-qcse-cogent-a", "film-base-A-2"))
        label = f"CoGenT: trained on condition A, tested on {condition}"
        yield [label, f"{ours['questions']:,}", format_interval(ours), format_interval(base)]


def _cogent_models() -> dict[str, list[dict[str, Any]]]:
    """Each model's estimates on valA and valB, and its gap."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((COGENT / "results").glob("*.json"), reverse=True):
        report = _read(path)
        axis = report["axes"][0]
        for i, model in enumerate(report["models"]):
            found[model["name"]] = [*(part["models"][i] for part in axis["parts"]), axis["gap"][i]]
    return found


def _cogent() -> str:
    rows = [[name, *map(format_interval, values)] for name, values in _cogent_models().items()]
    table = _table(["accuracy, %", "valA", "valB", "gap, points"], rows)
    commands = [_read(path)["command"] for path in sorted((COGENT / "results").glob("*.json"), reverse=True)]
    return f"{table}\n\n{_commands(*commands)}"


def _by_name(report: dict[str, Any], estimates: Iterable[dict[str, float]]) -> dict[str, str]:
    return dict(zip([model["name"] for model in report["models"]], map(format_interval, estimates), strict=True))


def _parameters(checkpoint: Path) -> int:
    """Of a safetensors file, by its header; statistics of the normalisation are buffers, not parameters."""
    with (checkpoint / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    shapes = [value["shape"] for name, value in header.items() if not re.search("running_|num_batches|__meta", name)]
    return sum(map(math.prod, shapes))


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    return "\n".join(markdown_table(head, rows))


def _commands(*commands: str) -> str:
    return "\n".join(["```bash", *commands, "```"])


TABLES: dict[str, Callable[[], str]] = {
    "summary": _summary,
    "accuracy": _accuracy,
    "gate": _gate,
    "robustness": _robustness,
    "calibration": _calibration,
    "closure": lambda: compositional_tables(MAIN),
    "cogent": _cogent,
    "weights": _weights,
    "ablation": _ablation,
    "faithfulness": _faithfulness,
    "masks": _masks,
}


def main(names: list[str]) -> None:
    """Rewrite the named tables, or all and the cards."""
    if unknown := set(names) - {*TABLES, "cards"}:
        sys.exit(f"no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}, and cards")
    written = {page: render(page.read_text(), names) for page in PAGES}
    if not names or "cards" in names:
        written |= {folder / "README.md": model_card(folder) for folder in (MAIN, BASE)}
    for page, text in written.items():
        if text != page.read_text():
            page.write_text(text)
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
