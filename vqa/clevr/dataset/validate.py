"""Checking a dataset in CLEVR's layout as a reviewer would: every file, relation, condition and answer.

Issues make the data wrong; notes are what a reader should know.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from vqa.clevr.annotations import (
    choose_splits,
    find_annotations,
    images_folder,
    iter_records,
    list_images,
    list_splits,
    read_info,
)
from vqa.clevr.dataset.image_pool import Opened, open_image, open_images
from vqa.clevr.dataset.image_store import IMAGE_SUFFIXES
from vqa.clevr.programs import IllPosedError, answer_string, execute, question_type
from vqa.clevr.question import FALSE_PREMISES, Question, safe_filename
from vqa.clevr.question_generation.false_premises import false_premise
from vqa.clevr.scenes import DIRECTIONS, RELATION_MARGIN, Scene, compute_relationships
from vqa.clevr.split_protocols import cogent_offenders
from vqa.clevr.vocabulary import ANSWERS, COGENT_COLORS, MAX_OBJECTS, QUESTION_TYPES, RELATIONS
from vqa.errors import InputError


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong, in which file (relative to the dataset) and, where it has entries, at which index."""

    kind: str
    file: str
    index: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


@dataclass
class Issues:
    """All issues counted by kind, the first `limit` of each kind kept."""

    limit: int = 20
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Issue] = field(default_factory=list)

    def add(self, kind: str, file: str, index: int | None, message: str) -> None:
        """Count an issue, and keep it while there are fewer than `limit` of its kind."""
        self.counts[kind] += 1
        if self.counts[kind] <= self.limit:
            self.kept.append(Issue(kind, file, index, message))


@dataclass
class SplitFacts:
    """What was found in one split."""

    name: str
    condition: str = "none"
    images: int = 0
    scenes: int = 0
    questions: int = 0
    executed: int = 0
    """Questions whose program was executed and compared with the answer."""
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(width, height) in pixels -> images."""
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(the program's last function, answer) -> questions."""
    families: Counter[str] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)
    """Names of the images that have a question."""
    unused: list[str] = field(default_factory=list)
    """Images that neither scenes nor questions name."""
    notes: Counter[str] = field(default_factory=Counter)
    """What is true of some entries, as "scenes have other directions than CLEVR's" -> how many."""


@dataclass
class CheckReport:
    """The result of `check_dataset`."""

    root: Path
    splits: list[SplitFacts]
    issues: Issues
    copies: list[tuple[str, str, str]]
    """(what is the same, one image, another) as split/name."""

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.issues.counts


def check_dataset(
    root: str | os.PathLike,
    *,
    splits: Sequence[str] | None = None,
    condition: str | None = None,
    questions: Sequence[str | os.PathLike] = (),
    images: bool = True,
    workers: int | None = None,
    limit: int = 20,
) -> CheckReport:
    """Check a folder in CLEVR's layout.

    splits: only these (default: all that have images, scenes or questions).
    condition: what all scenes must keep, one of `none`, `cogent-a`, `cogent-b`. By default each split's own: what its
        scene file's info says under `condition`, or the last letter of a name such as trainA or valB.
    questions: more question files about these images, such as CLOSURE's; each is checked with the split it names.
    images: False leaves the image files alone.
    workers: threads that open images (default: one for each CPU core).
    limit: issues of one kind to keep.

    Issues: a missing or broken file, image, scene or question; a relation that the coordinates deny; an object that
    the condition forbids; an answer that the program does not give. Memory: about 11 kB an image of the largest split.
    Raises InputError where there is no such folder.
    """
    root = Path(root)
    names = _find_splits(root, splits)
    extra: dict[str, list[Path]] = {}
    for path in map(Path, questions):
        extra.setdefault(_split_of(path, names), []).append(path)
    report = CheckReport(root, [], Issues(limit), [])
    pool = ThreadPoolExecutor(max(1, workers or os.cpu_count() or 1))
    checker = _Checker(report, pool if images else None)
    try:
        for name in names:
            checker.check_split(name, condition, extra.get(name, []))
    finally:
        pool.shutdown(cancel_futures=True)
    return report


