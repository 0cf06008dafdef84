"""`vqa benchmark speedrun`: minutes from nothing to an accuracy."""

import argparse
import shlex
import sys

from vqa.cli.arguments import check_range, check_seed
from vqa.cli.train import training_arguments
from vqa.training.options import SHIPPED, TrainingOptions
from vqa.utils.options import add_options

_WITHOUT = ("out", "seed", "resume", "init", "encoders", "split_protocol", "trackers", "evaluate_every")


def register(actions: argparse._SubParsersAction) -> None:
    """Add `benchmark speedrun`."""
    parser = actions.add_parser(
        "speedrun",
        help="minutes from nothing to an accuracy, with the shipped recipe",
        description="Train film-qcse by the recipe of the shipped weights until it answers a share of the questions "
        "of another split, and print the minutes, the seeds and the machine. The schedule is fitted into "
        "--max-minutes, so that a slower machine needs more of them.",
    )
    parser.add_argument("--target", type=float, default=97.0, metavar="PERCENT", help="accuracy (default: 97.0)")
    parser.add_argument("--on", default="val", metavar="SPLIT", help="split of --data to reach it on (default: val)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="a run each (default: 0)")
    parser.add_argument(
        "--out", default="runs/speedrun", metavar="DIR", help="folder of the runs (default: runs/speedrun)"
    )
    add_options(
        parser, TrainingOptions, without=_WITHOUT, defaults=SHIPPED | {"evaluate_minutes": 1.0, "save_minutes": 100.0}
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from transformers.utils.logging import disable_progress_bar

    from vqa.benchmarks.speedrun import format_speedrun, speedrun
    from vqa.evaluation.evaluate import EvaluationSet, open_table
    from vqa.training.runtime import processes

    disable_progress_bar()
    check_range("--target", args.target, 0, 100)
    for seed in args.seeds:
        check_seed(seed)
    questions = open_table(EvaluationSet(args.data, args.on, columns=args.columns))
    given = SHIPPED | {name: value for name, value in training_arguments(args).items() if value not in (None, [])}
    given = {name: value for name, value in given.items() if name not in ("out", "seed")}
    command, attempts = shlex.join(["vqa", *sys.argv[1:]]), []
    for seed in args.seeds:
        options = TrainingOptions(**given, seed=seed, out=str(Path(args.out, f"seed-{seed}")))
        attempts.append(speedrun(options, questions, args.target / 100, command))
    if processes().is_main_process:
        print(format_speedrun(attempts, args.target / 100))
