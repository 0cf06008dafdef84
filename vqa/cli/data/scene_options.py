"""Options that `vqa data make`, `render`, `scenes` and `bait` share."""

import argparse
from typing import TYPE_CHECKING, Any

from vqa.errors import InputError

if TYPE_CHECKING:
    from vqa.clevr.image_generation.blender import RenderSettings
    from vqa.clevr.image_generation.render_images import SceneSource


def add_scene_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the options that say which scenes."""
    add = parser.add_argument
    add("--num", type=int, required=required, metavar="N", help="number of images")
    add("--split", default="train", help="default: train")
    add(
        "--condition",
        choices=["none", "cogent-a", "cogent-b"],
        default="none",
        help="colors that cubes and cylinders may have (default: none, all)",
    )
    add("--seed", type=int, default=0, help="the same seed gives the same scenes (default: 0)")
    add("--objects", metavar="LOW-HIGH", default="3-10", help="objects of a scene (default: 3-10)")
    add("--half-hidden", action="store_true", help="every scene has an object of which less than half is visible")


def scene_source(args: argparse.Namespace, image_format: str = "png") -> "SceneSource":
    """The scenes that the options say."""
    from vqa.clevr.image_generation.render_images import SceneSource, parse_object_range

    objects = parse_object_range(args.objects)
    return SceneSource(args.seed, args.split, args.condition, image_format, objects, args.half_hidden)


def add_render_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how they are rendered."""
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="folder for images/, scenes/ and questions/")
    add("--width", type=int, metavar="PIXELS", help="default: 240")
    add("--height", type=int, metavar="PIXELS", help="two thirds of the width")
    add("--samples", type=int, metavar="N", help="Cycles samples (default: 8, from 480 wide on 16)")
    add("--format", choices=["png", "jpg"], default="png", help="default: png")
    add("--masks", action="store_true", help="render instance masks, too, into masks/")
    add("--workers", type=int, default=2, metavar="N", help="Blender processes (default: 2)")
    cluster = "render on a Dask cluster: local:N (worker processes) or tcp://HOST:PORT"
    add("--cluster", metavar="ADDRESS", help=cluster)
    add("--shared", action="store_true", help="with --cluster: its workers write into --out, which all of them see")
    add("--blender", metavar="PATH", help="an installed Blender (default: bpy, which uv fetches)")


def render_arguments(args: argparse.Namespace) -> tuple["RenderSettings", dict[str, Any]]:
    """The settings that the options say, and further arguments of `render_dataset`."""
    from vqa.clevr.image_generation.blender import RenderSettings

    width = args.width if args.width is not None else 240 if args.height is None else args.height * 3 // 2
    height = args.height if args.height is not None else width * 2 // 3
    more = {name: vars(args)[name] for name in ("workers", "blender", "masks", "cluster", "shared")}
    return RenderSettings(width, height, args.samples), more


def render_options(args: argparse.Namespace) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Out, num, scenes and settings that the options say, as `render_dataset` takes them, and its other arguments."""
    from vqa.clevr.image_generation.render_images import SceneFile

    settings, more = render_arguments(args)
    if not vars(args).get("scenes"):
        if args.num is None:
            raise InputError("give --num N, how many images, or --scenes FILE, whose scenes to render")
        return (args.out, args.num, scene_source(args, args.format), settings), more
    given = SceneFile.read(args.scenes)
    num = len(given.given) if args.num is None else args.num
    if num > len(given.given):
        raise InputError(f"--num {num}: {args.scenes} has {len(given.given)} scenes")
    return (args.out, num, given, settings), more
