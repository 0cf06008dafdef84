"""`vqa evaluate --suite compositional`."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqa.evaluation.evaluating import Running

_FLAGS = ("closure", "humans", "axes")
_FOREIGN = ("predictions", "questions", "by", "perturb")


def add_suite(parser: argparse.ArgumentParser) -> None:
    """Add the options of the suite to those of `vqa evaluate`."""
    suite = parser.add_argument_group("suite")
    suite.add_argument(
        "--suite",
        choices=["compositional"],
        help="instead: how models generalise to new compositions. Of one --data and --split (default: val): CoGenT "
        "(valA and valB, or the split's pictures of either condition), scene size x program depth, held-out attribute "
        "pairs and question families, CLOSURE and CLEVR-Humans; one gap for each",
    )
    suite.add_argument(
        "--closure",
        nargs="+",
        action="extend",
        metavar="DIR|FILE",
        help="CLOSURE's question files over the split's pictures (default: such questions made on its scenes)",
    )
    suite.add_argument("--humans", metavar="FILE", help="CLEVR-Humans' questions over the split's pictures")
    suite.add_argument(
        "--axes",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="only these: cogent, size-depth, attribute-pairs, families, closure, humans",
    )


def refuse_suite_flags(args: argparse.Namespace) -> None:
    """Raises InputError for options that mean nothing without --suite."""
    from vqa.errors import InputError

    if given := [name for name in _FLAGS if getattr(args, name)]:
        raise InputError(f"--{given[0]}: belongs to --suite compositional; give that too")


def run_suite(args: argparse.Namespace, running: "Running", command: str) -> dict[str, Any]:
    """The report of `vqa evaluate --suite compositional`. Raises InputError."""
    from vqa.errors import InputError
    from vqa.evaluation.suite import Suite, evaluate_suite

    if foreign := [name for name in _FOREIGN if getattr(args, name)]:
        raise InputError(f"--{foreign[0]}: not with --suite, which divides the questions itself; leave it out")
    for name in ("data", "split"):
        if len(getattr(args, name) or [""]) > 1:
            raise InputError(f"--{name}: --suite takes one; run it once for each")
    suite = Suite(args.data[0], (args.split or ["val"])[0], args.closure or (), args.humans, args.axes or ())
    checkpoints = args.checkpoint or [None]
    return evaluate_suite(suite, checkpoints, running=running, samples=args.samples, seed=args.seed, command=command)
