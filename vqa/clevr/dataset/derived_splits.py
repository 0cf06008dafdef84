"""Applying a split protocol to a CLEVR folder: counting its parts, writing them as splits of their own."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vqa.clevr.annotations import (
    check_split,
    find_annotations,
    images_folder,
    iter_questions,
    list_splits,
    questions_path,
    read_info,
    read_scenes,
    scenes_path,
    write_questions,
    write_scenes,
)
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene
from vqa.clevr.split_protocols import SplitProtocol
from vqa.errors import InputError


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
    Raises InputError for unknown splits and parts, and for rows that lack the scene or program a part is decided from.
    """
    if parts is None:
        parts = ["train"] if split.startswith("train") else list(protocol.tests)
    belongs = protocol.parts
    if unknown := [part for part in parts if part not in belongs]:
        raise InputError(f"{protocol.name} has no part {unknown[0]!r:.80}; it has {', '.join(belongs)}")
    scenes = _scenes(root, split)
    selections = [Selection(split, part) for part in parts]
    for row, question in enumerate(_named(root, split, questions, scenes)):
        scene = scenes.get(question.image_filename or "")
        for selection in selections:
            selection.total += 1
            if belongs[selection.part](scene, question):
                selection.rows.append(row)
                selection.images.add(question.image_filename or "")
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
    `root`, none of which is copied. Raises InputError where something else stands under these names.
    """
    scenes = _scenes(root, selection.split)
    images = images_folder(root, selection.split)
    if images.is_dir():
        link_images(Path(out, "images", selection.name), images)
    rows = set(selection.rows)
    path = questions_path(out, selection.name)
    source = questions or find_annotations(root, selection.split, "questions")
    info = {
        **read_info(source),
        "split": selection.name,
        "protocol": f"{protocol.name}: {protocol.description}",
        "part": f"{selection.part} of {selection.split}",
        "protocol_source": protocol.source,
    }
    chosen = (question for row, question in enumerate(_named(root, selection.split, questions, scenes)) if row in rows)
    write_questions(path, (replace(question, split=selection.name) for question in chosen), info)
    if scenes:
        kept = (replace(scenes[name], split=selection.name) for name in scenes if name in selection.images)
        write_scenes(scenes_path(out, selection.name), kept, info)
    return path


def splits_of(root: str | os.PathLike, wanted: Collection[str] | None = None) -> list[str]:
    """The splits of a CLEVR folder that have questions, or those wanted; raises InputError for one that is missing."""
    found = list_splits(root)
    if not found:
        raise InputError(f"{root}: no questions/CLEVR_SPLIT_questions.json: give a folder in CLEVR's layout")
    if missing := sorted(set(wanted or ()) - set(found)):
        raise InputError(f"{root}: no questions for the split {missing[0]!r:.80}; it has {', '.join(found)}")
    return [split for split in found if not wanted or split in wanted]


def _scenes(root: str | os.PathLike, split: str) -> dict[str, Scene]:
    path = find_annotations(root, split, "scenes")
    return read_scenes(path) if path.exists() else {}


def _named(
    root: str | os.PathLike, split: str, questions: str | os.PathLike | None, scenes: Mapping[str, Scene]
) -> Iterator[Question]:
    """The questions, each with its image's name, which some files give as `image_index` alone."""
    yield from name_images(
        iter_questions(questions or find_annotations(root, split, "questions"), progress=True), scenes
    )


def name_images(questions: Iterable[Question], scenes: Mapping[str, Scene]) -> Iterator[Question]:
    """Questions with their images' names, which some files give as `image_index` alone, of scenes by name."""
    names = {scene.image_index: name for name, scene in scenes.items()}
    for question in questions:
        if question.image_filename is None and question.image_index in names:
            question = replace(question, image_filename=names[question.image_index])
        yield question


def link_images(link: Path, images: Path) -> None:
    """Make a folder a link to another. Raises InputError where something else stands there."""
    target = Path(os.path.relpath(images.resolve(), link.parent.resolve()))
    if link.is_symlink() and link.readlink() == target:
        return
    if link.exists() or link.is_symlink():
        raise InputError(f"{link}: something stands here already: choose another --out")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target, target_is_directory=True)
    except OSError as error:
        raise InputError(f"{link}: cannot link to {images}: {error.strerror or error}") from error


Source = tuple[str, str]
"""A CLEVR folder and one of its splits."""


def merge_splits(sources: Sequence[Source], out: str | os.PathLike, split: str) -> tuple[int, int]:
    """Write splits as the split `split` of the CLEVR folder `out`; returns how many scenes and questions it has.

    `images/SPLIT/` receives a link for each source, none of whose images is copied, and images get the source's
    name before theirs. Images and questions get new numbers; a source may lack questions or scenes, though
    not both. Raises InputError where a source is not there or given twice, and where anything but an earlier merged
    split stands under these names.
    """
    _check_places(sources, Path(out), split)
    names = [f"{i}-{check_split(name)}" for i, (_, name) in enumerate(sources)]
    scenes: list[Scene] = []
    numbers: dict[str, int] = {}
    known: list[dict[str, Scene]] = []
    for (root, source), name in zip(sources, names, strict=True):
        if not any(find_annotations(root, source, kind).exists() for kind in ("scenes", "questions")):
            raise InputError(f"{root}: has neither scenes nor questions of a split {source!r:.80}")
        known.append(_scenes(root, source))
        for filename, scene in known[-1].items():
            numbers[f"{name}/{filename}"] = len(numbers)
            scenes.append(
                replace(scene, image_filename=f"{name}/{filename}", image_index=len(numbers) - 1, split=split)
            )

    def questions() -> Iterator[Question]:
        count = 0
        for (root, source), name, found in zip(sources, names, known, strict=True):
            path = find_annotations(root, source, "questions")
            for question in name_images(iter_questions(path, progress=True), found) if path.exists() else ():
                if question.image_filename is None:
                    raise InputError(f"{path}: question {question.question_index} names no image")
                filename = f"{name}/{question.image_filename}"
                number = numbers.setdefault(filename, len(numbers))
                yield replace(question, image_filename=filename, image_index=number, question_index=count, split=split)
                count += 1

    for (root, source), name in zip(sources, names, strict=True):
        link_images(Path(out, "images", split, name), images_folder(root, source))
    info = {"split": split, "merged": [f"{Path(root).resolve().name} {source}" for root, source in sources]}
    if scenes:
        write_scenes(scenes_path(out, split), scenes, info)
    return len(scenes), write_questions(questions_path(out, split), questions(), info)


def _check_places(sources: Sequence[Source], out: Path, split: str) -> None:
    images = [images_folder(root, source).resolve() for root, source in sources]
    if twice := next((folder for folder in images if images.count(folder) > 1), None):
        raise InputError(f"{twice}: given twice; images held out in training must not be trained on as copies")
    own = Path(out, "images", check_split(split))
    taken = [own] if own.is_symlink() or own.resolve() in images else []
    taken += [path for path in own.glob("*") if not path.is_symlink()] if own.is_dir() else []
    taken += [
        path
        for path in (scenes_path(out, split), questions_path(out, split))
        if path.exists() and "merged" not in read_info(path)
    ]
    if taken:
        raise InputError(f"{taken[0]}: something else stands here already; choose another --out or --split")
