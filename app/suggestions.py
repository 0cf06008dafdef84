"""Help with the question: questions that fit an image, and how CLEVR's wording goes on."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache

from app.views.render import render
from vqa.clevr.language.parser import words_of
from vqa.clevr.question import Question
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import QuestionGenerator
from vqa.clevr.scenes import Scene

ANY_IMAGE = (
    "How many objects are there?",
    "Are there any metal cubes?",
    "How many large things are there?",
    "Are there more cubes than cylinders?",
    "Is there a small red sphere?",
)
"""They have an answer whatever is in the image."""

ON_CHOICE = """
element.addEventListener("click", event => {
  const button = event.target.closest("button[data-index]");
  if (button) trigger("select", {index: Number(button.dataset.index), value: button.textContent});
});
"""
"""Script of a `gr.HTML` whose buttons tell which of them was pressed."""

MAX_WORDS = 12
"""Of a suggested question."""

_ORDER = ("query attribute", "count", "exist", "compare attribute", "compare integer")
_FITTING = 48
_FOLLOWERS = 40


def questions_about(scene: Scene | None) -> list[Question]:
    """Questions that fit a scene, always the same ones; empty for a scene of fewer than two objects."""
    if scene is None or len(scene.objects) < 2:
        return []
    return _generator().generate(scene, _FITTING, random.Random(0))


def one_of_each(questions: Iterable[Question]) -> tuple[str, ...]:
    """One of each type, at most `MAX_WORDS` long: of the first the longest, which puts most blocks to work, of the
    others the shortest."""
    chosen: list[str] = []
    questions = list(questions)
    for kind in _ORDER:
        texts = [question.question for question in questions if question.type == kind]
        texts = sorted((text for text in texts if len(text.split()) <= MAX_WORDS), key=len)
        if texts:
            chosen.append(texts[0] if chosen else texts[-1])
    return tuple(chosen)


def suggestions(questions: Sequence[str], fitting: Iterable[str] = ()) -> str:
    """Questions as buttons that ask them, and more of them for the completion to draw on."""
    texts = sorted({*questions, *fitting}, key=lambda text: (len(text), text))
    return render("suggestions", questions=questions, fitting=json.dumps(texts))


def suggestions_for(scene: Scene | None) -> str:
    """The same for a scene; for an unknown one, questions that fit any image."""
    questions = questions_about(scene)
    return suggestions(one_of_each(questions) or ANY_IMAGE, (question.question for question in questions))


def completion(known: Iterable[str], corpus: Iterable[str]) -> str:
    """What static/complete.js needs: the words that the model knows, and which words follow which in `corpus`."""
    return render("completion", known=json.dumps(sorted(known)), followers=json.dumps(followers(corpus)))


def followers(corpus: Iterable[str]) -> dict[str, list[str]]:
    """Last two words, or last word, or "" at the start -> the words that follow them most often; "?" ends."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in corpus:
        words = [*words_of(text), "?"]
        for i, word in enumerate(words):
            for context in {"" if i == 0 else words[i - 1], " ".join(words[max(0, i - 2) : i])}:
                counts[context][word] += 1
    return {context: [word for word, _ in found.most_common(_FOLLOWERS)] for context, found in counts.items()}


@cache
def _generator() -> QuestionGenerator:
    return QuestionGenerator(load_templates())
