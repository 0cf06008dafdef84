"""`vqa data merge`: make one split of several."""

import argparse


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data merge`."""
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
    parser.add_argument(
        "--questions", nargs="+", action="extend", default=[], metavar="FILE", help="other question files, one a split"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.derived_splits import merge_splits
    from vqa.errors import InputError

    sources = [(root, split) for root, _, split in (source.rpartition(":") for source in args.sources)]
    if lacking := [source for source, (root, _) in zip(args.sources, sources, strict=True) if not root]:
        raise InputError(f"{lacking[0]!r:.80}: expected DIR:SPLIT, such as data/clevr-mini:val")
    scenes, questions = merge_splits(sources, args.out, args.split, args.questions)
    print(f"{args.out}: split {args.split} of {scenes:,} scenes and {questions:,} questions")
