"""`vqa data scenes`: sample scene graphs without rendering them."""

import argparse

from vqa.cli.data.scene_options import add_scene_options, scene_source


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data scenes`."""
    parser = actions.add_parser("scenes", help="sample scene graphs without rendering them")
    add_scene_options(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="scene file to write, in CLEVR's format")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from vqa.clevr.image_generation.render_images import write_sampled_scenes

    written = write_sampled_scenes(args.out, scene_source(args), args.num)
    print(f"{args.out}: {written} scenes")
