"""`vqa explain ...`: why a model answered so, what its channels track, and whether they matter; one file each."""

import argparse


def register(commands: argparse._SubParsersAction) -> None:
    """Add `explain` and its subcommands."""
    from vqa.cli.explain import ask, atlas, faithfulness, masks

    parser = commands.add_parser(
        "explain",
        help="why a model answered so, and whether its channels matter",
        description="Show what is behind an answer, chart what each channel tracks, and measure whether the channels "
        "that weigh most matter most.",
    )
    actions = parser.add_subparsers(prog="vqa explain", dest="kind", metavar="WHAT", required=True)
    for command in (ask, atlas, faithfulness, masks):
        command.register(actions)
