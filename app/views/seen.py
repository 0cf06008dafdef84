"""The scene that the model sees, as HTML: its objects outlined over the image, and listed beside the true ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from app.views.render import render
from vqa import Answer
from vqa.clevr.image_generation.camera import PIXEL_FRAME
from vqa.clevr.scenes import Scene, SceneObject
from vqa.evaluation.second_reading import match_objects
from vqa.explain.object_regions import discs_of


@dataclass(frozen=True)
class Frame:
    """An image's outlines: its height where its width is `PIXEL_FRAME`'s, and the marks of the objects seen."""

    height: float
    marks: list[dict[str, Any]]
    width: int = PIXEL_FRAME[0]


def outlines(
    answer: Answer | None, image: Image.Image, used: Iterable[int] = (), read: Iterable[int | None] = ()
) -> Frame:
    """Where the objects seen lie in the image; the question `used` some of them, and the answer is `read` from some."""
    height = PIXEL_FRAME[0] * image.height / image.width
    if answer is None or answer.scene is None:
        return Frame(height, [])
    used, read = set(used), set(read)
    seen, share = answer.scene.objects, answer.picture_box[2] - answer.picture_box[0]
    return Frame(
        height,
        [
            {
                "index": i,
                "name": name_of(item.as_object()),
                "sure": min(item.presence, *(float(values.max()) for values in item.attributes.values())),
                "x": item.center[0] * PIXEL_FRAME[0],
                "y": item.center[1] * height,
                "radius": (1.3 if item.value("shape") == "cube" else 1.12) * radius * PIXEL_FRAME[0] / share,
                "role": "read" if i in read else "used" if i in used else "",
            }
            for i, (item, radius) in enumerate(zip(seen, discs_of(answer.scene.scene)[:, 2].tolist(), strict=True))
        ],
    )


def seen_card(answer: Answer | None, image: Image.Image | None, truth: Scene | None = None) -> str:
    """The outlines that lie over the image of the tab "Ask", and the objects in a list; see `true_names`."""
    if image is None:
        return ""
    sets = (answer.attended if answer else None) or []
    frame = outlines(answer, image, {i for found in sets for i in found or ()}, (sets[-1] if sets else None) or ())
    names = [mark["name"] for mark in frame.marks]
    true, missed = true_names(answer, truth) if answer and truth else (names, [])
    wrong = sum(one != other for one, other in zip(names, true, strict=True)) + len(missed)
    return render("seen", frame=frame, true_names=true, missed=missed, wrong=wrong, known=truth is not None)


def true_names(answer: Answer, truth: Scene) -> tuple[list[str | None], list[str]]:
    """What each object seen truly is, None where nothing is there; and the true objects that are not seen."""
    names = [name_of(item) for item in truth.objects]
    if answer.scene is None or not all(item.pixel_coords for item in truth.objects):
        return [], names
    seen = answer.scene.scene
    pairs = {j: i for i, j in match_objects(truth, seen)}
    missed = [name for i, name in enumerate(names) if i not in pairs.values()]
    return [names[pairs[j]] if j in pairs else None for j in range(len(seen.objects))], missed


def name_of(item: SceneObject) -> str:
    """An object in words."""
    return f"{item.size} {item.color} {item.material} {item.shape}"
