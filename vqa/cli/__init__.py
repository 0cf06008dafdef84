"""The `vqa` command: one file a command, named as the command, which adds it in `register(subparsers)`."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from vqa.cli.renamed import rename_flags
from vqa.errors import InputError
from vqa.utils.notes import begin_notes

_DESCRIPTION = """\
Ask questions about CLEVR images, and see the channels that answer.

using a model
  ask          answer one question about one image
  scene        the objects that the model sees in an image
  app          the same in a web page

training and measuring
  train        train on a CLEVR folder
  finetune     fine-tune on another split, and see what is learned and what forgotten
  calibrate    honest confidences, and a warning for out-of-distribution inputs
  ablate       train variants on equally many questions and compare them
  evaluate     accuracy of a checkpoint or of a prediction file
  predict      write a model's answers to a file
  report       accuracy table from the reports beside a checkpoint
  explain      why an answer was given, what channels track, whether they matter
  benchmark    speed of training, asking and layers on this machine
  export       a checkpoint as ONNX

making and keeping data
  data         make, render, check, fetch, split and pack CLEVR-like datasets
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole argument parser of `vqa`; making it loads neither torch nor gradio, so that `--help` is quick."""
    from vqa.cli import (
        ablate,
        app,
        ask,
        benchmark,
        calibrate,
        data,
        evaluate,
        explain,
        export,
        finetune,
        predict,
        report,
        scene,
        train,
    )

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
    using = (ask, scene, app)
    training = (train, finetune, calibrate, ablate, evaluate, predict, report, explain, benchmark, export)
    for command in (*using, *training, data):
        command.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 issues found, 2 a mistake in the input, 130 interrupted."""
    begin_notes()
    try:
        words = rename_flags(sys.argv[1:] if argv is None else argv)
        args = build_parser().parse_args(words)
        args.argv = words
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
