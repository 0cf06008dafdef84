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


def about(args: argparse.Namespace, *options: str) -> dict[str, str]:
    """Where a report comes from: the command, with these options, its data and split, and the weights' SHA-256."""
    import shlex
    from pathlib import Path

    from vqa.inference.checkpoints import weights_sha256

    words = ["vqa", "explain", args.kind, "--data", args.data, "--split", args.split, *options]
    words += ["--checkpoint", args.checkpoint] if args.checkpoint else []
    return {
        "command": shlex.join([*words, "--seed", str(args.seed)]),
        "data": Path(args.data).resolve().name,
        "split": args.split,
        "weights_sha256": weights_sha256(args.checkpoint),
    }
