"""Questions from scenes: fills question templates so that each question has one answer and needs all its words.

After the generator of CLEVR (Johnson et al. 2017, section 3 and appendix B), stricter about degenerate questions.
Refused are: a phrase with "the" that does not name exactly one object; a relation ("left of", "same size as") without
which the same objects would be found; a chain that comes back to an object it passed; two sets of which the words alone
say that one holds the other ("more cubes than red cubes").
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vqa.clevr.annotations import iter_scenes, read_info, write_questions
from vqa.clevr.programs import Program, Step, answer_string
from vqa.clevr.question import FALSE_PREMISES, Question
from vqa.clevr.question_generation.false_premises import altered_scene, false_premise
from vqa.clevr.question_generation.instantiate import SceneIndex, fill, is_degenerate, program_of, values_of
from vqa.clevr.question_generation.templates import Template
from vqa.clevr.question_generation.wording import text_of
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ANSWERS
from vqa.errors import InputError

ATTEMPTS = 32
"""How often a family is tried on a scene before the next one has its turn."""

ALTERATIONS = 10
"""How many altered scenes are tried for each question whose premise is to fail."""


@dataclass
class Balance:
    """How often each family was used, and each of its answers: what keeps both level over many scenes.

    Pass the same one from call to call; it is plain data, and may be kept beside a training run's state.
    """

    families: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    def accepts(self, family: str, answer: str) -> bool:
        """Whether the family's most frequent answer stays within a tenth of the next with one more of this."""
        counts: Counter[str] = self.answers.get(family, Counter())
        mine = counts.get(answer, 0)
        return mine <= 1 or any(mine <= 1.1 * count for name, count in counts.items() if name != answer)

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

    def generate(
        self,
        scene: Scene,
        count: int,
        rng: random.Random,
        balance: Balance | None = None,
        wanted: Callable[[Program], bool] | None = None,
    ) -> list[Question]:
        """Up to `count` different questions on a scene; fewer if the scene allows no more.

        Families are taken in the order of how little `balance` (updated here) has seen of them, each once, then again
        from the start. Only programs that are `wanted` are asked. Raises nothing for a poor scene: an empty one yields
        only counts and "no".
        """
        balance = Balance() if balance is None else balance
        index = SceneIndex(scene)
        questions: list[Question] = []
        seen: set[tuple[Step, ...]] = set()
        while len(questions) < count:
            before = len(questions)
            order = sorted(self.templates, key=lambda template: (balance.families[template.name], rng.random()))
            for template in order:
                question = self._ask(template, index, rng, balance, seen, wanted)
                if question is not None:
                    questions.append(question)
                    if len(questions) == count:
                        break
            if len(questions) == before:
                break
        return questions

    def generate_false(
        self, scene: Scene, count: int, rng: random.Random, balances: Mapping[str, Balance]
    ) -> list[Question]:
        """Up to `count` different questions without an answer, whose premise fails (see `false_premises`).

        `balances` has one for each of `FALSE_PREMISES`, of which the kind that was seen less has its turn.
        """
        questions: list[Question] = []
        generator = QuestionGenerator([t for t in self.templates if any(node.terminal == "unique" for node in t.nodes)])
        for _ in range(count if scene.objects else 0):
            asked = {question.program for question in questions}
            for kind in sorted(balances, key=lambda name: balances[name].families.total()):
                question = generator._ask_falsely(scene, kind, rng, balances[kind], asked)
                if question is not None:
                    questions.append(question)
                    break
        return questions

    def _ask_falsely(
        self, scene: Scene, kind: str, rng: random.Random, balance: Balance, asked: Container
    ) -> Question | None:
        def fails(program: Program) -> bool:
            found = false_premise(program, scene)
            return found is not None and found[0] == kind and program not in asked

        for _ in range(ALTERATIONS):
            for question in self.generate(altered_scene(scene, kind, rng), 1, rng, balance, fails):
                _, phrase = false_premise(question.program or (), scene) or ("", "")
                return replace(question, answer=None, premise=kind, phrase=phrase)
        return None

    def _ask(
        self,
        template: Template,
        index: SceneIndex,
        rng: random.Random,
        balance: Balance,
        seen: set,
        wanted: Callable[[Program], bool] | None,
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
            values = values_of(template, filled)
            program = program_of(template, values)
            if program in seen or (wanted and not wanted(program)):
                continue
            seen.add(program)
            balance.add(template.name, answer)
            scene = index.scene
            return Question(
                question=text_of(template, values, rng),
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
    scenes: Iterable[Scene], templates: Sequence[Template], per_image: int, seed: int, false_premises: float = 0.0
) -> Iterator[Question]:
    """Questions for many scenes, numbered; the same arguments give the same questions.

    With a share of `false_premises` every question says whether its premise holds; those that fail come last.
    """
    generator, rng, balance = QuestionGenerator(templates), random.Random(seed), Balance()
    balances = {kind: Balance() for kind in FALSE_PREMISES}
    number = 0
    for scene in scenes:
        wanted = sum(rng.random() < false_premises for _ in range(per_image)) if false_premises else 0
        false = generator.generate_false(scene, wanted, rng, balances)
        for question in (*generator.generate(scene, per_image - wanted, rng, balance), *false):
            premise = (question.premise or "holds") if false_premises else None
            yield replace(question, question_index=number, premise=premise)
            number += 1


def make_question_file(
    scenes: str | os.PathLike,
    out: str | os.PathLike,
    templates: Sequence[Template],
    per_image: int = 10,
    seed: int = 0,
    false_premises: float = 0.0,
    on_scene: Callable[[], object] = lambda: None,
) -> int:
    """Write questions for a scene file in CLEVR's format; returns how many. Calls `on_scene` after each scene.

    Raises InputError naming file and field; nothing is left under `out` then.
    """
    if per_image < 1:
        raise InputError(f"questions an image: {per_image} makes none; take 1 or more")
    if not 0 <= false_premises <= 1:
        raise InputError(f"--false-premises {false_premises:g}: is a share of the questions, from 0 to 1")
    if false_premises and not any(node.terminal == "unique" for item in templates for node in item.nodes):
        raise InputError('--false-premises: none of these families says "the"; choose others by --families')
    if Path(out).exists() and Path(scenes).exists() and Path(out).samefile(scenes):
        raise InputError(f"{out}: is the scene file itself; give the questions another name")

    def watched() -> Iterator[Scene]:
        for scene in iter_scenes(scenes):
            yield scene
            on_scene()

    def some() -> Iterator[Question]:
        question = None
        for question in generate_questions(watched(), templates, per_image, seed, false_premises):
            yield question
        if question is None:
            raise InputError(f"{scenes}: no scene allows a question of these {len(templates)} families")

    return write_questions(out, some(), read_info(scenes) if Path(scenes).is_file() else None)
