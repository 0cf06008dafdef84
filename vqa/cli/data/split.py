"""`vqa data split`: select rows for a test of compositional generalization.

Count the parts of a split protocol, and with --out write them as splits of a CLEVR folder whose images are links.
Training splits give the part `train`, others the test parts.
"""

import argparse

from vqa.cli.arguments import add_list
from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DIR", help="folder in CLEVR's layout")
    protocols = "cogent, size-depth, attribute-pairs, families or closure"
    add("--protocol", required=True, metavar="NAME", help=protocols)
    add_list(parser, "--split", "NAME", "only these (default: all)")
    add_list(parser, "--part", "NAME", "only these parts")
    add("--questions", metavar="FILE", help="another question file about the images of one --split")
    add("--out", metavar="DIR", help="CLEVR folder that receives the parts as SPLIT-PART")
    add("--objects", type=int, metavar="N", help="size-depth: scenes are small below N (default: 6)")
    add("--depth", type=int, metavar="N", help="size-depth: programs are shallow below N (default: 4)")
    add_list(parser, "--pairs", "A:B", "attribute-pairs: held-out pairs, as in red:cube")
    add_list(parser, "--families", "NAME", "families: those held out, as in one_hop.json:3")
    add("--share", type=float, metavar="X", help="families: share drawn without a list (default: 0.2)")
    add("--seed", type=int, metavar="N", help="families: seed of the draw (default: 0)")


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.annotations import choose_splits, list_splits
    from vqa.clevr.dataset.derived_splits import select_rows, write_selection
    from vqa.clevr.split_protocols import make_protocol

    given = ("objects", "depth", "pairs", "families", "share", "seed")
    protocol = make_protocol(args.protocol, {name: getattr(args, name) for name in given})
    splits = choose_splits(args.data, list_splits(args.data), args.split, "no questions/CLEVR_SPLIT_questions.json")
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
