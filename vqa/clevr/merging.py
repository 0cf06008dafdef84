"""Several splits as one, to train on more pictures: CLEVR's and one's own renders, say."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vqa.clevr.files import (
    Question,
    check_split,
    iter_questions,
    questions_path,
    read_info,
    read_scenes,
    scenes_path,
    write_questions,
    write_scenes,
)
from vqa.clevr.scenes import Scene
from vqa.clevr.splitting import link_pictures, name_pictures
from vqa.errors import InputError

Source = tuple[str, str]
"""A CLEVR folder and one of its splits."""


def merge_splits(sources: Sequence[Source], out: str | os.PathLike, split: str) -> tuple[int, int]:
    """Write splits as the split `split` of the CLEVR folder `out`; returns how many scenes and questions it has.

    `images/SPLIT/` receives a link for each source, none of whose pictures is copied, and pictures get the source's
    name before theirs. Pictures are numbered anew, and so are questions; a source may lack questions or scenes, though
    not both. Raises InputError where a source is not there or given twice, and where anything but an earlier merged
    split stands under these names.
    """
    _check_places(sources, Path(out), split)
    names = [f"{i}-{check_split(name)}" for i, (_, name) in enumerate(sources)]
    scenes: list[Scene] = []
    numbers: dict[str, int] = {}
    known: list[dict[str, Scene]] = []
    for (root, source), name in zip(sources, names, strict=True):
        if not scenes_path(root, source).exists() and not questions_path(root, source).exists():
            raise InputError(f"{root}: has neither scenes nor questions of a split {source!r:.80}")
        known.append(read_scenes(scenes_path(root, source)) if scenes_path(root, source).exists() else {})
        for filename, scene in known[-1].items():
            numbers[f"{name}/{filename}"] = len(numbers)
            scenes.append(
                replace(scene, image_filename=f"{name}/{filename}", image_index=len(numbers) - 1, split=split)
            )

    def questions() -> Iterator[Question]:
        count = 0
        for (root, source), name, found in zip(sources, names, known, strict=True):
            path = questions_path(root, source)
            for question in name_pictures(iter_questions(path, progress=True), found) if path.exists() else ():
                if question.image_filename is None:
                    raise InputError(f"{path}: question {question.question_index} names no picture")
                filename = f"{name}/{question.image_filename}"
                number = numbers.setdefault(filename, len(numbers))
                yield replace(question, image_filename=filename, image_index=number, question_index=count, split=split)
                count += 1

    for (root, source), name in zip(sources, names, strict=True):
        link_pictures(Path(out, "images", split, name), Path(root, "images", source))
    info = {"split": split, "merged": [f"{Path(root).resolve().name} {source}" for root, source in sources]}
    if scenes:
        write_scenes(scenes_path(out, split), scenes, info)
    return len(scenes), write_questions(questions_path(out, split), questions(), info)


def _check_places(sources: Sequence[Source], out: Path, split: str) -> None:
    pictures = [Path(root, "images", source).resolve() for root, source in sources]
    if twice := next((folder for folder in pictures if pictures.count(folder) > 1), None):
        raise InputError(f"{twice}: given twice; pictures held out in training must not be trained on as copies")
    own = Path(out, "images", check_split(split))
    taken = [own] if own.is_symlink() or own.resolve() in pictures else []
    taken += [path for path in own.glob("*") if not path.is_symlink()] if own.is_dir() else []
    taken += [
        path
        for path in (scenes_path(out, split), questions_path(out, split))
        if path.exists() and "merged" not in read_info(path)
    ]
    if taken:
        raise InputError(f"{taken[0]}: something else stands here already; choose another --out or --split")
