"""Reads one split's JSON as it is found: under other names, incomplete, with values that CLEVR does not have."""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vqa.clevr.annotations import find_annotations, images_folder, iter_records, scene_of_image
from vqa.clevr.question import Question, unknown_functions
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError
from vqa.utils.notes import note

_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass
class SplitReading:
    """Reads a split's scenes, then its questions, and counts what it leaves out or reads as something else.

    Attributes:
        images: where the image files are.
        files: their names in it; None to take every image for there, under the name that the JSON says.
        absent: image in the JSON that is not there -> questions about it.
    """

    split: str
    questions: Path
    scenes: Path
    images: Path
    files: Collection[str] | None = None
    absent: dict[str, int] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, str] = field(default_factory=dict)
    _taken: dict[str, str | None] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of_folder(
        cls, root: str | os.PathLike, split: str, questions: str | os.PathLike | None = None
    ) -> "SplitReading":
        """The reading of a CLEVR folder's split or another question file about it, whatever images there are."""
        own = find_annotations(root, split, "questions")
        return cls(split, Path(questions or own), find_annotations(root, split, "scenes"), images_folder(root, split))

    @property
    def left_out(self) -> int:
        """The number of questions about images that are not there."""
        return sum(self.absent.values())

    def read_scenes(self) -> Iterator[Scene]:
        """The scenes of images that are there, if there is a scene file. Raises InputError."""
        for i, record in enumerate(iter_records(self.scenes, "scenes") if self.scenes.exists() else ()):
            if unknown := _unknown_value(record):
                self._count("scenes have values that CLEVR does not have, and are left out", unknown)
                continue
            scene = scene_of_image(record, f"{self.scenes.name}: scenes[{i}]")
            if file := self._take(scene.image_filename):
                self._names[scene.image_index] = file
                yield replace(scene, image_filename=file)
            else:
                self.absent.setdefault(scene.image_filename, 0)

    def scenes_by_name(self) -> dict[str, Scene]:
        """The scenes by their images' names. Raises InputError, also where two are of one image."""
        found: dict[str, Scene] = {}
        for scene in self.read_scenes():
            if found.setdefault(scene.image_filename, scene) is not scene:
                raise InputError(f"{self.scenes.name}: {scene.image_filename} has a second scene")
        return found

    def read_questions(self) -> Iterator[Question]:
        """The questions about images that are there; those without a name get it from the scenes. Raises InputError."""
        total = 0
        for i, record in enumerate(iter_records(self.questions, "questions", progress=True)):
            where = f"{self.questions.name}: questions[{i}]"
            if unknown := unknown_functions(record):
                self._count("programs have functions that CLEVR does not have, and are left out", unknown[0])
                record = {**record, "program": None}
            question = Question.from_json(record, where)
            if question.answer != record.get("answer"):
                self._count("answers are normalized", f"{record['answer']!r} to {question.answer!r}")
            name = question.image_filename or self._name(question.image_index, where)
            if file := self._take(name):
                yield replace(question, image_filename=file)
            else:
                self.absent[name] = self.absent.get(name, 0) + 1
            total = i + 1
        if self.left_out == total:
            lacking = f"none of its {total:,} questions is about an image in {self.images}"
            raise InputError(f"{self.questions}: {lacking}; the first is about {next(iter(self.absent))}")

    def say(self) -> None:
        """Print `notes`, once the reading is over."""
        for line in self.notes():
            note(line)

    def notes(self) -> Iterator[str]:
        """What was left out and what was taken for what, a line each."""
        if self.absent:
            yield (
                f"{self.images}: {len(self.absent):,} images named in the JSON are not there, such as "
                f"{next(iter(self.absent)):.60}; {self.left_out:,} questions are left out"
            )
        for what, number in self._counts.items():
            yield f"{self.questions.name}: {number:,} {what}, such as {self._examples[what]}"

    def _count(self, what: str, example: str) -> None:
        self._counts[what] += 1
        self._examples.setdefault(what, f"{example:.60}")

    def _take(self, name: str) -> str | None:
        if name not in self._taken:
            self._taken[name] = found = self._find(name)
            if found not in (None, name):
                self._count("images are read under another name", f"{found} for {name}")
        return self._taken[name]

    def _find(self, name: str) -> str | None:
        """The file that a name in the JSON means, or None: a folder may be before the name, the suffix be another."""
        if self.files is None:
            return name
        for prefix in ("", f"{self.split}/", f"images/{self.split}/", "images/"):
            short = name.removeprefix(prefix)
            if short in self.files:
                return short
            stem = short.rpartition(".")[0] or short
            for suffix in _SUFFIXES:
                for candidate in (stem + suffix, stem + suffix.upper()):
                    if candidate in self.files:
                        return candidate
        return None

    def _name(self, index: int | None, where: str) -> str:
        if index is None:
            raise InputError(f"{where}: names no image: image_filename and image_index are missing")
        name = f"CLEVR_{self.split}_{index:06d}.png"
        return self._names.get(index) or self._find(name) or name


def _unknown_value(record: Any) -> str | None:
    """The first value of a scene's objects that is none of CLEVR's, as "shape 'cone'"; None if all are, or broken."""
    objects = record.get("objects") if isinstance(record, dict) else None
    for item in objects if isinstance(objects, list) else ():
        for name, values in ATTRIBUTES.items():
            value = item.get(name) if isinstance(item, dict) else None
            if isinstance(value, str) and value not in values:
                return f"{name} {value!r}"
    return None
