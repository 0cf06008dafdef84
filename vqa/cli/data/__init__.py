"""`vqa data ...`: make, render, check, fetch, split and pack CLEVR-like datasets; one file a subcommand."""

import argparse


def register(commands: argparse._SubParsersAction) -> None:
    """Add `data` and its subcommands."""
    from vqa.cli.data import bait, check, download, export, make, merge, pack, parse, questions, render, scenes, split

    parser = commands.add_parser("data", help="make, render, check, fetch, split and pack datasets")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for command in (make, scenes, render, questions, bait, parse, download, check, split, merge, pack, export):
        command.register(actions)
