"""Reports as tables for a terminal, and the sentences that every form of them shares."""

from collections.abc import Iterable, Iterator, Sequence

from vqa.evaluation.breakdowns import BREAKDOWNS
from vqa.evaluation.metrics import Contrast, Estimate
from vqa.evaluation.report import (
    AnswerCounts,
    AxisScores,
    Comparison,
    CompositionalReport,
    EvaluationReport,
    GroupEstimate,
    Intervals,
    ModelRemarks,
    Remarks,
    SetScores,
    SuiteModel,
    WordCounts,
)
from vqa.utils.tables import format_interval, format_percent, text_table

_LABEL, _MODEL, _NOTE = 33, 20, 500
"""Most letters of a row's label, a model's name and a note."""

_WORDS = 12

Row = Sequence[str] | str

GAP = (
    "the accuracy on an axis's first part less the mean of the others; for a model that was trained on all of them, it "
    "is how much harder the others are"
)


def format_report(report: EvaluationReport, by: Iterable[str] = ("type",)) -> str:
    """Accuracies in percent with intervals, overall and by the breakdowns `by`, and what is out of the ordinary."""
    lines = [f"Accuracy {_method(report.intervals)}."]
    for entry in report.sets:
        if entry.perturbation is None:
            perturbed = [other for other in report.sets if other.perturbation and other.perturbation.of == entry.name]
            lines += ["", f"{entry.name}: {entry.images:,} images, {entry.questions:,} questions"]
            lines += text_table([*_set_rows(entry, list(by)), *_perturbed_rows(perturbed)])
            lines += [*map(comparison_text, entry.comparisons), *notes(entry)]
    return "\n".join(lines)


def format_suite(report: CompositionalReport) -> str:
    """Accuracies in percent and gaps in points, with intervals, and the report's notes."""
    lines = [f"{title(report)}: accuracy {_method(report.intervals)}. A gap is {GAP}."]
    for axis in report.axes:
        rows = [_header(axis.title, report.models)]
        rows += [_row(f"  {part.label}", part.models) for part in axis.parts]
        rows += [[f"  {label}", "", *map(format_interval, values)] for label, values in summaries(axis)]
        lines += ["", *text_table(rows)]
    return "\n".join([*lines, "", *suite_notes(report)])


def coverage(entry: SetScores, key: str) -> str:
    """Which questions a breakdown leaves out or takes from the wording, empty if none."""
    programs, questions = entry.programs, entry.questions
    if key in ("length", "asked", "mentioned", "value") and programs.stored < questions:
        parsed = f"{programs.parsed:,} programs read from the wording" if programs.parsed else ""
        none = f"{programs.none:,} of {questions:,} questions without a program left out" if programs.none else ""
        return "; ".join(filter(None, (parsed, none)))
    if key == "type" and programs.stored < questions:
        return f"of {questions - programs.stored:,} questions without a program from the wording"
    missing = questions - sum(group.questions for group in entry.models[0].groups(key))
    if key in ("form", "family", "objects") and missing:
        return f"{missing:,} of {questions:,} questions without {'a scene' if key == 'objects' else 'one'} left out"
    return ""


def notes(entry: Remarks) -> Iterator[str]:
    """Everything about a set's questions and answers that is out of the ordinary, a sentence each."""
    if entry.left_out:
        yield f"{_questions(entry.left_out)} about images that are not there left out"
    if entry.unanswered:
        yield f"{_questions(entry.unanswered)} without an answer left out"
    if entry.unknown_words.questions:
        yield f"{_with_words(entry.unknown_words)} that CLEVR's language lacks"
    if entry.unknown_answers.questions:
        yield f"{_with_answers(entry.unknown_answers)} that are none of CLEVR's 28"
    for model in entry.models:
        if model.unknown_words and model.unknown_words.questions:
            yield f"{model.name}: {_with_words(model.unknown_words)} that it does not know"
        if model.unknown_answers and model.unknown_answers.questions:
            yield f"{model.name}: {_with_answers(model.unknown_answers)} that it cannot give"
        if model.invalid_answers.questions:
            yield f"{model.name}: it gives {_with_answers(model.invalid_answers)} that are none of CLEVR's 28"
        if model.missing:
            yield f"{model.name}: {_questions(model.missing)} without a prediction counted as wrong"
        if model.surplus:
            yield f"{model.name}: {model.surplus:,} predictions about no question of this set left aside"


