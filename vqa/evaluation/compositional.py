"""How far models generalise to new compositions: accuracy on what training shows and on what it does not, by axis.

An axis has one seen part and one or more unseen ones; its gap is the accuracy on the seen part less the mean of those
on the unseen ones, each part counting the same. For CoGenT, size x depth, attribute pairs and question families this
tells of generalisation where the model was trained on the axis's training part (`vqa train --split-protocol`); for
other models it is what the parts differ by anyway. CLOSURE and CLEVR-Humans are new to every model.

The report is a `vqa.evaluation.report.CompositionalReport`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vqa.clevr.annotations import iter_questions, list_splits, write_questions
from vqa.clevr.dataset.loading import cache_dir
from vqa.clevr.question import Question
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import generate_questions
from vqa.clevr.split_protocols import CLOSURE_FORMS, SPLITS, closure_form
from vqa.errors import InputError
from vqa.evaluation.breakdowns import QuestionTable
from vqa.evaluation.evaluate import EvaluationSet, Running, answer_tables, distinct_names, open_table
from vqa.evaluation.metrics import ImageBootstrap, accuracies, contrast
from vqa.evaluation.report import AxisPart, AxisScores, CompositionalReport, Intervals, SuiteModel
from vqa.evaluation.report_text import notes
from vqa.evaluation.scoring import ModelPredictions, as_read, remarks
from vqa.inference.checkpoints import DEFAULT_CHECKPOINT, checkpoint_folder
from vqa.training.runtime import processes

AXES = {
    "cogent": "CoGenT: colors of shapes",
    "size-depth": "objects x program depth",
    "attribute-pairs": "pairs of attributes",
    "families": "question families",
    "closure": "CLOSURE: question forms",
    "humans": "CLEVR-Humans: wording",
}
"""Axis -> its title."""

_SEED, _IMAGES = 0, 3600
"""Of CLOSURE questions that are generated here: the published files hold 3,600 of each form."""

_HUMANS = "train: CLEVR's questions; test: the same, questions that people wrote about such images"

Opener = Callable[[str, str | None], QuestionTable]
"""A split and a question file (None: the split's own) -> its questions."""


@dataclass(frozen=True)
class Suite:
    """What to test on: a split of CLEVR-like data, and files of questions about its images.

    `closure` names files of CLOSURE's forms, or folders of them; without any, questions are generated on the split's
    scenes. `humans` is a file of CLEVR-Humans, `axes` are some of `AXES`, all if empty.
    """

    data: str
    split: str = "val"
    closure: Sequence[str] = ()
    humans: str | None = None
    axes: Sequence[str] = ()


@dataclass(eq=False)
class QuestionPart:
    """A row of the table: the boolean mask `chosen` (Q,) says which of a set's questions belong to it."""

    label: str
    set_name: str
    table: QuestionTable
    chosen: np.ndarray


@dataclass
class Axis:
    """The parts of an axis, the seen one first, none if there is nothing to compare; and notes on them."""

    name: str
    parts: list[QuestionPart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_axis(name: str, parts: Sequence[QuestionPart], notes: Iterable[str] = ()) -> Axis:
    """An axis of the parts that have questions; without parts unless the seen one and another have some."""
    there = [part for part in parts if part.chosen.any()]
    empty = [part for part in parts if not part.chosen.any()]
    said = [*notes, *(f"no question of {part.set_name} is in the part {part.label}" for part in empty)]
    return Axis(name, there if len(there) > 1 and there[0] is parts[0] else [], said)


def evaluate_suite(
    suite: Suite,
    checkpoints: Sequence[str | None],
    *,
    running: Running,
    samples: int = 1000,
    seed: int = 0,
    command: str | None = None,
) -> CompositionalReport:
    """The report on checkpoints, folders or hub ids (None: ours). The same answers and seed give the same report.

    What the data lacks for an axis is one of the report's notes. Raises InputError as `read_axes` and `answer_tables`
    do; everything is opened before the first model runs.
    """
    with processes().local_main_process_first():  # which may have to convert the data
        axes = read_axes(suite)
    sources = [DEFAULT_CHECKPOINT if source is None else source for source in checkpoints]
    names = distinct_names(sources)
    tables = list({id(part.table): (part.set_name, part.table) for axis in axes for part in axis.parts}.values())
    answered = answer_tables(tables, checkpoints, names, running)
    given = {id(table): models for (_, table), models in zip(tables, answered, strict=True)}
    origins = (models.origin for models in answered[0])
    said = [f"{AXES[axis.name]}: {note}" for axis in axes for note in axis.notes]
    for (title, table), models in zip(tables, answered, strict=True):
        said += [f"{title}: {note}" for note in notes(remarks(table, models))]
    report = CompositionalReport(
        command=command,
        intervals=Intervals(samples=samples, seed=seed),
        data=Path(suite.data).resolve().name,
        split=suite.split,
        models=[
            SuiteModel(name=name, **origin, **_training(source))
            for name, origin, source in zip(names, origins, checkpoints, strict=True)
        ],
        axes=[_score(axis, given, samples, seed) for axis in axes if axis.parts],
        notes=said,
    )
    return as_read(report)


def read_axes(suite: Suite) -> list[Axis]:
    """Open everything that is asked for, and divide it into parts.

    Raises InputError for data without the split, for files that are missing or broken, and where no axis has questions.
    """
    if unknown := [name for name in suite.axes if name not in AXES]:
        raise InputError(f"--axes: {unknown[0]!r:.80} is none of {', '.join(AXES)}")
    opened: dict[tuple[str, str | None], QuestionTable] = {}

    def open_set(split: str, questions: str | None) -> QuestionTable:
        if (split, questions) not in opened:
            opened[split, questions] = open_table(EvaluationSet(suite.data, split, questions))
        return opened[split, questions]

    makers = {"cogent": _cogent, "closure": _closure, "humans": _humans}
    axes = [
        makers[name](suite, open_set) if name in makers else _protocol(name, suite.split, open_set(suite.split, None))
        for name in AXES
        if name in (suite.axes or AXES)
    ]
    if not any(axis.parts for axis in axes):
        said = "; ".join(f"{axis.name}: {note}" for axis in axes for note in axis.notes)
        raise InputError(f"{suite.data}: no axis has questions to compare ({said})")
    return axes


def _cogent(suite: Suite, open_set: Opener) -> Axis:
    """The published splits where they are, else the images of the split that keep a condition."""
    if not {"valA", "valB"} <= {*list_splits(suite.data)}:
        return _protocol("cogent", suite.split, open_set(suite.split, None))
    return make_axis("cogent", [_whole(split, split, open_set(split, None)) for split in ("valA", "valB")])


def _protocol(name: str, split: str, table: QuestionTable) -> Axis:
    """The test parts of a split protocol; questions that it cannot decide on are left out."""
    tests = SPLITS[name].tests
    members = np.zeros((len(table.numbers), len(tests)), bool)
    undecided, reason = 0, ""
    row, scene = -1, None
    for i, (number, image) in enumerate(zip(table.numbers.tolist(), table.images.tolist(), strict=True)):
        if image != row:
            row, scene = image, table.data.scene(image)
        question = table.data.question(number)
        try:
            members[i] = [belongs(scene, question) for belongs in tests.values()]
        except InputError as error:
            undecided, reason = undecided + 1, reason or str(error)
    said = [f"{undecided:,} of {len(members):,} questions of {split} left out, for {reason}"] if undecided else []
    if undecided == len(members):
        return Axis(name, notes=said)
    parts = [QuestionPart(label, split, table, column) for label, column in zip(tests, members.T, strict=True)]
    return make_axis(name, parts, said)


def _closure(suite: Suite, open_set: Opener) -> Axis:
    own = open_set(suite.split, None)
    said: list[str] = []
    if suite.closure:
        files = [path for place in suite.closure for path in _closure_files(Path(place), suite.split)]
        found = _formed(((path.stem, question) for path in files for question in iter_questions(path)), said)
        name = ", ".join(path.name for path in files)
    elif Path(suite.data).is_file():
        return Axis("closure", notes=["left out, for a packed file has its own questions only; give the folder"])
    else:
        scenes = islice(filter(None, map(own.data.scene, range(len(own.data)))), _IMAGES)
        made = generate_questions(scenes, load_templates(families=["closure"]), len(CLOSURE_FORMS), _SEED)
        found = _formed((("", question) for question in made), said)
        name = f"made on {suite.split} with seed {_SEED}"
    path = cache_dir() / f"closure-{own.data.path.name}.json"
    if not write_questions(path, found, {"split": suite.split}):
        lacking = "none has a form of CLOSURE" if suite.closure else f"{suite.split} has no scenes, and no --closure"
        return Axis("closure", notes=[f"left out, for {lacking}"])
    table = open_set(suite.split, str(path))
    forms = table.breakdowns["form"]
    formed = zip(forms.labels, forms.members.T, strict=True)
    parts = [QuestionPart(label, name, table, column) for label, column in formed]
    return make_axis("closure", [_whole("CLEVR's own", suite.split, own), *parts], said)


def _closure_files(place: Path, split: str) -> list[Path]:
    """A file itself; of a folder, each form's file for the split, else its `val`, `test` or only one."""
    if not place.is_dir():
        return [place]
    names = ([f"{form}{end}.json" for end in (f"_{split}", "_val", "_test", "")] for form in CLOSURE_FORMS)
    found = [next((place / name for name in some if (place / name).is_file()), None) for some in names]
    if not any(found):
        raise InputError(f"--closure {place}: holds no file such as {CLOSURE_FORMS[0]}_{split}.json")
    return [path for path in found if path]


def _formed(questions: Iterable[tuple[str, Question]], said: list[str]) -> Iterator[Question]:
    """The questions of CLOSURE's forms, each said to be of its form, which its program tells, or else its file's name.

    What is left out is added to `said` at the end.
    """
    left_out = 0
    for stem, question in questions:
        named = max((form for form in CLOSURE_FORMS if stem.startswith(form)), key=len, default=None)
        form = closure_form(question.program) if question.program else named
        if form is None:
            left_out += 1
        else:
            yield replace(question, template_filename=f"{form}.json", question_family_index=0)
    if left_out:
        said.append(f"questions of none of the seven forms left out: {left_out:,}")


def _humans(suite: Suite, open_set: Opener) -> Axis:
    if suite.humans is None:
        return Axis("humans", notes=["left out, for no --humans is given"])
    own, theirs = open_set(suite.split, None), open_set(suite.split, suite.humans)
    name = Path(suite.humans).name
    return make_axis("humans", [_whole("CLEVR's own", suite.split, own), _whole("people's", name, theirs)])


def _whole(label: str, set_name: str, table: QuestionTable) -> QuestionPart:
    return QuestionPart(label, set_name, table, np.ones(len(table.numbers), bool))


def _score(axis: Axis, given: dict[int, list[ModelPredictions]], samples: int, seed: int) -> AxisScores:
    """The report's entry of an axis; an image that several parts ask about is drawn for all of them together."""
    ids: dict[tuple[str, str], int] = {}
    correct, images = [], []
    for part in axis.parts:
        table = part.table
        masks = [table.correct(model.predictions.answers) for model in given[id(table)]]
        correct.append(np.stack(masks, 1)[part.chosen])
        rows = [ids.setdefault((table.data.split, name), len(ids)) for name in table.data.filenames]
        images.append(np.array(rows)[table.images[part.chosen]])
    sizes = [len(rows) for rows in images]
    groups = np.repeat(np.eye(len(sizes), dtype=bool), sizes, axis=0)
    bootstrap = ImageBootstrap(np.concatenate(images), samples, seed)
    models = accuracies(np.concatenate(correct), groups, bootstrap)
    unseen = len(sizes) - 1
    mean, gap = [0.0] + [1 / unseen] * unseen, [1.0] + [-1 / unseen] * unseen
    return AxisScores(
        name=axis.name,
        title=AXES[axis.name],
        about=SPLITS[axis.name].description if axis.name in SPLITS else _HUMANS,
        parts=[
            AxisPart(label=part.label, set_name=part.set_name, models=[estimates[i] for estimates in models])
            for i, part in enumerate(axis.parts)
        ],
        unseen=[contrast(estimates, mean) for estimates in models],
        gap=[contrast(estimates, gap) for estimates in models],
    )


def _training(checkpoint: str | None) -> dict[str, Any]:
    """What a checkpoint's record says of its training; None for what it does not say."""
    try:
        record = json.loads((checkpoint_folder(checkpoint) / "training.json").read_text())
    except (OSError, ValueError):
        record = None
    record = record if isinstance(record, dict) else {}
    return {"trained_on": record.get("data"), "commands": record.get("commands")}
