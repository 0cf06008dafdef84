"""`vqa data merge`: make one split of several, to train on more images.

Write several splits as one of a CLEVR folder; its images are links, its numbers new.
"""

import argparse

from vqa.cli.arguments import add_list
from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    folders = "folders in CLEVR's layout with a split of each, as in mine:train"
    add("sources", nargs="+", metavar="DIR:SPLIT", help=folders)
    add("--out", required=True, metavar="DIR", help="CLEVR folder that receives the split")
    add("--split", default="train", metavar="NAME", help="the new split's name (default: train)")
    add_list(parser, "--questions", "FILE", "other question files, one a split", default=[])


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.derived_splits import merge_splits

    sources = [(root, split) for root, _, split in (source.rpartition(":") for source in args.sources)]
    if lacking := [source for source, (root, _) in zip(args.sources, sources, strict=True) if not root]:
        raise InputError(f"{lacking[0]!r:.80}: expected DIR:SPLIT, such as data/clevr-mini:val")
    scenes, questions = merge_splits(sources, args.out, args.split, args.questions)
    print(f"{args.out}: split {args.split} of {scenes:,} scenes and {questions:,} questions")
