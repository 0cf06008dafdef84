"""`vqa data bait`: add objects that meet all but one word of a question, and render them.

For questions about a split with scenes, add an object that meets all but one of the words of a filter, the true answer
unchanged, and render it. --score then tells how often answers follow the bait.
"""

import argparse

from vqa.cli.data.scene_options import add_render_options, render_arguments
from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", metavar="DIR", help="CLEVR folder whose questions to bait")
    add("--split", default="val", help="default: val")
    add("--num", type=int, default=1000, metavar="N", help="questions (default: 1000)")
    add("--seed", type=int, default=0, help="the same seed gives the same baits (default: 0)")
    files = "instead: score files by `vqa predict`, about --out and about --data"
    add("--score", nargs=2, metavar=("AFTER", "BEFORE"), help=files)
    add_render_options(parser)


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.image_generation.bait import make_baits, sample_baits, score_baits
    from vqa.utils.tables import text_table

    if args.score:
        print("\n".join(text_table(score_baits(args.out, *args.score))))
        return
    if not args.data:
        raise InputError("--data DIR: give the folder whose questions to bait")
    settings, more = render_arguments(args)
    baits = sample_baits(args.data, args.split, args.num, args.seed, args.format)
    make_baits(args.out, baits, args.split, settings, **more)
    print(f"{args.out}: {args.split}: {args.num} questions, each about an image with its bait")
