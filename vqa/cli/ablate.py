"""`vqa ablate`: train variants on equally many training questions and compare them.

Train variants of a model, each in a process of its own, on equally many training questions, and compare their accuracy
by type, cost and learning curves. A killed run resumes when run again; finished cells with the same options are reused;
several commands may share a folder.
"""

import argparse
import sys

from vqa.cli.arguments import add_list
from vqa.cli.train import training_arguments
from vqa.training.options import TrainingOptions
from vqa.utils.options import add_options

_WITHOUT = (
    *("preset", "overrides", "init", "resume", "epochs", "max_minutes", "seed"),
    *("save_minutes", "evaluate_minutes", "log_every", "trackers"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    variants = parser.add_argument_group("variants")
    add_list(
        variants,
        "--presets",
        "PRESET[key=value,...]*SEEDS",
        "such as 'film-base*3,film-qcse*3,film-qcse[reduction=4]'; a key is one of --set's, a training option "
        "(supervision=answers, learning_rate=...), or loss.NAME; the others are compared with the first",
        required=True,
    )
    variants.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="of variants without a number of their own (default: 1)"
    )
    add_list(variants, "--set", "key=value", "change all variants, as in width=32", dest="overrides", default=[])
    test = parser.add_argument_group("test")
    test.add_argument("--test-data", metavar="DIR", help="where the test questions are (default: --data)")
    test.add_argument("--test-split", default="val", metavar="SPLIT", help="split to compare on (default: val)")
    test.add_argument("--test-questions", metavar="FILE", help="another question file over its images")
    add_options(
        parser,
        TrainingOptions,
        without=_WITHOUT,
        required=("training_questions",),
        defaults={"out": "runs/ablation"},
        helps={
            "out": "folder of cells and report",
            "training_questions": "training questions for each cell, repeats counted",
            "evaluate_every": "measure held-out accuracy every N of them (default: a thirtieth)",
        },
    )


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from vqa.ablation.report import format_report
    from vqa.ablation.run import ablate
    from vqa.ablation.variants import parse_variants
    from vqa.evaluation.evaluate import EvaluationSet

    variants = parse_variants(args.presets, args.seeds, args.overrides)
    shared = training_arguments(args)
    for own in ("out", "overrides"):
        del shared[own]
    test = EvaluationSet(args.test_data or args.data, args.test_split, args.test_questions)
    report, failed = ablate(variants, Path(args.out), test, args.typed, **shared)
    print(format_report(report))
    for name in failed:
        print(f"vqa: {name} failed; see above", file=sys.stderr)
    return int(bool(report.unfinished))
