"""Questions from scenes: fills question templates so that each question has one answer and needs all its words.

After the generator of CLEVR (Johnson et al. 2017, section 3 and appendix B), stricter about degenerate questions.
Refused are: a phrase with "the" that does not name exactly one object; a relation ("left of", "same size as") without
which the same objects would be found; a chain that comes back to an object it passed; two sets of which the words alone
say that one holds the other ("more cubes than red cubes").
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vqa.clevr.annotations import iter_scenes, read_info, write_questions
from vqa.clevr.programs import Step, answer_string
from vqa.clevr.question import Question
from vqa.clevr.question_generation.instantiate import SceneIndex, fill, is_degenerate, program_of, text_of
from vqa.clevr.question_generation.templates import Template
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ANSWERS
from vqa.errors import InputError

ATTEMPTS = 32
"""How often a family is tried on a scene before the next one has its turn."""


@dataclass
class Balance:
    """How often each family was used, and each of its answers: what keeps both level over many scenes.

    Pass the same one from call to call; it is plain data, and may be kept beside a training run's state.
    """

    families: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    def accepts(self, family: str, answer: str) -> bool:
        """Whether the family's most frequent answer stays within a tenth of the next with one more of this."""
        counts = self.answers.get(family)
        if not counts:
            return True
        others = [count for name, count in counts.items() if name != answer]
        return counts[answer] <= max(1, 1.1 * max(others, default=0))

    def add(self, family: str, answer: str) -> None:
        """Count one question."""
        self.families[family] += 1
        self.answers.setdefault(family, Counter())[answer] += 1


class QuestionGenerator:
    """Makes questions for scenes from templates (see `vqa.clevr.question_generation.families.load_templates`)."""

    def __init__(self, templates: Sequence[Template]) -> None:
        if not templates:
            raise ValueError("no templates")
        self.templates = tuple(templates)

    def generate(self, scene: Scene, count: int, rng: random.Random, balance: Balance | None = None) -> list[Question]:
        """Up to `count` different questions on a scene; fewer where it does not afford them.

        Families are taken in the order of how little `balance` (updated here) has seen of them, each once, then again
        from the start. Raises nothing for a poor scene: an empty one yields only counts and "no".
        """
        balance = Balance() if balance is None else balance
        index = SceneIndex(scene)
        questions: list[Question] = []
        seen: set[tuple[Step, ...]] = set()
        while len(questions) < count:
            before = len(questions)
            order = sorted(self.templates, key=lambda template: (balance.families[template.name], rng.random()))
            for template in order:
                question = self._ask(template, index, rng, balance, seen)
                if question is not None:
                    questions.append(question)
                    if len(questions) == count:
                        break
            if len(questions) == before:
                break
        return questions

    def _ask(
        self, template: Template, index: SceneIndex, rng: random.Random, balance: Balance, seen: set
    ) -> Question | None:
        for _ in range(ATTEMPTS):
            filled = fill(template, index, rng)
            if filled is None:
                continue
            answer = answer_string(filled[-1].output)
            if answer not in ANSWERS or not balance.accepts(template.name, answer):
                continue
            if is_degenerate(template, filled, index):
                continue
            program = program_of(template, filled)
            if program in seen:
                continue
            seen.add(program)
            balance.add(template.name, answer)
            scene = index.scene
            return Question(
                question=text_of(template, filled, rng),
                answer=answer,
                program=program,
                image_filename=scene.image_filename,
                image_index=scene.image_index,
                split=scene.split,
                question_family_index=template.key[1],
                template_filename=template.key[0],
            )
        return None


def generate_questions(
    scenes: Iterable[Scene], templates: Sequence[Template], per_image: int, seed: int
) -> Iterator[Question]:
    """Questions for many scenes, numbered; the same scenes, templates and seed give the same questions."""
    generator, rng, balance = QuestionGenerator(templates), random.Random(seed), Balance()
    number = 0
    for scene in scenes:
        for question in generator.generate(scene, per_image, rng, balance):
            yield replace(question, question_index=number)
            number += 1


def make_question_file(
    scenes: str | os.PathLike,
    out: str | os.PathLike,
    templates: Sequence[Template],
    per_image: int = 10,
    seed: int = 0,
    on_scene: Callable[[], object] = lambda: None,
) -> int:
    """Write questions for a scene file in CLEVR's format; returns how many. Calls `on_scene` after each scene.

    Raises InputError naming file and field; nothing is left under `out` then.
    """
    if per_image < 1:
        raise InputError(f"questions an image: {per_image} makes none; take 1 or more")
    if Path(out).exists() and Path(scenes).exists() and Path(out).samefile(scenes):
        raise InputError(f"{out}: is the scene file itself; give the questions another name")

    def watched() -> Iterator[Scene]:
        for scene in iter_scenes(scenes):
            yield scene
            on_scene()

    def some() -> Iterator[Question]:
        question = None
        for question in generate_questions(watched(), templates, per_image, seed):
            yield question
        if question is None:
            raise InputError(f"{scenes}: no scene affords a question of these {len(templates)} families")

    return write_questions(out, some(), read_info(scenes) if Path(scenes).is_file() else None)
