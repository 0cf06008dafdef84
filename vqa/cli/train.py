"""`vqa train`: train a model on a CLEVR folder."""

import argparse
import shlex
import sys

from vqa.training.options import TrainingOptions
from vqa.utils.options import add_options


def register(commands: argparse._SubParsersAction) -> None:
    """Add `train`."""
    parser = commands.add_parser(
        "train",
        help="train a model on a CLEVR folder, a packed file or an exported dataset",
        description="Train on CLEVR. Ctrl-C saves the run; --resume continues it. Defaults are those of our presets; "
        "film has the paper's. On several GPUs or hosts: `accelerate launch -m vqa train ...`.",
    )
    add_options(parser, TrainingOptions, defaults={"out": "runs/film-qcse"})
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from transformers.utils.logging import disable_progress_bar

    from vqa.training.setup import build_trainer

    disable_progress_bar()
    trainer = build_trainer(TrainingOptions(**training_arguments(args)), shlex.join(["vqa", *sys.argv[1:]]))
    try:
        folder = trainer.run()
    except KeyboardInterrupt:
        if trainer.accelerator.is_main_process:
            print(f"vqa: saved; continue with: {_resuming(sys.argv[1:])}", file=sys.stderr)
        raise
    if trainer.accelerator.is_main_process:
        held = f"held-out accuracy {trainer.progress.best:.2%}" if len(trainer.data.held_out) else "trained"
        print(f"{folder}: {held} after {trainer.progress.questions_seen:,} training questions")


def training_arguments(args: argparse.Namespace) -> dict:
    """The arguments that are fields of `TrainingOptions`. Raises InputError for a --loss-weight that is not a pair."""
    from vqa.errors import InputError

    given = {name: value for name, value in vars(args).items() if name in TrainingOptions.names()}
    weights = {}
    for pair in args.loss_weights:
        name, _, value = pair.partition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            raise InputError(f"--loss-weight {pair}: expected name=number") from None
    return given | {"loss_weights": weights}


def _resuming(argv: list[str]) -> str:
    """The command that resumes the run which a command began."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--init")
    parser.add_argument("--resume", action="store_true")
    return shlex.join(["vqa", *parser.parse_known_args(argv)[1], "--resume"])
