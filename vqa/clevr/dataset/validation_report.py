"""What `vqa data check` prints: a table of the splits, the notes, the issues."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from vqa.clevr.dataset.validate import CheckReport, SplitFacts
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.utils.tables import text_table

_ENOUGH = 100
"""Questions below which a share says little about balance."""

_YES_NO = ("exist", "equal_integer", "less_than", "greater_than", *(f"equal_{name}" for name in ATTRIBUTES))


def report_text(report: CheckReport) -> str:
    """The whole report, its last line being the verdict."""
    lines = [f"{report.root}", "", *_table(report.splits)]
    if notes := list(notes_of(report)):
        lines += ["", "notes", *(f"  {note}" for note in notes)]
    counts = report.issues.counts
    for kind, count in counts.most_common():
        kept = [issue for issue in report.issues.kept if issue.kind == kind]
        lines += ["", f"{kind}: {count:,}", *(f"  {issue}" for issue in kept)]
        if count > len(kept):
            lines.append(f"  ... and {count - len(kept):,} more (--limit)")
    total = counts.total()
    lines += ["", f"{total:,} issue{'s' if total != 1 else ''}" if total else "no issues"]
    return "\n".join(lines)


def notes_of(report: CheckReport) -> Iterator[str]:
    """Balance, duplicates, leaks, small sizes and what could not be checked: one line each."""
    for facts in report.splits:
        for note in (*_coverage_notes(facts), *_balance_notes(facts)):
            yield f"{facts.name}: {note}"
    alike: dict[tuple[str, str], dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for what, there, here in report.copies:
        alike[there.partition("/")[0], here.partition("/")[0]][what].append((there, here))
    for (first, second), found in alike.items():
        kind = f"{first}: duplicates" if first == second else f"leak between {first} and {second}"
        counts = ", ".join(f"{len(same):,} images with {what}" for what, same in found.items())
        there, here = next(iter(found.values()))[0]
        yield f"{kind}: {counts}, first {there} and {here}"


def _table(splits: list[SplitFacts]) -> list[str]:
    head = ("split", "condition", "images", "size", "scenes", "questions", "executed", "families")
    rows = []
    for facts in splits:
        sizes = " ".join(f"{width}x{height}" for (width, height), _ in facts.sizes.most_common(2)) or "-"
        counts = (facts.scenes, facts.questions, facts.executed, len(facts.families))
        rows.append((facts.name, facts.condition, f"{facts.images:,}", sizes, *(f"{count:,}" for count in counts)))
    return text_table([head, *rows], "<")


def _coverage_notes(facts: SplitFacts) -> Iterator[str]:
    if not facts.scenes:
        yield "no scenes: answers, relations and conditions cannot be checked"
    elif not facts.questions:
        yield "no questions"
    for what, count in (+facts.notes).items():
        yield f"{count:,} {what}"
    if facts.questions and (silent := facts.scenes - len(facts.asked)) > 0:
        yield f"{silent:,} scenes have no question"
    if facts.unused:
        yield f"{len(facts.unused):,} files in images/{facts.name} that nothing names, first {facts.unused[0]}"
    if len(facts.sizes) > 1:
        sizes = ", ".join(f"{width}x{height} ({count:,})" for (width, height), count in facts.sizes.most_common(5))
        yield f"images of different sizes: {sizes}"
    if 0 < facts.questions < 1000:
        margin = 98 / math.sqrt(facts.questions)
        yield f"small: an accuracy on {facts.questions:,} questions is known to +-{margin:.0f} points (95 %) at best"
    if 0 < max(facts.images, facts.scenes) < 100:
        yield f"small: {max(facts.images, facts.scenes)} images"


def _balance_notes(facts: SplitFacts) -> Iterator[str]:
    functions: dict[str, Counter[str]] = defaultdict(Counter)
    for (function, answer), count in facts.answers.items():
        functions[function][answer] += count
    for function, answers in sorted(functions.items()):
        total = answers.total()
        answer, most = answers.most_common(1)[0]
        limit = 0.6 if function in _YES_NO else 0.5
        if function.startswith("query_"):
            limit = 1.5 / len(ATTRIBUTES[function.removeprefix("query_")])
        if total >= _ENOUGH and most > limit * total:
            yield f"balance: {most / total:.0%} of the {total:,} {function} questions are answered {answer}"
    counts = sorted(facts.families.values())
    if counts and counts[-1] >= _ENOUGH and counts[0] * 4 < counts[len(counts) // 2]:
        family, least = facts.families.most_common()[-1]
        middle = counts[len(counts) // 2]
        yield f"balance: families have {least:,} ({family}) to {counts[-1]:,} questions, {middle:,} in the middle"
