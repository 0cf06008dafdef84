"""The report as tables for a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vqa.evaluation.breakdowns import BREAKDOWNS

LABEL, COLUMN = 34, 22

_WORDS = 12


def format_report(report: Mapping[str, Any], by: Iterable[str] = ("type",)) -> str:
    """Accuracies in percent with intervals, those of the breakdowns `by` too, and what has to be said about them."""
    how = report["intervals"]
    lines = [
        f"Accuracy in %, in brackets its {how['level']:.0%} interval: {how['method']}, {how['samples']:,} resamples, "
        f"seed {how['seed']}."
    ]
    by = list(by)
    for entry in report["sets"]:
        if "perturbation" not in entry:
            perturbed = [other for other in report["sets"] if other.get("perturbation", {}).get("of") == entry["name"]]
            lines += ["", *_set_lines(entry, by), *_perturbed_lines(perturbed)]
    return "\n".join(lines)


def coverage(entry: Mapping[str, Any], key: str) -> str:
    """What has to be said about a breakdown's basis, or nothing."""
    programs, questions = entry["programs"], entry["questions"]
    if key in ("length", "asked", "mentioned", "value") and programs["stored"] < questions:
        parsed = f"{programs['parsed']:,} programs read from the wording" if programs["parsed"] else ""
        none = f"{programs['none']:,} of {questions:,} questions without a program left out" if programs["none"] else ""
        return "; ".join(filter(None, (parsed, none)))
    if key == "type" and programs["stored"] < questions:
        return f"of {questions - programs['stored']:,} questions without a program from the wording"
    rows = entry["models"][0]["breakdowns"][key]
    if key in ("form", "family", "objects") and (missing := questions - sum(row["questions"] for row in rows)):
        return f"{missing:,} of {questions:,} questions without {'a scene' if key == 'objects' else 'one'} left out"
    return ""


def notes(entry: Mapping[str, Any]) -> Iterator[str]:
    """Everything about a set's questions and answers that is out of the ordinary, a sentence each."""
    if entry.get("left_out"):
        yield f"{_questions(entry['left_out'])} about images that are not there left out"
    if entry["unanswered"]:
        yield f"{_questions(entry['unanswered'])} without an answer left out"
    if entry["unknown_words"]["questions"]:
        yield f"{_many(entry['unknown_words'], 'words')} that CLEVR's language lacks"
    if entry["unknown_answers"]["questions"]:
        yield f"{_many(entry['unknown_answers'], 'answers')} that are none of CLEVR's 28"
    for model in entry["models"]:
        name = model["name"]
        if model["unknown_words"] and model["unknown_words"]["questions"]:
            yield f"{name}: {_many(model['unknown_words'], 'words')} that it does not know"
        if model["unknown_answers"] and model["unknown_answers"]["questions"]:
            yield f"{name}: {_many(model['unknown_answers'], 'answers')} that it cannot give"
        if model["foreign_answers"]["questions"]:
            yield f"{name}: it gives {_many(model['foreign_answers'], 'answers')} that are none of CLEVR's 28"
        if model["missing"]:
            yield f"{name}: {_questions(model['missing'])} without a prediction counted as wrong"
        if model["surplus"]:
            yield f"{name}: {model['surplus']:,} predictions about no question of this set left aside"


def comparison_text(item: Mapping[str, Any]) -> str:
    """One comparison as a sentence."""
    return (
        f"{item['first']} - {item['second']}: {100 * item['value']:+.1f} points "
        f"[{100 * item['low']:+.1f}, {100 * item['high']:+.1f}], p = {item['p']:.2g}; "
        f"right alone: {item['only_first']:,} and {item['only_second']:,} questions"
    )


def _set_lines(entry: Mapping[str, Any], by: Sequence[str]) -> Iterator[str]:
    models = entry["models"]
    yield f"{entry['name']}: {entry['pictures']:,} images, {entry['questions']:,} questions"
    yield header("", models)
    yield row("all", [model["overall"] for model in models])
    for key in by:
        said = coverage(entry, key)
        yield f"{BREAKDOWNS[key]}" + f" ({said})" * bool(said)
        for rows in zip(*(model["breakdowns"][key] for model in models), strict=True):
            yield row("  " + rows[0]["label"], rows)
    yield _row_of(
        "calibration error", [model["calibration"] and 100 * model["calibration"]["error"] for model in models]
    )
    yield _row_of("mean error of counts", [model["counts"] and model["counts"]["mean_error"] for model in models], 2)
    yield from map(comparison_text, entry["comparisons"])
    yield from notes(entry)


