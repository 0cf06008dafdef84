"""`vqa data render`: render sampled or given scenes with Blender.

Sample scenes, or take those of a file, and render them with Blender, in CLEVR's layout. After a stop the same command
resumes.
"""

import argparse
import re

from vqa.cli.data.scene_options import add_render_options, add_scene_options, render_options
from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_scene_options(parser, required=False)
    parser.add_argument("--scenes", metavar="FILE", help="render the scenes of this file (default: sampled ones)")
    add_render_options(parser)
    parser.add_argument("--no-images", action="store_true", help="with --masks: render masks alone")
    share = "render only every N-th image from the K-th (several machines); a last run without it writes the scenes"
    parser.add_argument("--shard", default="1/1", metavar="K/N", help=share)


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.image_generation.render_images import render_dataset

    shard = re.fullmatch(r"(\d{1,6})/(\d{1,6})", args.shard)
    if not shard:
        raise InputError(f"--shard {args.shard}: expected K/N, such as 1/4")
    wanted, more = render_options(args)
    made = render_dataset(*wanted, **more, shard=(int(shard[1]), int(shard[2])), images=not args.no_images)
    print(f"{args.out}: {wanted[2].split}: {made} images rendered")
