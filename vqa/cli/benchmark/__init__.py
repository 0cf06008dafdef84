"""`vqa benchmark ...`: how fast this machine trains, asks, and runs each layer; one file a subcommand."""

import argparse


def register(commands: argparse._SubParsersAction) -> None:
    """Add `benchmark` and its subcommands."""
    from vqa.cli.benchmark import ask, layers, questions, train

    parser = commands.add_parser("benchmark", help="speed of training, asking and layers on this machine")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for command in (ask, train, questions, layers):
        command.register(actions)
