"""`vqa data ...`: make, render, check, fetch, split and pack CLEVR-like datasets."""

import argparse


def register(commands: argparse._SubParsersAction) -> None:
    """Add `data` and its subcommands."""
    parser = commands.add_parser("data", help="make, render, check, fetch, split and pack datasets")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)  # noqa: F841
