"""Bait: a scene with one more object, which meets all but one of the words of a filter in a question about it.

The true answer stays; a model that does not read every word gives the one that it would have if the bait were counted.
"""

import hashlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from scipy.stats import binomtest
from tqdm import tqdm

from vqa.clevr.annotations import (
    iter_records,
    questions_path,
    read_questions,
    read_scenes,
    scenes_path,
    write_questions,
)
from vqa.clevr.image_generation.blender import RenderSettings
from vqa.clevr.image_generation.camera import RADIUS, recover_location, visible_pixels
from vqa.clevr.image_generation.render_images import SceneFile, check_num, render_dataset
from vqa.clevr.image_generation.sample_scenes import MIN_PIXELS, annotate, free_place
from vqa.clevr.programs import IllPosedError, Program, ReasoningStep, answer_string, execute, reasoning_steps
from vqa.clevr.question import Question, normalize_answer
from vqa.clevr.scenes import Scene, SceneObject
from vqa.clevr.vocabulary import ATTRIBUTES, MAX_OBJECTS
from vqa.errors import InputError
from vqa.utils.files import write_json

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Bait:
    """A question about a scene whose last object is the bait, which fails only the word for the attribute `missed`.

    `answer` is what counting the bait would give.
    """

    question: Question
    scene: Scene
    missed: str
    answer: str


def add_bait(question: Question, scene: Scene, draw: random.Random) -> Bait | None:
    """The question about the scene with a bait, placed as CLEVR would, or None where none was found.

    Only filters of two words or more are baited, and only where counting the bait changes the answer.
    """
    program = question.program or ()
    steps = [step for step in reasoning_steps(program)[0] if len(step.filters) >= 2] if program else []
    if not steps or len(scene.objects) >= MAX_OBJECTS:
        return None
    camera = recover_location(scene.objects)
    for _ in range(_TRIES):
        step = draw.choice(steps)
        missed = draw.choice(sorted(step.filters))
        looks: Any = {name: step.filters.get(name) or draw.choice(values) for name, values in ATTRIBUTES.items()}
        looks[missed] = draw.choice([value for value in ATTRIBUTES[missed] if value != step.filters[missed]])
        place = free_place(draw, RADIUS[looks["size"]], scene.objects)
        if place is None:
            continue
        baited = annotate((*scene.objects, SceneObject(coords=place, rotation=draw.uniform(0, 360), **looks)), camera)
        answer = _answer_with_bait(program, baited, step, missed, question.answer)
        if answer is not None and min(visible_pixels(baited.objects, camera)) >= MIN_PIXELS:
            return Bait(question, baited, missed, answer)
    return None


def _answer_with_bait(
    program: Program, scene: Scene, step: ReasoningStep, missed: str, truth: str | None
) -> str | None:
    """The answer if the last object met the word it misses; None if that is the truth, or the truth has changed."""
    last = step.program_index
    bait, unique = len(scene.objects) - 1, program[last].function == "unique"
    top = dropped = program[last].inputs[0] if unique else last
    while program[dropped].function != f"filter_{missed}":
        dropped = program[dropped].inputs[0]
    try:
        found = execute(program, scene)
        without = execute(program[: top + 1], scene, {dropped: found[program[dropped].inputs[0]]})[top]
        if answer_string(found[-1]) != truth or not isinstance(without, tuple) or bait not in without:
            return None
        counted = without if not unique else bait
        answer = answer_string(execute(program, scene, {last: counted})[-1])
    except IllPosedError:
        return None
    return answer if answer != truth else None


def sample_baits(data: str | os.PathLike, split: str, num: int, seed: int, suffix: str) -> list[Bait]:
    """`num` baits for questions of a CLEVR split, drawn in random order; the same arguments give the same ones.

    Raises InputError if there are fewer.
    """
    check_num(num)
    scenes = read_scenes(scenes_path(data, split))
    questions = read_questions(questions_path(data, split))
    random.Random(f"bait/{seed}").shuffle(questions)
    baits: list[Bait] = []
    with tqdm(total=num, desc="baits", disable=None) as bar:
        for question in questions:
            scene = scenes.get(question.image_filename or "")
            draw = random.Random(f"bait/{seed}/{question.question_index}")
            if len(baits) < num and scene is not None and (bait := add_bait(question, scene, draw)):
                index, name = len(baits), f"CLEVR_{split}_{len(baits):06d}.{suffix}"
                own: dict[str, Any] = {"image_index": index, "image_filename": name, "split": split}
                baits.append(replace(bait, question=replace(question, **own), scene=replace(bait.scene, **own)))
                bar.update()
    if len(baits) < num:
        raise InputError(f"--num {num}: split {split} of {data} gives only {len(baits)} questions with a bait")
    return baits


def make_baits(out: str | os.PathLike, baits: list[Bait], split: str, settings: RenderSettings, **more: Any) -> None:
    """Write a CLEVR folder of baits: scenes, images (`more` as for `render_dataset`), questions, `OUT/baits.json`."""
    scenes = tuple(bait.scene for bait in baits)
    digest = hashlib.sha256(orjson.dumps(scenes[0].to_json())).hexdigest()[:16]  # more of the same may follow
    render_dataset(out, len(baits), SceneFile(split, scenes, digest), settings, **more)
    write_questions(questions_path(out, split), (bait.question for bait in baits), {"split": split})
    records = [
        {
            "question_index": bait.question.question_index,
            "truth": bait.question.answer,
            "answer": bait.answer,
            "missed": bait.missed,
        }
        for bait in baits
    ]
    write_json(Path(out, "baits.json"), {"baits": records})


def score_baits(out: str | os.PathLike, after: str | os.PathLike, before: str | os.PathLike) -> list[list[str]]:
    """How often answers follow the bait, as the rows of a table: all, then by the attribute that the bait misses.

    `after` and `before` are files by `vqa predict` about the folder of baits and the data that it was made from.
    Raises InputError naming the file where a question has no answer.
    """
    counts: dict[str, list[int]] = {name: [0] * 4 for name in ("all", *ATTRIBUTES)}
    given = [_answers(path) for path in (before, after)]
    for bait in iter_records(Path(out, "baits.json"), "baits"):
        key, truth = bait["question_index"], bait["truth"]
        for path, answers in zip((before, after), given, strict=True):
            if key not in answers:
                raise InputError(f"{path}: has no answer to question {key}; `vqa predict` answers all of a split")
        first, second = (answers[key] for answers in given)
        for name in ("all", bait["missed"]):
            right = first == truth
            for k, true in enumerate((True, right, right and second == bait["answer"], right and second == truth)):
                counts[name][k] += true
    rows = [["bait misses", "questions", "right without bait", "then follow it, %", "stay right, %"]]
    for name, (questions, right, follow, stay) in counts.items():
        if right:
            low, high = binomtest(follow, right).proportion_ci(method="wilson")
            share = f"{100 * follow / right:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
            rows.append([name, str(questions), str(right), share, f"{100 * stay / right:.1f}"])
    return rows


def _answers(path: str | os.PathLike) -> Mapping[int, str | None]:
    try:
        records = iter_records(path, "answers")
        return {record["question_index"]: normalize_answer(record["answer"]) for record in records}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: expected lines with question_index and answer, as `vqa predict` writes") from error
