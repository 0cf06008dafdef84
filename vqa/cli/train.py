"""`vqa train`: train on a CLEVR folder, a packed file or an exported dataset.

Train on CLEVR. Ctrl-C saves the run; --resume continues it. Defaults are those of our presets; film has the paper's. On
several GPUs or hosts: `accelerate launch -m vqa train ...`.
"""

import argparse
import shlex
import sys
from pathlib import Path

from vqa.errors import InputError
from vqa.training.options import TrainingOptions
from vqa.utils.options import add_options

_DEFAULTS = {"out": "runs/film-qcse", "data": None}
_LENGTHS = {"epochs", "max_minutes", "training_questions"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, TrainingOptions, defaults=_DEFAULTS)
    parser.add_argument(
        "--plan",
        action="store_true",
        help="do not train: say what the run will need here (images, memory, cache, time) and what bounds it",
    )


def run(args: argparse.Namespace) -> None:
    from vqa.training.setup import build_trainer

    options = training_arguments(args)
    if args.resume and not args.init:
        options = _resumed_options(args, options)
    if options["data"] is None:
        raise InputError("--data: say what to train on, such as data/clevr-mini")
    if args.plan:
        from vqa.benchmarks.plan import plan

        print(plan(TrainingOptions(**options)))
        return
    trainer = build_trainer(TrainingOptions(**options), args.typed)
    try:
        folder = trainer.run()
    except KeyboardInterrupt:
        if trainer.accelerator.is_main_process:
            print(f"vqa: saved; continue with: {_resuming(args.argv)}", file=sys.stderr)
        raise
    if trainer.accelerator.is_main_process:
        held = f"held-out accuracy {trainer.progress.best:.2%}" if len(trainer.data.held_out) else "trained"
        print(f"{folder}: {held} after {trainer.progress.questions_seen:,} training questions")


def training_arguments(args: argparse.Namespace) -> dict:
    """The arguments that are fields of `TrainingOptions`. Raises InputError for a --loss-weight that is not a pair."""
    given = {name: value for name, value in vars(args).items() if name in TrainingOptions.names()}
    weights = {}
    for pair in args.loss_weights:
        name, _, value = pair.partition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            raise InputError(f"--loss-weight {pair}: expected name=number") from None
    return given | {"loss_weights": weights}


def _resumed_options(args: argparse.Namespace, options: dict) -> dict:
    """The options given, and for those left out the ones of the run in --out. Raises InputError."""
    from vqa.training.checkpointing import saved_settings

    saved = saved_settings(Path(args.out))
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser, TrainingOptions, defaults=_DEFAULTS)
    left_out = argparse.Namespace(**dict.fromkeys(TrainingOptions.names()))
    found = vars(parser.parse_known_args(args.argv[1:], left_out)[0])
    given = {name for name, value in found.items() if value is not None}
    if given & _LENGTHS:
        given |= _LENGTHS
    return options | {name: value for name, value in saved.items() if name not in given | {"out"}}


def _resuming(argv: list[str]) -> str:
    """The command that resumes the run which a command began."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--init")
    parser.add_argument("--resume", action="store_true")
    return shlex.join(["vqa", *parser.parse_known_args(argv)[1], "--resume"])
