"""The `vqa` command. Each module beside this one adds its subcommands in `register(subparsers)`."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from vqa.errors import InputError

_DESCRIPTION = """\
Ask questions about CLEVR images, and see the channels that answer.

using a model
  ask          answer one question about one image
  app          the same in a web page

training and measuring
  train        train on a CLEVR folder
  finetune     go on with another split, and see what is learned and what forgotten
  calibrate    honest confidences, and a warning for what the model does not know
  ablate       train variants on equal terms and compare them
  evaluate     accuracy of a checkpoint or of a prediction file
  predict      write a model's answers to a file
  report       accuracy table from the reports beside a checkpoint
  explain      what is behind an answer, what channels track, whether they matter
  benchmark    speed of training, asking and layers on this machine

making and keeping data
  data         make, render, check, fetch, split and pack CLEVR-like datasets
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole argument parser of `vqa`; importing it loads neither torch nor gradio."""
    from vqa.cli import ablate, app, ask, benchmark, calibrate, data, evaluate, explain, finetune, report, train

    parser = argparse.ArgumentParser(
        prog="vqa",
        usage="vqa COMMAND [options]",
        description=_DESCRIPTION,
        epilog="`vqa COMMAND --help` explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vqa {version('film-se-vqa')}")
    commands = parser.add_subparsers(
        prog="vqa", dest="command", metavar="COMMAND", required=True, help=argparse.SUPPRESS
    )
    ask.register(commands)
    app.register(commands)
    train.register(commands)
    finetune.register(commands)
    calibrate.register(commands)
    ablate.register(commands)
    evaluate.register(commands)
    report.register(commands)
    explain.register(commands)
    data.register(commands)
    benchmark.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 faults found, 2 a mistake in the input, 130 interrupted."""
    try:
        args = build_parser().parse_args(argv)
        return args.run(args) or 0
    except InputError as error:
        print(f"vqa: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vqa: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
