"""The shipped images of the gallery, each with questions that fit it."""

from dataclasses import dataclass
from pathlib import Path

from app.suggestions import one_of_each
from vqa.clevr.annotations import (
    image_path,
    iter_questions,
    list_splits,
    questions_path,
    read_questions,
    read_scenes,
    scenes_path,
)
from vqa.clevr.scenes import Scene
from vqa.utils.resources import shipped

FOLDER = "data/clevr-mini"
SPLIT = "val"


@dataclass(frozen=True)
class Example:
    """A shipped image, its objects in words, a question of each type about it, and all that there are."""

    path: Path
    description: str
    questions: tuple[str, ...]
    fitting: tuple[str, ...]


def load_examples() -> list[Example]:
    """The images of `data/clevr-mini` val in their order. Raises InputError where they are not installed."""
    root = shipped(FOLDER)
    scenes = read_scenes(scenes_path(root, SPLIT))
    questions = read_questions(questions_path(root, SPLIT))
    examples = []
    for name, scene in scenes.items():
        fitting = [question for question in questions if question.image_filename == name]
        texts = tuple(question.question for question in fitting)
        examples.append(Example(image_path(root, SPLIT, name), describe(scene), one_of_each(fitting), texts))
    return examples


def all_questions() -> list[str]:
    """The questions of `data/clevr-mini`, of all its splits."""
    root = shipped(FOLDER)
    return [item.question for split in list_splits(root) for item in iter_questions(questions_path(root, split))]


def describe(scene: Scene) -> str:
    """A scene in words, for those who cannot see its image."""
    objects = ", ".join(f"{item.size} {item.color} {item.material} {item.shape}" for item in scene.objects)
    return f"{len(scene.objects)} objects: {objects}"
