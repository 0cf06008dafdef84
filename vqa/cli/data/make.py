"""`vqa data make`: make a whole dataset: scenes, images, questions.

Sample scenes, render them with Blender and ask about them: a CLEVR-like dataset from nothing.
"""

import argparse

from vqa.cli.data.scene_options import add_render_options, add_scene_options, render_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_scene_options(parser)
    add_render_options(parser)
    parser.add_argument("--per-image", type=int, default=10, metavar="N", help="questions an image (default: 10)")


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.image_generation.render_images import make_dataset
    from vqa.clevr.question_generation.families import load_templates

    wanted, more = render_options(args)
    questions = make_dataset(*wanted, templates=load_templates(), per_image=args.per_image, **more)
    print(f"{args.out}: {args.split}: {args.num} images, {questions} questions")
