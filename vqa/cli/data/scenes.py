"""`vqa data scenes`: sample scene graphs without rendering them."""

import argparse

from vqa.cli.data.scene_options import add_scene_options, scene_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_scene_options(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="scene file to write, in CLEVR's format")


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.image_generation.render_images import write_sampled_scenes

    written = write_sampled_scenes(args.out, scene_source(args), args.num)
    print(f"{args.out}: {written} scenes")
