"""`vqa benchmark speedrun`: minutes from nothing to an accuracy, with the shipped recipe.

Train film-qcse by the recipe of the shipped weights until it answers a share of the questions of another split, and
print the minutes, the seeds and the machine. The schedule is fitted into --max-minutes, so that a slower machine needs
more of them.
"""

import argparse
from pathlib import Path

from vqa.cli.arguments import add_number
from vqa.cli.train import training_arguments
from vqa.training.options import SHIPPED, TrainingOptions
from vqa.utils.options import add_options

_WITHOUT = (
    *("out", "seed", "resume", "init", "encoders", "text_encoders", "freeze_encoders"),
    *("split_protocol", "trackers", "evaluate_every"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_number(parser, "--target", 0.0, 100.0, "accuracy", default=97.0, metavar="PERCENT")
    add("--on", default="val", metavar="SPLIT", help="split of --data to reach it on (default: val)")
    add_number(parser, "--seeds", 0, 2**32 - 1, "a run each (default: 0)", nargs="+", default=[0])
    add("--out", default="runs/speedrun", metavar="DIR", help="folder of the runs (default: runs/speedrun)")
    defaults = SHIPPED | {"evaluate_minutes": 1.0, "save_minutes": 100.0}
    add_options(parser, TrainingOptions, without=_WITHOUT, defaults=defaults)


def run(args: argparse.Namespace) -> None:
    from vqa.benchmarks.speedrun import format_speedrun, speedrun
    from vqa.evaluation.evaluate import EvaluationSet, open_table
    from vqa.training.runtime import processes

    questions = open_table(EvaluationSet(args.data, args.on, columns=args.columns))
    given = SHIPPED | {name: value for name, value in training_arguments(args).items() if value not in (None, [])}
    given = {name: value for name, value in given.items() if name not in ("out", "seed")}
    attempts = []
    for seed in args.seeds:
        options = TrainingOptions(**given, seed=seed, out=str(Path(args.out, f"seed-{seed}")))
        attempts.append(speedrun(options, questions, args.target / 100, args.typed))
    if processes().is_main_process:
        print(format_speedrun(attempts, args.target / 100))
