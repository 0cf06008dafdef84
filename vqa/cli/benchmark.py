"""`vqa benchmark ...`: how fast this machine trains, asks, and runs each layer."""

import argparse

from vqa.cli.benchmark_layers import _register_layers


def register(commands: argparse._SubParsersAction) -> None:
    """Add `benchmark` and its subcommands."""
    from vqa.cli import benchmark_ask, benchmark_train

    parser = commands.add_parser("benchmark", help="speed of training, asking and layers on this machine")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    benchmark_ask.register(actions)
    benchmark_train.register(actions)
    _register_layers(actions)
