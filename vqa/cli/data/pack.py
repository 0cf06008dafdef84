"""`vqa data pack`: put a split in one memory-mapped file."""

import argparse

from vqa.cli.arguments import add_columns


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data pack`."""
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
    add_columns(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.loading import pack_data
    from vqa.utils.images import parse_size

    pack = pack_data(
        args.data, args.out, parse_size(args.size), args.split, questions=args.questions, columns=args.columns
    )
    print(f"{args.out}: {pack}")