class _Checker:
    """Goes through the splits in turn, keeping what is needed to find copies across them."""

    def __init__(self, report: CheckReport, pool: ThreadPoolExecutor | None) -> None:
        self.report, self.root, self.issues, self.pool = report, report.root, report.issues, pool
        self.first: dict[tuple[str, bytes | int], str] = {}

    def check_split(self, name: str, condition: str | None, extra: Sequence[Path]) -> None:
        facts = SplitFacts(name)
        self.report.splits.append(facts)
        scenes = self._check_scenes(facts, condition)
        folder = images_folder(self.root, name)
        files = set(list_images(folder)) if self.pool else set()
        named = scenes.keys() if scenes else {file for file in files if file.lower().endswith(IMAGE_SUFFIXES)}
        early = files & named
        opened = open_images(self.pool, folder, sorted(early)) if self.pool else iter(())
        own = find_annotations(self.root, name, "questions")
        for path in [*([own] if own.exists() else []), *extra]:
            self._check_questions(facts, path, scenes)
        if self.pool:
            late = (open_image(folder, file) for file in sorted((files & facts.asked) - early))
            self._check_images(facts, chain(opened, late), files, scenes, folder)

    def _check_scenes(self, facts: SplitFacts, condition: str | None) -> dict[str, Scene]:
        path = find_annotations(self.root, facts.name, "scenes")
        if not path.exists():
            return {}
        file = self._relative(path)
        facts.condition = condition or _condition_of(facts.name, read_info(path))
        scenes: dict[str, Scene] = {}
        for i, record in enumerate(self._records(path, "scenes")):
            where = f"scenes[{i}]"
            try:
                scene = Scene.from_json(record, where)
                name = safe_filename(scene.image_filename, f"{where}.image_filename")
            except InputError as error:
                self.issues.add("broken scene", file, i, str(error))
                continue
            if name in scenes:
                self.issues.add("broken scene", file, i, f"{where}: a second scene for {name}")
                continue
            scenes[name] = scene
            facts.scenes += 1
            facts.notes["scenes name another split"] += scene.split not in ("", facts.name)
            facts.notes["scenes have other directions than CLEVR's"] += scene.directions != DIRECTIONS
            facts.notes["scenes have more objects than the answers can count"] += len(scene.objects) > MAX_OBJECTS
            for kind, message in _scene_issues(scene, facts.condition):
                self.issues.add(kind, file, i, where + message)
            self._look_for_copy("the same objects", _objects_key(scene), f"{facts.name}/{name}")
        return scenes

    def _check_questions(self, facts: SplitFacts, path: Path, scenes: Mapping[str, Scene]) -> None:
        file = self._relative(path)
        names = {scene.image_index: name for name, scene in scenes.items()}
        seen: set[int] = set()
        for i, record in enumerate(self._records(path, "questions")):
            where = f"questions[{i}]"
            try:
                question = Question.from_json(record, where)
            except InputError as error:
                self.issues.add("broken question", file, i, str(error))
                continue
            name = question.image_filename or names.get(-1 if question.image_index is None else question.image_index)
            if name is None:
                self.issues.add("broken question", file, i, f"{where}: names no image that has a scene")
                continue
            facts.questions += 1
            facts.asked.add(name)
            facts.notes["questions name another split"] += question.split not in (None, facts.name)
            key = hash((name, question.question))
            facts.notes["questions repeat another about the same image word for word"] += key in seen
            seen.add(key)
            for kind, message in _answer_issues(facts, question, name, scenes):
                self.issues.add(kind, file, i, where + message)

    def _check_images(
        self, facts: SplitFacts, opened: Iterable[Opened], files: set[str], scenes: Mapping[str, Scene], folder: Path
    ) -> None:
        indices = {name: i for i, name in enumerate(scenes)}
        wanted = scenes.keys() | facts.asked
        if wanted and not folder.is_dir():
            message = f"no such folder; {len(wanted):,} images are named"
            self.issues.add("missing image", self._relative(folder), None, message)
            return
        for name in sorted(wanted - files):
            self.issues.add("missing image", self._relative(folder / name), indices.get(name), "no such file")
        facts.unused = sorted(files - wanted) if wanted else []
        sizes: dict[str, tuple[int, int]] = {}
        for image in opened:
            if image.error:
                place = self._relative(folder / image.name)
                self.issues.add("broken image", place, indices.get(image.name), image.error)
                continue
            facts.images += 1
            facts.sizes[image.size] += 1
            sizes[image.name] = image.size
            self._look_for_copy("the same pixels", image.digest, f"{facts.name}/{image.name}")
        if sizes:
            (width, height), _ = facts.sizes.most_common(1)[0]
            for name, size in sizes.items():
                if abs(size[0] * height - size[1] * width) > max(width, height):
                    message = f"{size[0]}x{size[1]} pixels, another shape than the others' {width}x{height}"
                    self.issues.add("broken image", self._relative(folder / name), indices.get(name), message)

    def _records(self, path: Path, key: str) -> Iterator[object]:
        """The entries of a file up to the first place where it is not JSON, which is an issue."""
        try:
            yield from iter_records(path, key, progress=True)
        except InputError as error:
            message = str(error).removeprefix(f"{path}: ")
            self.issues.add("broken file", self._relative(path), None, message)

    def _look_for_copy(self, what: str, key: bytes | int, here: str) -> None:
        there = self.first.setdefault((what, key), here)
        if there != here:
            self.report.copies.append((what, there, here))

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def _scene_issues(scene: Scene, condition: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a scene: the kind, and the message that follows its place."""
    if message := false_relation(scene):
        yield "false relation", f".relationships{message}"
    for j in cogent_offenders(scene, condition) if condition != "none" else ():
        item = scene.objects[j]
        yield "condition not kept", f".objects[{j}]: a {item.color} {item.shape} under {condition}"


def _answer_issues(
    facts: SplitFacts, question: Question, name: str, scenes: Mapping[str, Scene]
) -> Iterator[tuple[str, str]]:
    """What is wrong with a question about the image `name`: the kind, and the message that follows its place."""
    program, answer = question.program, question.answer
    facts.notes["questions have no answer"] += answer is None
    if answer is not None and answer not in ANSWERS:
        yield "wrong answer", f": {answer!r:.40} is none of the {len(ANSWERS)} answers"
        return
    if program is None:
        facts.notes["questions have no program, so that their answers cannot be checked"] += 1
        return
    facts.families[question.family or ""] += 1
    if answer is not None:
        facts.answers[program[-1].function, answer] += 1
    scene = scenes.get(name)
    if scene is None:
        if scenes:
            facts.notes["questions not executed: their images have no scene"] += 1
            yield "broken question", f": {name} has no scene"
        return
    if question.image_index not in (None, scene.image_index):
        yield "broken question", f": image_index {question.image_index}, but {name} has {scene.image_index}"
    if question.premise in FALSE_PREMISES:
        if (false_premise(program, scene) or ("holds",))[0] != question.premise:
            yield "wrong answer", f".premise: is not {question.premise} on {name}"
        return
    try:
        result = answer_string(execute(program, scene)[-1])
    except (IllPosedError, InputError) as error:
        yield "broken question", f".program: {error} on {name}"
        return
    if question_type(program) not in QUESTION_TYPES:
        yield "broken question", f".program: ends in {program[-1].function}, which is not an answer"
    elif answer is not None:
        facts.executed += 1
        if result != answer:
            yield "wrong answer", f": answer {answer!r}, but the program gives {result!r} on {name}"


def false_relation(scene: Scene) -> str | None:
    """The first relation that the coordinates deny, as a message, or None. Ties within rounding are not judged."""
    true = compute_relationships(scene.objects, scene.directions or DIRECTIONS)
    for relation in RELATIONS:
        for i, (stated, derived) in enumerate(zip(scene.relationships[relation], true[relation], strict=True)):
            if sorted(stated) != derived and not _in_rounding(scene, relation, i, stated, derived):
                return f".{relation}[{i}]: lists {list(stated)}, the coordinates say {derived}"
    return None


def _in_rounding(scene: Scene, relation: str, i: int, stated: Sequence[int], derived: Sequence[int]) -> bool:
    if len(set(stated)) != len(stated) or i in stated:
        return False
    direction = (scene.directions or DIRECTIONS)[relation]
    here, *others = (scene.objects[j].coords for j in (i, *({*stated} ^ {*derived})))
    distances = (sum((b - a) * d for a, b, d in zip(here, there, direction, strict=True)) for there in others)
    return all(abs(distance - RELATION_MARGIN) < 1e-6 for distance in distances)


def _find_splits(root: Path, wanted: Sequence[str] | None) -> list[str]:
    found = {path.name for path in root.glob("images/[!.]*") if path.is_dir()}
    matches = (re.fullmatch(r"CLEVR_(.+)_scenes\.json", path.name) for path in root.glob("scenes/*.json"))
    found |= {match[1] for match in matches if match} | {*list_splits(root)}
    return choose_splits(root, found, wanted, "no images/SPLIT, scenes/ or questions/ here")


def _split_of(path: Path, names: Sequence[str]) -> str:
    """The split whose images a question file is about: what its info or its first question says."""
    if not path.is_file():
        raise InputError(f"{path}: no such question file")
    first = next(iter_records(path, "questions"))
    stated = read_info(path).get("split"), first.get("split") if isinstance(first, Mapping) else None
    for name in names:
        if name in stated or len(names) == 1:
            return name
    known = ", ".join(names)
    raise InputError(f"{path}: is about the split {stated[0]!r:.40}, not one of {known}: choose with --split")


def _condition_of(split: str, info: Mapping[str, object]) -> str:
    stated = info.get("condition")
    if stated in COGENT_COLORS or stated == "none":
        return str(stated)
    match = re.fullmatch(r"(?:train|val|test)([AB])(?:-.+)?", split)
    return f"cogent-{match[1].lower()}" if match else "none"


def _objects_key(scene: Scene) -> int:
    objects = scene.objects
    looks = (
        (item.shape, item.color, item.size, item.material, *(round(x, 4) for x in item.coords)) for item in objects
    )
    return hash(tuple(sorted(looks)))
