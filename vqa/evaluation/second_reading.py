"""Measures an answer's second reading: the scene, the check, the premises and the sentence, against true scenes."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL.Image import Image
from scipy.optimize import linear_sum_assignment

from vqa.clevr.annotations import image_path, questions_path, read_questions, read_scenes, scenes_path
from vqa.clevr.image_generation.camera import recover_location, visible_pixels
from vqa.clevr.programs import Program, asked_attribute, execute, reasoning_steps, step_objects
from vqa.clevr.question import FALSE_PREMISES, Question
from vqa.clevr.question_generation import Balance, QuestionGenerator, load_templates
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ATTRIBUTES, RELATIONS
from vqa.errors import InputError
from vqa.inference.answerer import Answer, VisualQuestionAnswerer
from vqa.inference.predicted_scene import PredictedScene, predict_scene
from vqa.utils.images import load_image
from vqa.utils.tables import markdown_table

MATCHED = 20.0
"""A predicted object is the true one nearest to it, at most this many of CLEVR's pixels away."""

VISIBLE = {"over 90 %": 0.9, "60 to 90 %": 0.6, "30 to 60 %": 0.3, "under 30 %": 0.0}
"""Share of an object's pixels that others leave visible -> the least such share."""

NEW = 20
"""Questions whose premise fails, an image, where the question file has none."""


@dataclass
class SecondReadingReport:
    """Counts of what was right; rates by `rate`, and the whole by `to_json`.

    Each table has the numbers under their names, a number of trials under "n" or under the name it is divided by.
    """

    scene: Counter[str] = field(default_factory=Counter)
    occlusion: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in VISIBLE})
    answers: dict[str, Counter[str]] = field(default_factory=dict)
    readers: dict[str, Counter[str]] = field(default_factory=dict)
    premises: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    sentences: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """All counts."""
        return {name: dict(value) for name, value in vars(self).items()}

    def __str__(self) -> str:
        """The tables in Markdown."""
        tables = [self._scene_table(), self._occlusion_table(), self._answer_table(), self._reader_table()]
        return "\n\n".join((*tables, self._premise_table(), self._sentence_table()))

    def _scene_table(self) -> str:
        scene, found = self.scene, self.scene["found"]
        rows = [
            ("recall of objects", found, scene["objects"]),
            ("precision of objects", found, scene["seen"]),
            *((f"{name} of those found", scene[name], found) for name in ATTRIBUTES),
            ("relations among those found", scene["relations right"], scene["relations"]),
            ("scenes without any mistake", scene["wholly right"], scene["images"]),
        ]
        cells = [(name, _rate(right, total), f"{total:,}") for name, right, total in rows]
        return "\n".join(markdown_table([f"scene, {scene['images']:,} images", "%", "of"], cells))

    def _occlusion_table(self) -> str:
        head = ["visible share of the object", "objects", "recall, %", "precision, %", *(f"{n}, %" for n in ATTRIBUTES)]
        rows = []
        for name, c in self.occlusion.items():
            rates = [_rate(c["found"], c["objects"]), _rate(c["seen"] - c["false"], c["seen"])]
            rates += [_rate(c[attribute], c["found"]) for attribute in ATTRIBUTES]
            rows.append((name, f"{c['objects']:,}", *rates, _rate(c["relations right"], c["relations"])))
        return "\n".join(markdown_table([*head, "relations, %"], rows))

    def _answer_table(self) -> str:
        head = ["accuracy, %", "questions", "network", "second reading", "both together", "better, worse", "they agree"]
        head += ["right where they agree", "network right where not", "second right where not"]
        rows = []
        for name, c in self.answers.items():
            apart = c["n"] - c["agree"]
            both = [_rate(c[kind], c["n"]) for kind in ("network", "second", "together")]
            both += [f"{c['better']}, {c['worse']}", _rate(c["agree"], c["n"])]
            where = [_rate(c["right where they agree"], c["agree"])]
            where += [f"{c[f'{who} right where not']} of {apart}" for who in ("network", "second")]
            rows.append((name, f"{c['n']:,}", *both, *where))
        return "\n".join(markdown_table(head, rows))

    def _reader_table(self) -> str:
        rows = [(name, f"{c['n']:,}", _rate(c["right"], c["n"])) for name, c in self.readers.items()]
        total = sum(self.readers.values(), Counter())
        rows.append(("all", f"{total['n']:,}", _rate(total["right"], total["n"])))
        return "\n".join(markdown_table(["answered by", "questions", "accuracy, %"], rows))

    def _premise_table(self) -> str:
        head = ["premises, images", "questions", "number", "read as holds, %", "absent, %", "ambiguous, %", "F1, %"]
        rows = []
        for half, kinds in sorted(self.premises.items()):
            for kind, c in kinds.items():
                told = sum(other[kind] for other in kinds.values())
                found = [_rate(c[status], c["n"]) for status in ("holds", "absent", "ambiguous")]
                rows.append((half, kind, f"{c['n']:,}", *found, _rate(2 * c[kind], c["n"] + told)))
        return "\n".join(markdown_table(head, rows))

    def _sentence_table(self) -> str:
        c = self.sentences
        wrong = c["n"] - c["right answers"]
        rows = [
            (
                "every step true where the answer is right",
                _rate(c["true where the answer is right"], c["right answers"]),
            ),
            ("the wrong step shown where the answer is wrong", _rate(c["wrong step shown"], wrong)),
            ("words, mean", f"{c['words'] / max(c['n'], 1):.1f}"),
            ("words, at most", str(c["most words"])),
        ]
        return "\n".join(markdown_table([f"sentences, {c['n']:,}", "%"], rows))