def comparison_text(item: Comparison) -> str:
    """One comparison as a sentence."""
    value, interval = format_interval(item, "+").split(" ", 1)
    return (
        f"{item.first} - {item.second}: {value} points {interval}, p = {item.p:.2g}; "
        f"correct alone: {item.only_first:,} and {item.only_second:,} questions"
    )


def title(report: CompositionalReport) -> str:
    """The data, and which of its sets of questions were asked."""
    sets = dict.fromkeys(part.set_name for axis in report.axes for part in axis.parts)
    return ", ".join([report.data, *sets])


def suite_notes(report: CompositionalReport) -> Iterator[str]:
    """What each model was trained on, and the report's notes, a line each."""
    for model in report.models:
        yield short(f"{model.name}: trained on {model.trained_on or 'what its folder does not say'}", _NOTE)
    for note in report.notes:
        yield short(note, _NOTE)


def summaries(axis: AxisScores) -> Iterator[tuple[str, Sequence[Contrast]]]:
    """The rows under an axis's parts: the mean of the unseen parts, if there are several, and the gap."""
    if len(axis.parts) > 2:
        yield "mean of the others", axis.unseen
    yield "gap, points", axis.gap


def short(text: str, width: int) -> str:
    """A text with printable letters only, and cut where it is longer than `width`."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= width else text[: width - 3] + "..."


def _method(how: Intervals) -> str:
    return f"in %, in brackets its {how.level:.0%} interval: {how.method}, {how.samples:,} resamples, seed {how.seed}"


def _set_rows(entry: SetScores, by: Sequence[str]) -> Iterator[Row]:
    models = entry.models
    yield _header("", models)
    yield _row("all", [model.overall for model in models])
    for key in by:
        said = coverage(entry, key)
        yield BREAKDOWNS[key] + f" ({said})" * bool(said)
        for groups in zip(*(model.groups(key) for model in models), strict=True):
            yield _row(f"  {groups[0].label}", groups)
    yield ["calibration error", "", *(format_percent(m.calibration.error if m.calibration else None) for m in models)]
    errors = [model.counts and model.counts.mean_error for model in models]
    yield ["mean error of counts", "", *("-" if error is None else f"{error:.2f}" for error in errors)]


def _perturbed_rows(entries: Sequence[SetScores]) -> Iterator[Row]:
    """The accuracy under each perturbation, and how it differs from that without."""
    if entries:
        yield "perturbed"
    for entry in entries:
        change = entry.perturbation
        assert change is not None
        yield _row(f"  {change.name}", [model.overall for model in entry.models])
        yield ["    change", "", *(format_interval(each, "+") for each in change.changes)]


def _header(title: str, models: Sequence[ModelRemarks] | Sequence[SuiteModel]) -> list[str]:
    return [short(title, _LABEL), "questions", *(short(model.name, _MODEL) for model in models)]


def _row(label: str, estimates: Sequence[Estimate | GroupEstimate]) -> list[str]:
    """A label, how many questions, and each model's accuracy."""
    return [short(label, _LABEL), f"{estimates[0].questions:,}", *map(format_interval, estimates)]


def _with_words(found: WordCounts) -> str:
    return f"{_questions(found.questions)} with words ({_listed(found.words)})"


def _with_answers(found: AnswerCounts) -> str:
    return f"{_questions(found.questions)} with answers ({_listed(found.answers)})"


def _listed(counts: dict[str, int]) -> str:
    shown = ", ".join(f"{short(word, 30)} ({count:,})" for word, count in list(counts.items())[:_WORDS])
    return shown + ", ..." * (len(counts) > _WORDS)


def _questions(count: int) -> str:
    return f"{count:,} question{'s' * (count != 1)}"
