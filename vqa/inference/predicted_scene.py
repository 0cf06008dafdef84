"""The scene that a model reads from an image, as CLEVR writes scenes, so that fitting questions can be made."""

import numpy as np
import torch

from vqa.clevr.scenes import DIRECTIONS, Scene, SceneObject, compute_relationships
from vqa.clevr.vocabulary import ATTRIBUTES, MAX_OBJECTS
from vqa.inference.answerer import VisualQuestionAnswerer
from vqa.model.processing import ImageLike, encode_pixels
from vqa.model.scene import ATTRIBUTE_SIZES, POSITION_SCALE, SceneMaps


def read_scene(answerer: VisualQuestionAnswerer, image: ImageLike, threshold: float = 0.5) -> Scene | None:
    """The objects that the model takes an image to hold, up to ten; None for a model without object attention.

    An object is a cell whose objectness is the highest among its neighbours' and at least `threshold`; its attributes
    and ground position are those read there, and relations follow from the positions. Raises InputError for what is not
    a sound image.
    """
    if answerer.model.scene is None:
        return None
    pixels = answerer.processor.image_processor.to_array(image)
    with torch.inference_mode():
        features = encode_pixels(answerer.model, answerer.processor, pixels[None])
        return scene_of(answerer.model.scene(features), threshold)


def scene_of(maps: SceneMaps, threshold: float = 0.5) -> Scene:
    """The scene in the readings of one image (N = 1); see `read_scene`."""
    presence = maps.objectness[0].float().sigmoid()
    highest = torch.nn.functional.max_pool2d(presence[None], 3, stride=1, padding=1)[0]
    cells = ((presence == highest) & (presence >= threshold)).nonzero()
    cells = cells[presence[tuple(cells.T)].argsort(descending=True)][:MAX_OBJECTS]
    towards = np.array([DIRECTIONS["right"], DIRECTIONS["front"]])
    objects = []
    for row, column in cells.tolist():
        logits = maps.attributes[0, :, row, column].float().split(ATTRIBUTE_SIZES)
        values = {
            name: values[int(part.argmax())] for (name, values), part in zip(ATTRIBUTES.items(), logits, strict=True)
        }
        x, y, z = (POSITION_SCALE * maps.position[0, :, row, column].float().cpu().numpy() @ towards).tolist()
        objects.append(SceneObject(values["shape"], values["color"], values["size"], values["material"], (x, y, z)))
    return Scene(tuple(objects), compute_relationships(objects))
