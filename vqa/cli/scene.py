"""`vqa scene`: the objects that the model sees in an image.

Print the objects that the model sees in an image, each with its place and how sure it is of it.
"""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.cli.arguments import add_model
from vqa.errors import InputError

if TYPE_CHECKING:
    from vqa.inference.predicted_scene import PredictedScene


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="image file")
    add_model(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print the scene as CLEVR's scene files have it")
    shown.add_argument("--out", metavar="PNG", help="draw the objects' numbers into a copy of the image")


def run(args: argparse.Namespace) -> None:
    from vqa.utils.images import load_image

    image = load_image(args.image)  # what is wrong with it is said before torch is loaded

    from vqa import load
    from vqa.inference.predicted_scene import draw, predict_scene
    from vqa.utils.files import atomic_write
    from vqa.utils.json_values import plain

    seen = predict_scene(load(args.checkpoint, args.device), image)
    if seen is None:
        raise InputError("--checkpoint: this model has no object attention, and so reads no scene")
    if seen.unfamiliar:
        print("vqa: warning: the image looks unlike those that the model was trained on", file=sys.stderr)
    if args.out:
        with atomic_write(args.out) as file:
            draw(image, seen).save(file, "PNG")
    print(json.dumps(plain(seen.to_json(), 5)) if args.json else scene_text(seen))


def scene_text(seen: "PredictedScene") -> str:
    """A line for each object."""
    lines = [f"{len(seen.objects)} objects" if len(seen.objects) != 1 else "1 object"]
    for number, item in enumerate(seen.objects, 1):
        words = "  ".join(f"{item.value(name):8} {item.attributes[name].max():4.0%}" for name in ATTRIBUTES)
        right, front = item.ground
        lines.append(f"{number:2}  {words}  there {item.presence:4.0%}  right {right:5.1f}  front {front:5.1f}")
    return "\n".join(lines)
