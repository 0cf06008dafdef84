"""Evaluation of checkpoints and prediction files on sets of questions, from their names to the report."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqa.clevr.dataset.loading import open_data, splits_of
from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question import normalize_answer
from vqa.errors import InputError
from vqa.evaluation.breakdowns import QuestionTable, count_words, question_keys, read_table
from vqa.evaluation.metrics import ImageBootstrap, paired_difference
from vqa.evaluation.perturbations import Perturbation, make_perturbation
from vqa.evaluation.predict import predict
from vqa.evaluation.predictions import Predictions, read_predictions, write_predictions
from vqa.evaluation.report import EvaluationReport, ModelDifference, PerturbationEffect
from vqa.evaluation.scoring import ModelPredictions, make_report
from vqa.inference.checkpoints import DEFAULT_CHECKPOINT, load_checkpoint, weights_sha256
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import FilmSEProcessor
from vqa.training.runtime import processes
from vqa.utils.files import atomic_write

Loaded = tuple[FilmSEForVisualQuestionAnswering, FilmSEProcessor]


@dataclass(frozen=True)
class EvaluationSet:
    """Questions to score: a split of `data`, with those of another file where `questions` names one, or perturbed.

    `columns` says what the columns of rows are, as `open_data` has it.
    """

    data: str
    split: str
    questions: str | None = None
    perturbation: Perturbation | None = None
    columns: str | None = None

    def open(self) -> PackedDataset:
        """The data, as `open_data`."""
        return open_data(self.data, self.split, questions=self.questions, columns=self.columns)

    @property
    def name(self) -> str:
        """What the report calls it."""
        name = f"{Path(self.data).resolve().name} {self.split}"
        name = name if self.questions is None else f"{name} {Path(self.questions).stem}"
        return name if self.perturbation is None else f"{name} {self.perturbation.name}"


@dataclass(frozen=True)
class Running:
    """How models are run; see `predict`. `device` is chosen where None."""

    device: str | None = None
    batch_size: int | None = None
    bf16: bool = False


def make_sets(
    data: Sequence[str],
    splits: Sequence[str] | None,
    questions: Sequence[str] | None = None,
    columns: str | None = None,
) -> list[EvaluationSet]:
    """The sets that lists of folders, splits and question files name, matched in order; a list of one serves all.

    Raises InputError for lists of other lengths, and without a split, naming those there are.
    """
    if not splits:
        there = sorted({split for place in data for split in splits_of(place)})
        raise InputError(
            f"--split: say which{': ' if there else ', such as val'}{', '.join(there)} ({', '.join(data)})"
        )
    lists: dict[str, Sequence] = {"--data": data, "--split": splits, "--questions": questions or [None]}
    size = max(len(values) for values in lists.values())
    for flag, values in lists.items():
        if len(values) not in (1, size):
            raise InputError(f"{flag}: {len(values)} values beside lists of {size}; give one for all, or {size}")
    matched = [list(values) * (size // len(values)) for values in lists.values()]
    sets = zip(*matched, strict=True)
    return [EvaluationSet(folder, split, asked, columns=columns) for folder, split, asked in sets]


def perturbed_sets(sets: Sequence[EvaluationSet], names: Sequence[str], seed: int) -> list[EvaluationSet]:
    """Each set, and after it the same one under each perturbation. Raises InputError as `make_perturbation` does."""
    if len(set(names)) < len(names):
        raise InputError("--perturb: the same name twice")
    changes = [make_perturbation(name, seed) for name in names]
    return [each for item in sets for each in (item, *(replace(item, perturbation=change) for change in changes))]


def evaluate(
    sets: Sequence[EvaluationSet],
    checkpoints: Sequence[str | None] = (),
    predictions: Sequence[str] = (),
    *,
    running: Running = Running(),
    samples: int = 1000,
    seed: int = 0,
    command: str | None = None,
) -> EvaluationReport:
    """The report on checkpoints, folders or hub ids (None: ours), and prediction files.

    Prediction files belong to one set. Everything is opened before the first model runs. Raises InputError as
    `open_data`, `read_table`, `read_predictions`, `load_checkpoint` and `predict` do.
    """
    if predictions and any(item.perturbation for item in sets):
        raise InputError("--perturb: needs a model to run; a file of --predictions has its answers already")
    if predictions and len(sets) != 1:
        raise InputError("--predictions: such a file is about one set; give one --data, --split and --questions")
    plain = [replace(item, perturbation=None) for item in sets]
    with processes().local_main_process_first():  # which may have to convert the data
        opened = {item: open_table(item) for item in dict.fromkeys(plain)}
    tables = [opened[item] for item in plain]
    sources = [DEFAULT_CHECKPOINT if source is None else source for source in checkpoints]
    names = distinct_names([*sources, *predictions])
    from_files = [
        ModelPredictions(name, _read(path, tables[0]), {"kind": "predictions", "source": path})
        for path, name in zip(predictions, names[len(sources) :], strict=True)
    ]
    titled = [(item.name, table) for item, table in zip(sets, tables, strict=True)]
    perturbations = [item.perturbation for item in sets]
    answered = answer_tables(titled, checkpoints, names[: len(sources)], running, perturbations)
    scored = []
    for item, unperturbed, table, models in zip(sets, plain, tables, answered, strict=True):
        about: dict[str, Any] = {
            "name": item.name,
            "data": item.data,
            "split": item.split,
            "questions_file": item.questions,
        }
        if item.perturbation is not None and unperturbed in sets:
            before = answered[sets.index(unperturbed)]
            about["perturbation"] = _perturbation_effect(item, unperturbed, table, before, models, samples, seed)
        scored.append((about, table, models + from_files))
    return make_report(scored, command=command, samples=samples, seed=seed)


def open_table(item: EvaluationSet) -> QuestionTable:
    """The questions of a set. Raises InputError as `open_data` and `read_table` do."""
    return read_table(item.open())


def answer_tables(
    tables: Sequence[tuple[str, QuestionTable]],
    checkpoints: Sequence[str | None],
    names: Sequence[str],
    running: Running,
    perturbations: Sequence[Perturbation | None] | None = None,
) -> list[list[ModelPredictions]]:
    """The answers of every checkpoint to every table: a list for each table, in the order of `checkpoints`.

    Args:
        tables: each with its title.
        checkpoints: folders or hub ids (None: ours).
        names: of the checkpoints.
        perturbations: one for each table, which its images and questions go through first.

    All models are loaded before the first one runs. Raises InputError as `load_checkpoint` and `predict` do.
    """
    loaded = [_load(source, running) for source in checkpoints]
    found: list[list[ModelPredictions]] = [[] for _ in tables]
    for source, name, model in zip(checkpoints, names, loaded, strict=True):
        origin: dict[str, Any] = {
            "kind": "checkpoint",
            "source": DEFAULT_CHECKPOINT if source is None else source,
            "weights_sha256": weights_sha256(source),
        }
        vocabulary = frozenset(normalize_answer(name) or "" for name in (model[0].config.id2label or {}).values())
        changes = perturbations or [None] * len(tables)
        for (title, table), models, change in zip(tables, found, changes, strict=True):
            given = run_model(model, table.data, running, f"{name} on {title}", change).of(table.numbers)
            reworded = change is not None and change.kind.of_questions
            unknown = None if reworded else unknown_words(model, table.data)
            models.append(ModelPredictions(name, given, origin, vocabulary, unknown))
    return found


def predict_file(
    item: EvaluationSet, checkpoint: str | None, out: str | os.PathLike, running: Running
) -> tuple[int, int, dict[str, int]]:
    """Write a checkpoint's answers to all questions of a set, with answers or without, as JSON lines,
    or an answer a line under a name that ends in .txt.

    Returns the number of questions, that of those with unknown words, and these words. Raises InputError as `evaluate`
    does, and where `out` cannot be written, before the model runs.
    """
    check_writable(out)
    with processes().local_main_process_first():
        data = item.open()
    model = _load(checkpoint, running)
    predictions = run_model(model, data, running, item.name)
    if processes().is_main_process:
        with atomic_write(out) as file:
            write_predictions(file, data, question_keys(data), predictions, plain=Path(out).suffix == ".txt")
    return len(data.answers), *count_words(data, range(len(data.answers)), unknown_words(model, data))


def run_model(
    model: Loaded, data: PackedDataset, running: Running, title: str, perturbation: Perturbation | None = None
) -> Predictions:
    """`predict` by all processes, with a progress bar of the main one's share on a terminal."""
    place = processes()
    mine = len(data.answers) // place.num_processes
    with tqdm(total=mine, desc=title, unit=" questions", disable=None if place.is_main_process else True) as bar:
        return predict(
            *model,
            data,
            perturbation=perturbation,
            batch_size=running.batch_size,
            bf16=running.bf16,
            workers=min(16, os.cpu_count() or 1),
            shared=True,
            on_questions=bar.update,
        )