def _rate(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}" if total else ""


def measure(
    answerer: VisualQuestionAnswerer,
    root: str,
    split: str,
    questions: str | None = None,
    seed: int = 0,
    on_image: Callable[[], object] = lambda: None,
) -> SecondReadingReport:
    """Ask every question of a split with true scenes, and ones whose premise fails.

    Those are the file's (`vqa data questions --false-premises`), or made anew for the split's own questions. Premises
    are counted apart for images of even number, on which the threshold was chosen, and odd number. Raises InputError.
    """
    scenes = read_scenes(scenes_path(root, split))
    asked: dict[str, list[Question]] = {name: [] for name in scenes}
    for question in read_questions(questions or questions_path(root, split)):
        if question.image_filename in asked and (question.answer or question.premise):
            asked[question.image_filename].append(question)
    if not any(asked.values()):
        raise InputError(f"{questions or root}: no question with an answer about an image with a known scene")
    report, rng, balances = SecondReadingReport(), random.Random(seed), {kind: Balance() for kind in FALSE_PREMISES}
    marked = any(question.premise for several in asked.values() for question in several)
    generator = QuestionGenerator(load_templates())
    for name, scene in scenes.items():
        if not asked[name]:
            continue
        image = load_image(image_path(root, split, name))
        half = "odd" if scene.image_index % 2 else "even"
        made = () if marked or questions else generator.generate_false(scene, NEW, rng, balances)
        several = (*asked[name], *made)
        for question, answer in zip(several, _answers(answerer, image, several), strict=True):
            if answer is None:
                report.readers.setdefault("nothing: refused", Counter())["n"] += 1
                continue
            if question.program:
                premises = report.premises.setdefault(half, {}).setdefault(question.premise or "holds", Counter())
                premises.update({"n": 1, answer.premise.status: 1})
            if question.answer:
                _count_answer(report, half, question, answer, scene)
        seen = predict_scene(answerer, image)
        if seen is None:
            raise InputError("--checkpoint: this model has no object attention, and so reads no scene")
        counts, by_occlusion = compare_scenes(scene, seen)
        report.scene.update(counts)
        for share, found in by_occlusion.items():
            report.occlusion[share].update(found)
        on_image()
    return report


def _answers(answerer: VisualQuestionAnswerer, image: Image, questions: Sequence[Question]) -> list[Answer | None]:
    """The answers, None for a question that is refused."""
    try:
        return answerer.ask(image, [question.question for question in questions])
    except InputError:
        found = [] if len(questions) == 1 else [_answers(answerer, image, [question])[0] for question in questions]
        return found or [None]


def match_objects(true: Scene, seen: Scene) -> list[tuple[int, int]]:
    """Each true object that is seen, and the object seen that it is. Raises InputError without `pixel_coords`."""
    one, other = (
        np.array([item.pixel_coords[:2] for item in scene.objects if item.pixel_coords]).reshape(-1, 2)
        for scene in (true, seen)
    )
    if len(one) != len(true.objects):
        raise InputError("the scenes lack pixel_coords, by which objects are matched")
    distances = np.linalg.norm(one[:, None] - other[None], axis=-1)
    return [(i, j) for i, j in zip(*linear_sum_assignment(distances), strict=True) if distances[i, j] <= MATCHED]


