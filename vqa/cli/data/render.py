"""`vqa data render`: sample scenes and render them with Blender."""

import argparse

from vqa.cli.data.scene_options import add_render_options, add_scene_options, render_options


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data render`."""
    parser = actions.add_parser(
        "render",
        help="render sampled or given scenes with Blender",
        description="Sample scenes, or take those of a file, and render them with Blender, in CLEVR's layout. "
        "After a stop the same command resumes.",
    )
    add_scene_options(parser, required=False)
    parser.add_argument("--scenes", metavar="FILE", help="render the scenes of this file (default: sampled ones)")
    add_render_options(parser)
    parser.add_argument("--no-images", action="store_true", help="with --masks: render masks alone")
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="K/N",
        help="render only every N-th image from the K-th (several machines); a last run without it writes the scenes",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import re

    from vqa.clevr.image_generation.render_images import render_dataset
    from vqa.errors import InputError

    shard = re.fullmatch(r"(\d{1,6})/(\d{1,6})", args.shard)
    if not shard:
        raise InputError(f"--shard {args.shard}: expected K/N, such as 1/4")
    wanted, more = render_options(args)
    made = render_dataset(*wanted, **more, shard=(int(shard[1]), int(shard[2])), images=not args.no_images)
    print(f"{args.out}: {wanted[2].split}: {made} images rendered")
