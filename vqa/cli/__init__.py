"""The `vqa` command: one file a command, named as the command.

Its docstring is the command's help: after the colon the line in the list of commands, below it the explanation. It adds
its flags in `add_arguments` and does its work in `run`, where alone it imports what is slow to load. A package is a
command with subcommands, those of its `COMMANDS`.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from vqa.cli.renamed import rename_flags
from vqa.errors import InputError
from vqa.utils.notes import begin_notes

COMMANDS = {
    "using a model": ("ask", "scene", "app"),
    "training and measuring": (
        *("train", "finetune", "calibrate", "ablate", "evaluate", "predict", "report", "explain", "benchmark"),
        "export",
    ),
    "making and keeping data": ("data",),
}
"""Heading of `vqa --help` -> its commands."""


def build_parser() -> argparse.ArgumentParser:
    """The whole argument parser of `vqa`; making it loads neither torch nor gradio, so that `--help` is quick."""
    parser = argparse.ArgumentParser(
        prog="vqa",
        usage="vqa COMMAND [options]",
        epilog="`vqa COMMAND --help` explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vqa {version('film-se-vqa')}")
    commands = parser.add_subparsers(
        prog="vqa", dest="command", metavar="COMMAND", required=True, help=argparse.SUPPRESS
    )
    lines = ["Ask questions about CLEVR images, and see the channels that answer."]
    for heading, names in COMMANDS.items():
        lines += ["", heading, *(f"  {name:12} {_add_command(commands, f'vqa.cli.{name}')}" for name in names)]
    parser.description = "\n".join(lines)
    return parser


def _add_command(commands: argparse._SubParsersAction, module_name: str) -> str:
    """Add the command of a module, or of a package with its subcommands; returns its line of help."""
    module = import_module(module_name)
    title, _, text = (module.__doc__ or "").partition("\n\n")
    summary = title.partition(": ")[2].removesuffix(".")
    parser = commands.add_parser(
        module_name.rpartition(".")[2],
        help=summary,
        description=text or f"{summary[0].upper()}{summary[1:]}.",
    )
    if hasattr(module, "COMMANDS"):
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        for name in module.COMMANDS:
            _add_command(actions, f"{module_name}.{name}")
    else:
        module.add_arguments(parser)
        parser.set_defaults(run=module.run)
    return summary


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 issues found, 2 a mistake in the input, 130 interrupted."""
    begin_notes()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers' own, of weights that load in a second
    try:
        words = rename_flags(sys.argv[1:] if argv is None else argv)
        args = build_parser().parse_args(words)
        args.argv, args.typed = words, shlex.join(["vqa", *words])
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
