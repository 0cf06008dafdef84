"""`vqa benchmark ...`: what this machine does in how much time; one file a subcommand."""

import argparse


def register(commands: argparse._SubParsersAction) -> None:
    """Add `benchmark` and its subcommands."""
    from vqa.cli.benchmark import ask, layers, questions, speedrun, train

    parser = commands.add_parser("benchmark", help="speed of training, asking, questions and layers on this machine")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for command in (ask, train, questions, speedrun, layers):
        command.register(actions)
