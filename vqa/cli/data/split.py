"""`vqa data split`: select the rows of a split protocol."""

import argparse


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data split`."""
    parser = actions.add_parser(
        "split",
        help="select rows for a test of compositional generalization",
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
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
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
