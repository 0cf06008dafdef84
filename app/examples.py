"""The shipped pictures of the gallery, each with questions that fit it, and questions that fit any picture."""

from dataclasses import dataclass
from pathlib import Path

from vqa.clevr.files import Question, image_path, questions_path, read_questions, read_scenes, scenes_path
from vqa.clevr.scenes import Scene
from vqa.resources import shipped

FOLDER = "data/clevr-mini"
SPLIT = "val"

_ORDER = ("query attribute", "count", "exist", "compare attribute", "compare integer")

ANY_PICTURE = (
    "How many objects are there?",
    "Are there any metal cubes?",
    "What color is the large sphere?",
    "Are there more cubes than cylinders?",
    "What number of things are left of the large cube?",
)


@dataclass(frozen=True)
class Example:
    """A shipped picture, its objects in words, and a question of each type about it."""

    path: Path
    description: str
    questions: tuple[str, ...]


def load_examples() -> list[Example]:
    """The pictures of `data/clevr-mini` val in their order. Raises InputError where they are not installed."""
    root = shipped(FOLDER)
    scenes = read_scenes(scenes_path(root, SPLIT))
    questions = read_questions(questions_path(root, SPLIT))
    return [
        Example(
            image_path(root, SPLIT, name),
            describe(scene),
            _choose([question for question in questions if question.image_filename == name]),
        )
        for name, scene in scenes.items()
    ]


def describe(scene: Scene) -> str:
    """A scene in words, for those who cannot see its picture."""
    objects = ", ".join(f"{item.size} {item.color} {item.material} {item.shape}" for item in scene.objects)
    return f"{len(scene.objects)} objects: {objects}"


def _choose(questions: list[Question]) -> tuple[str, ...]:
    """One of each type: first the longest, which puts every block to work, then the shortest."""
    chosen: list[str] = []
    for kind in _ORDER:
        texts = sorted((question.question for question in questions if question.type == kind), key=len)
        if texts:
            chosen.append(texts[0] if chosen else texts[-1])
    return tuple(chosen)
