"""`vqa explain ask`: draw what is behind one answer."""

import argparse

from vqa.cli.arguments import add_model, load_model


def register(actions: argparse._SubParsersAction) -> None:
    """Add `explain ask`."""
    parser = actions.add_parser(
        "ask",
        help="draw what is behind one answer",
        description="Answer one question about one image and draw why: the places and words that each block used, "
        "its channels' weights, the evidence of the answer, Grad-CAM for comparison, and, where the image's scene is "
        "known, the objects that the question refers to.",
    )
    parser.add_argument("image", metavar="IMAGE", help="image file")
    parser.add_argument("question", metavar="QUESTION", help='for example "What color is the cube left of the sphere?"')
    parser.add_argument("--out", metavar="FILE", required=True, help="to write; a .png, a .html page, or .json numbers")
    parser.add_argument("--scenes", metavar="FILE", help="CLEVR scene file with this image, by its file name")
    add_model(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from vqa.clevr.annotations import read_scenes
    from vqa.errors import InputError
    from vqa.evaluation.evaluate import check_writable
    from vqa.utils.files import atomic_write
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

    import orjson

    from vqa.explain.explanation import explain
    from vqa.explain.explanation_html import html_explanation
    from vqa.explain.explanation_png import png_explanation
    from vqa.inference.answerer import VisualQuestionAnswerer

    explanation = explain(VisualQuestionAnswerer(*load_model(args)), image, args.question, scene)
    with atomic_write(args.out) as file:
        if kind == ".png":
            file.write(png_explanation(explanation))
        elif kind == ".html":
            file.write(html_explanation(explanation).encode())
        else:
            file.write(orjson.dumps(explanation.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
    print(f"{explanation.answer.answer} ({explanation.answer.confidence:.1%}); {args.out}")
