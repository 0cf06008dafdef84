"""`vqa data pack`: put one split's images, questions and scenes in one memory-mapped file.

Pack one split for fast training on machines that have neither gradio nor datasets.
"""

import argparse

from vqa.cli.arguments import add_reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DIR", help="CLEVR folder, exported folder or hub name")
    add("--out", required=True, metavar="FILE", help="file to write; `vqa train --data FILE` reads it")
    add("--size", default="160x240", metavar="HxW", help="height x width in pixels (default: 160x240)")
    add("--split", default="train", help="default: train")
    add_reading(parser, "questions", "columns")


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.loading import pack_data
    from vqa.utils.images import parse_size

    source = {"questions": args.questions, "columns": args.columns}
    pack = pack_data(args.data, args.out, parse_size(args.size), args.split, **source)
    print(f"{args.out}: {pack}")
