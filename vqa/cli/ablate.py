"""`vqa ablate`."""

import argparse
import shlex
import sys

from vqa.cli.train import add_data, add_learning, parse_weights


def register(commands: argparse._SubParsersAction) -> None:
    """Add `ablate`."""
    parser = commands.add_parser(
        "ablate",
        help="train variants on equal question presentations and compare them",
        description="Train variants of a model, each in a process of its own, on equally many question presentations, "
        "and compare their accuracy by type, cost and learning curves. Killed, it goes on when run again; finished "
        "cells with the same options are used again; several commands may share an output folder.",
    )
    variants = parser.add_argument_group("variants")
    variants.add_argument(
        "--presets",
        required=True,
        nargs="+",
        action="extend",
        metavar="PRESET[key=value,...]*SEEDS",
        help="such as 'film-base*3,film-qcse*3,film-qcse[reduction=4]'; a key is one of --set's, a training option "
        "(supervision=answers, learning_rate=...), or loss.NAME; the first is what the others are compared with",
    )
    variants.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="of variants that do not say how many (default: 1)"
    )
    variants.add_argument(
        "--set",
        dest="overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="key=value",
        help="change all variants, as in width=32",
    )
    run = parser.add_argument_group("run")
    run.add_argument("--budget", type=int, required=True, metavar="N", help="question presentations for each cell")
    run.add_argument(
        "--evaluate-presentations",
        type=int,
        metavar="N",
        help="measure held-out accuracy after every N of them (default: a thirtieth of the budget)",
    )
    run.add_argument(
        "--output", default="runs/ablation", metavar="DIR", help="folder of cells and report (default: runs/ablation)"
    )
    run.add_argument("--test-data", metavar="DIR", help="where the test questions are (default: --data)")
    run.add_argument("--test-split", default="val", metavar="SPLIT", help="split to compare on (default: val)")
    run.add_argument("--test-questions", metavar="FILE", help="another question file over its images")
    add_data(parser)
    add_learning(parser)
    parser.set_defaults(run=_ablate)


def _ablate(args: argparse.Namespace) -> int:
    from pathlib import Path

    from transformers.utils.logging import disable_progress_bar

    from vqa.ablation.report import format_report
    from vqa.ablation.run import ablate
    from vqa.ablation.variants import parse_variants
    from vqa.evaluation.evaluate import EvaluationSet
    from vqa.training.options import TrainingOptions

    disable_progress_bar()
    variants = parse_variants(args.presets, args.seeds, args.overrides)
    shared = {name: value for name, value in vars(args).items() if name in TrainingOptions.names()}
    shared |= {"loss_weights": parse_weights(args.loss_weights), "max_presentations": args.budget}
    for own in ("output", "overrides"):
        del shared[own]
    report, failed = ablate(
        variants,
        Path(args.output),
        EvaluationSet(args.test_data or args.data, args.test_split, args.test_questions),
        shlex.join(["vqa", *sys.argv[1:]]),
        **shared,
    )
    print(format_report(report))
    for name in failed:
        print(f"vqa: {name} failed; see above", file=sys.stderr)
    return int(bool(report["unfinished"]))