def _load(source: str | None, running: Running) -> Loaded:
    place = processes()
    return load_checkpoint(source, running.device or (place.device if place.num_processes > 1 else None))


def unknown_words(model: Loaded, data: PackedDataset) -> frozenset[str]:
    """The words of a set that a model does not know."""
    return frozenset(word for word in data.words if model[1].read_question(word).unknown_words)


def check_writable(path: str | os.PathLike) -> None:
    """Raises InputError unless a file can be made there; to call before minutes of work begin."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def distinct_names(sources: Sequence[str]) -> list[str]:
    """Short names of files and folders: their last part, more where that is not distinct."""
    names = [Path(source).resolve().name.removesuffix(".jsonl") for source in sources]
    names = [source if names.count(name) > 1 else name for source, name in zip(sources, names, strict=True)]
    return [name if names.index(name) == i else f"{name} ({i + 1})" for i, name in enumerate(names)]


def _perturbation_effect(
    item: EvaluationSet,
    unperturbed: EvaluationSet,
    table: QuestionTable,
    before: Sequence[ModelPredictions],
    after: Sequence[ModelPredictions],
    samples: int,
    seed: int,
) -> PerturbationEffect:
    """How each model's accuracy changed; paired by question, so that most of the noise cancels."""
    assert item.perturbation is not None
    bootstrap = ImageBootstrap(table.images, samples, seed)
    changes = []
    for one, other in zip(after, before, strict=True):
        correct, correct_before = (table.correct(model.predictions.answers) for model in (one, other))
        change = paired_difference(correct, correct_before, bootstrap)
        changes.append(ModelDifference(name=one.name, **asdict(change)))
    return PerturbationEffect(
        name=item.perturbation.name,
        seed=item.perturbation.seed,
        of=unperturbed.name,
        about=item.perturbation.kind.about,
        changes=changes,
    )


def _read(path: str, table: QuestionTable) -> Predictions:
    return read_predictions(path, table.data, question_keys(table.data)).of(table.numbers)
