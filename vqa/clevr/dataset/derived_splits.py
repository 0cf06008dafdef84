"""Applying a split protocol to a CLEVR folder: counting its parts, writing them as splits of their own."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vqa.clevr.annotations import (
    check_split,
    images_folder,
    no_dataset,
    questions_path,
    read_info,
    scenes_path,
    write_questions,
    write_scenes,
)
from vqa.clevr.dataset.reading import SplitReading
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene
from vqa.clevr.split_protocols import SplitProtocol
from vqa.errors import InputError
from vqa.utils.notes import note


@dataclass
class Selection:
    """The rows of one question file that belong to one part."""

    split: str
    part: str
    total: int = 0
    """Questions in the file."""
    rows: list[int] = field(default_factory=list)
    """Positions in the question file, ascending."""
    images: set[str] = field(default_factory=set)
    """Names of the images that have a selected question."""

    @property
    def name(self) -> str:
        """The name as a split of its own: `val-few-deep`."""
        return f"{self.split}-{self.part}"


def select_rows(
    root: str | os.PathLike,
    protocol: SplitProtocol,
    split: str,
    parts: Sequence[str] | None = None,
    questions: str | os.PathLike | None = None,
) -> list[Selection]:
    """Which questions of a split belong to which part.

    parts: default is `train` for a split whose name begins with train, the test parts for any other.
    questions: another question file about the split's images (default: the split's own).
    Rows that lack the scene or program a part is decided from are in none, and counted in a note.
    Raises InputError for unknown splits and parts, and where all rows lack them.
    """
    if parts is None:
        parts = ["train"] if split.startswith("train") else list(protocol.tests)
    belongs = protocol.parts
    if unknown := [part for part in parts if part not in belongs]:
        raise InputError(f"{protocol.name} has no part {unknown[0]!r:.80}; it has {', '.join(belongs)}")
    reading = SplitReading.of_folder(root, split, questions)
    scenes = reading.scenes_by_name()
    selections = [Selection(split, part) for part in parts]
    total, undecided, reason = 0, 0, ""
    for row, question in enumerate(reading.read_questions()):
        total += 1
        scene = scenes.get(question.image_filename or "")
        try:
            chosen = [selection for selection in selections if belongs[selection.part](scene, question)]
        except InputError as error:
            undecided, reason = undecided + 1, reason or str(error)
            continue
        for selection in chosen:
            selection.rows.append(row)
            selection.images.add(question.image_filename or "")
    for selection in selections:
        selection.total = total
    reading.say()
    if undecided == total:
        raise InputError(f"{reading.questions}: none of its {total:,} questions can be placed: {reason}")
    if undecided:
        note(f"{reading.questions.name}: {undecided:,} of {total:,} questions are in no part: {reason}")
    return selections


def write_selection(
    root: str | os.PathLike,
    out: str | os.PathLike,
    protocol: SplitProtocol,
    selection: Selection,
    questions: str | os.PathLike | None = None,
) -> Path:
    """Write a selection as the split `selection.name` of the CLEVR folder `out`; returns its question file.

    Questions and scenes are those of `root`, their `split` replaced; `images/NAME` becomes a link to the images of
    `root`, none of which is copied. Raises InputError if something else exists under these names.
    """
    reading = SplitReading.of_folder(root, selection.split, questions)
    scenes = reading.scenes_by_name()
    images = images_folder(root, selection.split)
    if images.is_dir():
        link_images(Path(out, "images", selection.name), images)
    rows = set(selection.rows)
    path = questions_path(out, selection.name)
    info = {
        **read_info(reading.questions),
        "split": selection.name,
        "protocol": f"{protocol.name}: {protocol.description}",
        "part": f"{selection.part} of {selection.split}",
        "protocol_source": protocol.source,
    }
    chosen = (question for row, question in enumerate(reading.read_questions()) if row in rows)
    write_questions(path, (replace(question, split=selection.name) for question in chosen), info)
    if scenes:
        kept = (replace(scenes[name], split=selection.name) for name in scenes if name in selection.images)
        write_scenes(scenes_path(out, selection.name), kept, info)
    return path


def link_images(link: Path, images: Path) -> None:
    """Make a folder a link to another. Raises InputError if something else exists there."""
    target = Path(os.path.relpath(images.resolve(), link.parent.resolve()))
    if link.is_symlink() and link.readlink() == target:
        return
    if link.exists() or link.is_symlink():
        raise InputError(f"{link}: already exists: choose another --out")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target, target_is_directory=True)
    except OSError as error:
        raise InputError(f"{link}: cannot link to {images}: {error.strerror or error}") from error


Source = tuple[str, str]
"""A CLEVR folder and one of its splits."""


def merge_splits(
    sources: Sequence[Source], out: str | os.PathLike, split: str, questions: Sequence[str | os.PathLike] = ()
) -> tuple[int, int]:
    """Write splits as the split `split` of the CLEVR folder `out`; returns how many scenes and questions it has.

    `images/SPLIT/` receives a link for each source, none of whose images is copied, and images get the source's
    name before theirs. Images and questions get new numbers; a source may lack questions or scenes, though
    not both. `questions` are other question files, one for each source. Raises InputError where a source is not there
    or given twice, and where anything but an earlier merged split exists under these names.
    """
    if questions and len(questions) != len(sources):
        raise InputError(f"--questions: {len(questions)} files for {len(sources)} splits; give one for each")
    _check_places(sources, Path(out), split)
    names = [f"{i}-{check_split(name)}" for i, (_, name) in enumerate(sources)]
    files: list[str | os.PathLike | None] = [*questions] if questions else [None] * len(sources)
    readings = [SplitReading.of_folder(*source, file) for source, file in zip(sources, files, strict=True)]
    scenes: list[Scene] = []
    numbers: dict[str, int] = {}
    for (root, source), name, reading in zip(sources, names, readings, strict=True):
        if not reading.scenes.exists() and not reading.questions.exists():
            raise no_dataset(root, f"has neither scenes nor questions of a split {source!r:.80}")
        for filename, scene in reading.scenes_by_name().items():
            image = f"{name}/{filename}"
            numbers[image] = len(scenes)
            scenes.append(replace(scene, image_filename=image, image_index=len(scenes), split=split))

    def asked() -> Iterator[Question]:
        count = 0
        for name, reading in zip(names, readings, strict=True):
            for question in reading.read_questions() if reading.questions.exists() else ():
                filename = f"{name}/{question.image_filename}"
                number = numbers.setdefault(filename, len(numbers))
                yield replace(question, image_filename=filename, image_index=number, question_index=count, split=split)
                count += 1
            reading.say()

    for (root, source), name in zip(sources, names, strict=True):
        link_images(Path(out, "images", split, name), images_folder(root, source))
    info = {"split": split, "merged": [f"{Path(root).resolve().name} {source}" for root, source in sources]}
    if scenes:
        write_scenes(scenes_path(out, split), scenes, info)
    return len(scenes), write_questions(questions_path(out, split), asked(), info)


def _check_places(sources: Sequence[Source], out: Path, split: str) -> None:
    images = [images_folder(root, source).resolve() for root, source in sources]
    if twice := next((folder for folder in images if images.count(folder) > 1), None):
        raise InputError(f"{twice}: given twice; images held out in training must not be trained on as copies")
    own = Path(out, "images", check_split(split))
    taken = [own] if own.is_symlink() or own.resolve() in images else []
    taken += [path for path in own.glob("*") if not path.is_symlink()] if own.is_dir() else []
    files = (scenes_path(out, split), questions_path(out, split))
    taken += [path for path in files if path.exists() and "merged" not in read_info(path)]
    if taken:
        raise InputError(f"{taken[0]}: already exists; choose another --out or --split")
