"""`vqa data ...`: make, render, check, fetch, split and pack CLEVR-like datasets."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vqa.clevr.image_generation.render_images import SceneSource


def register(commands: argparse._SubParsersAction) -> None:
    """Add `data` and its subcommands."""
    parser = commands.add_parser("data", help="make, render, check, fetch, split and pack datasets")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _register_make(actions)
    _register_scenes(actions)
    _register_render(actions)
    _register_questions(actions)
    _register_parse(actions)
    _register_download(actions)
    _register_check(actions)
    _register_split(actions)
    _register_merge(actions)
    _register_pack(actions)
    _register_export(actions)


def _register_make(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "make",
        help="make a whole dataset: scenes, images, questions",
        description="Sample scenes, render them with Blender and ask about them: a CLEVR-like dataset from nothing.",
    )
    _add_scene_options(parser)
    _add_render_options(parser)
    parser.add_argument("--per-image", type=int, default=10, metavar="N", help="questions an image (default: 10)")
    parser.set_defaults(run=_make)


def _make(args: argparse.Namespace) -> None:
    from vqa.clevr.image_generation.render_images import make_dataset
    from vqa.clevr.question_generation.families import load_templates

    source, settings = _render_options(args)
    templates = load_templates()
    questions = make_dataset(
        args.out,
        args.num,
        source,
        settings,
        templates,
        per_image=args.per_image,
        workers=args.workers,
        blender=args.blender,
    )
    print(f"{args.out}: {args.split}: {args.num} images, {questions} questions")


def _register_render(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "render",
        help="sample scenes and render them with Blender",
        description="Sample scenes and render them with Blender, in CLEVR's layout. After a stop the same command "
        "goes on.",
    )
    _add_scene_options(parser)
    _add_render_options(parser)
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="K/N",
        help="render only every N-th image from the K-th (several machines); a last run without it writes the scenes",
    )
    parser.set_defaults(run=_render)


def _render(args: argparse.Namespace) -> None:
    import re

    from vqa.clevr.image_generation.render_images import render_dataset
    from vqa.errors import InputError

    shard = re.fullmatch(r"(\d{1,6})/(\d{1,6})", args.shard)
    if not shard:
        raise InputError(f"--shard {args.shard}: expected K/N, such as 1/4")
    source, settings = _render_options(args)
    made = render_dataset(
        args.out,
        args.num,
        source,
        settings,
        workers=args.workers,
        blender=args.blender,
        shard=(int(shard[1]), int(shard[2])),
    )
    print(f"{args.out}: {args.split}: {made} images rendered")


def _add_scene_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num", type=int, required=True, metavar="N", help="images 0 to N - 1")
    parser.add_argument("--split", default="train", help="default: train")
    parser.add_argument(
        "--condition",
        choices=["none", "cogent-a", "cogent-b"],
        default="none",
        help="colors that cubes and cylinders may have (default: none, all)",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same scenes (default: 0)")
    parser.add_argument("--objects", metavar="LOW-HIGH", default="3-10", help="objects of a scene (default: 3-10)")
    parser.add_argument(
        "--half-hidden", action="store_true", help="every scene has an object of which less than half is visible"
    )


def _scene_source(args: argparse.Namespace, image_format: str = "png") -> "SceneSource":
    from vqa.clevr.image_generation.render_images import SceneSource, parse_object_range

    objects = parse_object_range(args.objects)
    return SceneSource(args.seed, args.split, args.condition, image_format, objects, args.half_hidden)


def _add_render_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for images/, scenes/ and questions/")
    parser.add_argument("--width", type=int, metavar="PIXELS", help="default: 240")
    parser.add_argument("--height", type=int, metavar="PIXELS", help="two thirds of the width")
    parser.add_argument("--samples", type=int, metavar="N", help="Cycles samples (default: 8, from 480 wide on 16)")
    parser.add_argument("--format", choices=["png", "jpg"], default="png", help="default: png")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="Blender processes (default: 2)")
    parser.add_argument("--blender", metavar="PATH", help="an installed Blender (default: bpy, which uv fetches)")


def _render_options(args: argparse.Namespace) -> tuple:
    from vqa.clevr.image_generation.blender import RenderSettings

    width = args.width if args.width is not None else 240 if args.height is None else args.height * 3 // 2
    height = args.height if args.height is not None else width * 2 // 3
    settings = RenderSettings(width, height, args.samples)
    return _scene_source(args, args.format), settings


def _register_scenes(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser("scenes", help="sample scene graphs without rendering them")
    _add_scene_options(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="scene file to write, in CLEVR's format")
    parser.set_defaults(run=_scenes)


def _scenes(args: argparse.Namespace) -> None:
    from vqa.clevr.image_generation.render_images import write_sampled_scenes

    written = write_sampled_scenes(args.out, _scene_source(args), args.num)
    print(f"{args.out}: {written} scenes")


def _register_questions(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser("questions", help="make questions, answers and programs for a scene file")
    parser.add_argument("--scenes", required=True, metavar="FILE", help="CLEVR_SPLIT_scenes.json to ask about")
    parser.add_argument("--out", required=True, metavar="FILE", help="question file to write, in CLEVR's format")
    parser.add_argument("--templates", metavar="DIR", help="folder of template files (default: ours)")
    parser.add_argument(
        "--families",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="only these: a template file (one_hop), a family in it (one_hop:3), closure (default: CLEVR's 90)",
    )
    parser.add_argument("--per-image", type=int, default=10, metavar="N", help="questions an image (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same file (default: 0)")
    parser.set_defaults(run=_questions)


def _questions(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.clevr.question_generation.families import load_templates
    from vqa.clevr.question_generation.generate_questions import make_question_file

    templates = load_templates(args.templates, args.families)
    bar = tqdm(desc="questions", unit=" images")
    with bar:
        written = make_question_file(args.scenes, args.out, templates, args.per_image, args.seed, on_scene=bar.update)
    print(f"{args.out}: {written} questions on {bar.n} images from {len(templates)} families")


def _register_parse(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser("parse", help="show the program that a question in CLEVR's wording means")
    parser.add_argument("question", help='for example "What color is the cube left of the big sphere?"')
    parser.add_argument("--json", action="store_true", help="print the program as CLEVR's files store it")
    parser.set_defaults(run=_parse)


def _parse(args: argparse.Namespace) -> None:
    import json

    from vqa.clevr.language.parser import parse_question

    program = parse_question(args.question)
    if args.json:
        print(json.dumps([step.to_json() for step in program]))
        return
    for i, step in enumerate(program):
        reads = f"  <- {', '.join(map(str, step.inputs))}" if step.inputs else ""
        print(f"{i:2}  {step.function}{f' {step.value}' if step.value else ''}{reads}")


def _register_download(actions: argparse._SubParsersAction) -> None:
    names = ["clevr", "cogent", "closure", "clevr-humans"]
    parser = actions.add_parser(
        "download",
        help="fetch, verify and unpack a public archive",
        description="Fetch, verify and unpack public archives. An interrupted download goes on where it stopped.",
    )
    parser.add_argument("name", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--out", default="data", metavar="DIR", help="folder that receives them (default: data)")
    parser.add_argument(
        "--from", dest="source", metavar="URL|FILE", help="a mirror, or an archive that is already here (one NAME only)"
    )
    parser.add_argument("--keep-archive", action="store_true", help="leave the zip beside the unpacked folder")
    parser.set_defaults(run=_download)


def _download(args: argparse.Namespace) -> None:
    import sys
    from pathlib import Path

    from vqa.clevr.dataset.download import ARCHIVES, download
    from vqa.errors import InputError

    if args.source and len(args.name) > 1:
        raise InputError("--from is one archive: give one NAME with it")
    for name in args.name:
        folder = download(
            ARCHIVES[name],
            Path(args.out),
            source=args.source,
            keep=args.keep_archive,
            report=lambda message: print(message, file=sys.stderr),
        )
        print(folder)


def _register_pack(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "pack",
        help="put one split's images, questions and scenes in one memory-mapped file",
        description="Pack one split for fast training on machines that have neither gradio nor datasets.",
    )
    parser.add_argument("data", metavar="DIR", help="CLEVR folder, exported folder or hub name")
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write; `vqa train --data FILE` reads it")
    parser.add_argument("--size", default="160x240", metavar="HxW", help="height x width in pixels (default: 160x240)")
    parser.add_argument("--split", default="train", help="default: train")
    parser.add_argument("--questions", metavar="FILE", help="another question file over the same images")
    parser.set_defaults(run=_pack)


def _pack(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.loading import pack_data
    from vqa.utils.images import parse_size

    pack = pack_data(args.data, args.out, parse_size(args.size), args.split, questions=args.questions)
    print(f"{args.out}: {pack}")


def _register_export(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "export",
        help="write parquet with a dataset card, for datasets.load_dataset and the hub",
        description="Write a folder of parquet files, images inside, with a dataset card; `--data` reads it back.",
    )
    parser.add_argument("data", metavar="DIR", help="CLEVR folder")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--split", nargs="+", action="extend", help="splits to export (default: all with questions)")
    parser.add_argument("--title", help="title of the dataset card (default: the folder's name)")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.loading import export_data

    for split, images in export_data(args.data, args.out, args.split, title=args.title).items():
        print(f"{args.out}: {split}: {images} images")


def _register_check(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "check",
        help="verify a dataset: images, scenes, relations, conditions, every answer",
        description="Verify a dataset in CLEVR's layout. Exit status: 0 no faults (there may be notes), 1 faults.",
    )
    parser.add_argument("data", metavar="DIR", help="folder with images/, scenes/ and questions/")
    parser.add_argument("--split", nargs="+", action="extend", metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--questions", nargs="+", action="extend", default=[], metavar="FILE", help="more question files to check"
    )
    parser.add_argument(
        "--condition",
        choices=["none", "cogent-a", "cogent-b"],
        help="what all scenes must keep (default: what the scene file says, or a name such as trainA or valB)",
    )
    parser.add_argument("--no-images", "--no-pictures", action="store_true", help="leave the image files alone")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that open images (default: CPU cores)")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="faults of a kind to list (default: 20)")
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    from vqa.clevr.dataset.validate import check_dataset
    from vqa.clevr.dataset.validation_report import report_text

    report = check_dataset(
        args.data,
        splits=args.split,
        condition=args.condition,
        questions=args.questions,
        images=not args.no_images,
        workers=args.workers,
        limit=args.limit,
    )
    print(report_text(report))
    return 0 if report.clean else 1


def _register_split(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "split",
        help="select rows for a test of compositional generalisation",
        description="Count the parts of a split protocol, and with --out write them as splits of a CLEVR folder whose "
        "images are links. Training splits give the part `train`, others the test parts.",
    )
    parser.add_argument("data", metavar="DIR", help="folder in CLEVR's layout")
    parser.add_argument(
        "--protocol", required=True, metavar="NAME", help="cogent, size-depth, attribute-pairs, families or closure"
    )
    parser.add_argument("--split", nargs="+", action="extend", metavar="NAME", help="only these (default: all)")
    parser.add_argument("--part", nargs="+", action="extend", metavar="NAME", help="only these parts")
    parser.add_argument("--questions", metavar="FILE", help="another question file about the images of one --split")
    parser.add_argument("--out", metavar="DIR", help="CLEVR folder that receives the parts as SPLIT-PART")
    parser.add_argument("--objects", type=int, metavar="N", help="size-depth: scenes are small below N (default: 6)")
    parser.add_argument("--depth", type=int, metavar="N", help="size-depth: programs are shallow below N (default: 4)")
    parser.add_argument(
        "--pairs", nargs="+", action="extend", metavar="A:B", help="attribute-pairs: held-out pairs, as in red:cube"
    )
    parser.add_argument(
        "--families", nargs="+", action="extend", metavar="NAME", help="families: those held out, as in one_hop.json:3"
    )
    parser.add_argument("--share", type=float, metavar="X", help="families: share drawn without a list (default: 0.2)")
    parser.add_argument("--seed", type=int, metavar="N", help="families: seed of the draw (default: 0)")
    parser.set_defaults(run=_split)


def _split(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.derived_splits import select_rows, splits_of, write_selection
    from vqa.clevr.split_protocols import make_protocol
    from vqa.errors import InputError

    given = ("objects", "depth", "pairs", "families", "share", "seed")
    protocol = make_protocol(args.protocol, {name: getattr(args, name) for name in given})
    splits = splits_of(args.data, args.split)
    if args.questions and len(splits) > 1:
        raise InputError(f"--questions is about one split: choose with --split one of {', '.join(splits)}")
    print(f"{protocol.name}: {protocol.description}\nsource: {protocol.source}\n")
    print(f"{'split':24}{'images':>10}{'questions':>11}{'of all':>8}")
    for split in splits:
        for chosen in select_rows(args.data, protocol, split, args.part, args.questions):
            share = len(chosen.rows) / chosen.total
            print(f"{chosen.name:24}{len(chosen.images):>10,}{len(chosen.rows):>11,}{share:>8.1%}")
            if args.out and chosen.rows:
                print(f"  {write_selection(args.data, args.out, protocol, chosen, args.questions)}")


def _register_merge(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "merge",
        help="make one split of several, to train on more images",
        description="Write several splits as one of a CLEVR folder; its images are links, its numbers new.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="DIR:SPLIT",
        help="folders in CLEVR's layout with a split of each, as in mine:train",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="CLEVR folder that receives the split")
    parser.add_argument("--split", default="train", metavar="NAME", help="the new split's name (default: train)")
    parser.set_defaults(run=_merge)


def _merge(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.derived_splits import merge_splits
    from vqa.errors import InputError

    sources = [(root, split) for root, _, split in (source.rpartition(":") for source in args.sources)]
    if lacking := [source for source, (root, _) in zip(args.sources, sources, strict=True) if not root]:
        raise InputError(f"{lacking[0]!r:.80}: expected DIR:SPLIT, such as data/clevr-mini:val")
    scenes, questions = merge_splits(sources, args.out, args.split)
    print(f"{args.out}: split {args.split} of {scenes:,} scenes and {questions:,} questions")
