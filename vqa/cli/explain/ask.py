"""`vqa explain ask`: draw what is behind one answer.

Answer one question about one image and draw why: the places and words that each block used, its channels' weights, the
evidence of the answer, Grad-CAM for comparison, and, where the image's scene is known, the objects that the question
refers to.
"""

import argparse
from pathlib import Path

from vqa.cli.arguments import add_model, add_question
from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_question(parser)
    parser.add_argument("--out", metavar="FILE", required=True, help="to write; a .png, a .html page, or .json numbers")
    parser.add_argument("--scenes", metavar="FILE", help="CLEVR scene file with this image, by its file name")
    add_model(parser)


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.annotations import read_scenes
    from vqa.evaluation.evaluate import check_writable
    from vqa.utils.files import write_file, write_json
    from vqa.utils.images import load_image

    kind = Path(args.out).suffix.lower()
    if kind not in (".png", ".html", ".json"):
        raise InputError(f"--out {args.out}: must end in .png, .html or .json")
    check_writable(args.out)
    image = load_image(args.image)
    scene = None
    if args.scenes:
        name = Path(args.image).name
        scene = read_scenes(args.scenes).get(name)
        if scene is None:
            raise InputError(f"{args.scenes}: has no scene of {name!r}; leave --scenes out, or give this image's")

    from vqa.explain.explanation import explain
    from vqa.explain.explanation_html import html_explanation
    from vqa.explain.explanation_png import png_explanation
    from vqa.inference.answerer import load

    explanation = explain(load(args.checkpoint, args.device), image, args.question, scene)
    if kind == ".json":
        write_json(args.out, explanation.to_json())
    else:
        page = png_explanation(explanation) if kind == ".png" else html_explanation(explanation).encode()
        write_file(args.out, page)
    print(f"{explanation.answer.answer} ({explanation.answer.confidence:.1%}); {args.out}")
