"""The shipped images of the gallery, with questions that fit them and the answers that are true of them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from app.suggestions import one_of_each, questions_about
from app.views.seen import name_of
from vqa.clevr.annotations import (
    iter_questions,
    list_splits,
    questions_path,
    read_questions,
    read_scenes,
    scenes_path,
)
from vqa.clevr.language import parse_question, restate
from vqa.clevr.programs import IllPosedError, answer_string, execute
from vqa.clevr.scenes import Scene
from vqa.errors import InputError
from vqa.utils.images import load_image
from vqa.utils.resources import shipped

FOLDER = "data/clevr-mini"
SPLIT = "val"
IMAGES = Path(__file__).parent / "images"
"""The scenes of `FOLDER` rendered sharper, by tests/app/render_examples.py."""


@dataclass(frozen=True)
class Example:
    """A shipped image with its scene, a short question of each type about it, and all that there are."""

    index: int
    path: Path
    scene: Scene
    questions: tuple[str, ...]
    fitting: tuple[str, ...]

    @property
    def description(self) -> str:
        """The scene in words, for those who cannot see the image."""
        objects = ", ".join(map(name_of, self.scene.objects))
        return f"{len(self.scene.objects)} objects: {objects}"


@cache
def load_examples() -> tuple[Example, ...]:
    """The images of `data/clevr-mini` val in their order. Raises InputError where they are not installed."""
    root = shipped(FOLDER)
    questions = read_questions(questions_path(root, SPLIT))
    examples = []
    for index, (name, scene) in enumerate(read_scenes(scenes_path(root, SPLIT)).items()):
        fitting = [question for question in questions if question.image_filename == name]
        texts = tuple(question.question for question in fitting)
        chosen = one_of_each([*fitting, *questions_about(scene)])
        examples.append(Example(index, IMAGES / name, scene, chosen, texts))
    return tuple(examples)


def known_example(image: Image.Image) -> Example | None:
    """The example that an image is, recognized by its pixels; None for any other image."""
    known = _pixels()
    return (
        known.get(image.tobytes()) if any(image.width * image.height * 3 == len(pixels) for pixels in known) else None
    )


def all_questions() -> list[str]:
    """The questions of `data/clevr-mini`, of all its splits."""
    root = shipped(FOLDER)
    return [item.question for split in list_splits(root) for item in iter_questions(questions_path(root, split))]


def true_answer(question: str, scene: Scene) -> tuple[str | None, str]:
    """What the question's program yields on the scene, or None and why it yields nothing.

    It reads what the model reads: CLEVR's language, and what can be said in it.
    """
    try:
        try:
            program = parse_question(question)
        except InputError:
            program = parse_question(restate(question))
        return answer_string(execute(program, scene)[-1]), ""
    except IllPosedError as error:
        return None, f"No answer: the question means {error}."
    except InputError as error:
        return None, f"Not known: {error}"


@cache
def _pixels() -> dict[bytes, Example]:
    return {load_image(example.path).tobytes(): example for example in load_examples()}