def compare_scenes(true: Scene, seen: PredictedScene) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """Counts of objects, of those found with each attribute right, and of relations; all, and by `VISIBLE`.

    An object's relations are those to the others found. A predicted object that is none ("false") counts where the
    predicted scene would show it.
    """
    found = seen.scene
    pairs = match_objects(true, found)
    by_occlusion = {name: Counter[str]() for name in VISIBLE}
    places = [by_occlusion[name] for name in _visible(true)]
    for place in places:
        place["objects"] += 1
    for j, name in enumerate(_visible(found)):
        by_occlusion[name].update(seen=1, false=j not in {j for _, j in pairs})
    for i, j in pairs:
        values = {name: getattr(true.objects[i], name) == getattr(found.objects[j], name) for name in ATTRIBUTES}
        right = sum(
            (k in true.relationships[relation][i]) == (m in found.relationships[relation][j])
            for relation in RELATIONS
            for k, m in pairs
            if k != i
        )
        places[i].update(
            {"found": 1, "relations": len(RELATIONS) * (len(pairs) - 1), "relations right": right} | values
        )
    counts = sum(by_occlusion.values(), Counter(images=1))
    counts["wholly right"] = int(
        counts["objects"] == counts["found"] == len(found.objects)
        and counts["relations"] == counts["relations right"]
        and all(counts[name] == counts["found"] for name in ATTRIBUTES)
    )
    return counts, by_occlusion


def _visible(scene: Scene) -> list[str]:
    """How much of each object its image shows, one of `VISIBLE`: a ray for every pixel against ideal shapes."""
    camera = recover_location(scene.objects)
    alone = [visible_pixels([item], camera)[0] for item in scene.objects]
    shares = [among / max(whole, 1) for among, whole in zip(visible_pixels(scene.objects, camera), alone, strict=True)]
    return [next(name for name, least in VISIBLE.items() if share >= least) for share in shares]


def _count_answer(report: SecondReadingReport, half: str, question: Question, answer: Answer, scene: Scene) -> None:
    network, check = answer.answer == question.answer, answer.check
    decided = answer.program is not None and check is not None and check.answer is not None
    reader = "program" if decided else "network" if check is not None and not answer.program else "network, a guess"
    report.readers.setdefault(reader, Counter()).update(n=1, right=network)
    again = check is not None and check.answer == question.answer
    agrees = check is not None and check.agrees
    both = answer.together == question.answer
    for name in ("all", f"{half} images", question.type or "other"):
        counts = report.answers.setdefault(name, Counter())
        counts.update(n=1, network=network, second=again, agree=agrees, together=both)
        counts.update(better=both and not network, worse=network and not both)
        counts["right where they agree"] += network and agrees
        counts["network right where not"] += network and not agrees
        counts["second right where not"] += again and not agrees
    if check is not None and question.program and answer.because is not None:
        true = not answer.premise.text and _sentence_is_true(check.program, answer, scene)  # all its premises hold
        report.sentences.update({"n": 1, "true": true, "right answers": network})
        report.sentences["true where the answer is right"] += true and network
        shown = not true or ", yet the network says " in answer.because  # the last step is the wrong one
        report.sentences["wrong step shown"] += shown and not network
        words = len(answer.because.split())
        report.sentences["words"] += words
        report.sentences["most words"] = max(words, report.sentences["most words"])


def _sentence_is_true(program: Program, answer: Answer, scene: Scene) -> bool:
    """Whether all steps told of found as many objects as in the true scene, and the values compared are the true."""
    steps, readers = reasoning_steps(program)
    true, told = step_objects(steps, execute(program, scene)), answer.attended or []
    if any(said is not None and len(said) != len(there) for there, said in zip(true, told, strict=True)):
        return False
    name, seen = asked_attribute(program), answer.scene.objects if answer.scene else ()
    compared = [(true[k][0], said[0]) for k in readers if (said := told[k]) is not None and len(true[k]) == 1]
    return name is None or all(getattr(scene.objects[i], name) == seen[j].value(name) for i, j in compared)