def _perturbed_lines(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The accuracy under each perturbation, and how it differs from that without."""
    if entries:
        yield "perturbed"
    for entry in entries:
        change = entry["perturbation"]
        yield row(f"  {change['name']}", [model["overall"] for model in entry["models"]])
        cells = (f"{100 * e['value']:+.1f} [{100 * e['low']:+.1f}, {100 * e['high']:+.1f}]" for e in change["changes"])
        yield f"{'    change':{LABEL + 10}}" + "".join(f"{cell:>{COLUMN}}" for cell in cells)


def header(title: str, models: Sequence[Mapping[str, Any]]) -> str:
    """The first line of a table, with the models' names."""
    names = "".join(f"{short(model['name'], COLUMN - 2):>{COLUMN}}" for model in models)
    return f"{short(title, LABEL - 1):{LABEL}}{'questions':>10}{names}"


def row(label: str, estimates: Sequence[Mapping[str, Any]]) -> str:
    """A line of a table: how many questions, and each model's accuracy."""
    cells = (f"{100 * e['value']:.1f} [{100 * e['low']:.1f}, {100 * e['high']:.1f}]" for e in estimates)
    return f"{short(label, LABEL - 1):{LABEL}}{estimates[0]['questions']:>10,}" + "".join(
        f"{cell:>{COLUMN}}" for cell in cells
    )


def _row_of(label: str, values: Sequence[float | None], digits: int = 1) -> str:
    return f"{label:{LABEL + 10}}" + "".join(
        f"{'-' if value is None else format(value, f'.{digits}f'):>{COLUMN}}" for value in values
    )


def _many(found: Mapping[str, Any], key: str) -> str:
    counts = found[key]
    shown = ", ".join(f"{short(word, 30)} ({count:,})" for word, count in list(counts.items())[:_WORDS])
    return f"{_questions(found['questions'])} with {key} ({shown}{', ...' if len(counts) > _WORDS else ''})"


def _questions(count: int) -> str:
    return f"{count:,} question{'s' * (count != 1)}"


def short(text: str, width: int) -> str:
    """Printable and no wider than the column."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= width else text[: width - 3] + "..."


GAP = (
    "the accuracy on an axis's first part less the mean of the others; for a model that was trained on all of them, it "
    "is how much harder the others are"
)

FORMAT = "vqa-compositional-1"
"""What a report of the suite says it is."""


def format_suite(report: Mapping[str, Any]) -> str:
    """Accuracies in percent and gaps in points, with intervals, and what has to be said about them."""
    how, models = report["intervals"], report["models"]
    lines = [
        f"{title(report)}: accuracy in %, in brackets its {how['level']:.0%} interval: "
        f"{how['method']}, {how['samples']:,} resamples, seed {how['seed']}. A gap is {GAP}."
    ]
    for axis in report["axes"]:
        lines += ["", header(axis["title"], models)]
        lines += [row(f"  {part['label']}", part["models"]) for part in axis["parts"]]
        for label, values in summaries(axis):
            lines.append(f"{f'  {label}':{LABEL + 10}}" + "".join(f"{points(value):>{COLUMN}}" for value in values))
    return "\n".join([*lines, "", *remarks(report)])


def title(report: Mapping[str, Any]) -> str:
    """The data, and which of its sets of questions were asked."""
    sets = dict.fromkeys(part["set"] for axis in report["axes"] for part in axis["parts"])
    return ", ".join([report["data"], *sets])


def remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """What each model was trained on, and the report's notes, a line each."""
    for model in report["models"]:
        yield short(f"{model['name']}: trained on {model['trained_on'] or 'what its folder does not say'}", 500)
    for note in report["notes"]:
        yield short(note, 500)


def summaries(axis: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """The rows under an axis's parts: the mean of the unseen ones, where there are several, and the gap."""
    if len(axis["parts"]) > 2:
        yield "mean of the others", axis["unseen"]
    yield "gap, points", axis["gap"]


def points(estimate: Mapping[str, Any]) -> str:
    """An estimate in percent with its interval."""
    value, low, high = (round(100 * estimate[name], 1) + 0.0 for name in ("value", "low", "high"))  # no "-0.0"
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
