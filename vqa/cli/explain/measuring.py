"""What the subcommands that measure a model share."""

import argparse
import shlex
from pathlib import Path


def about(args: argparse.Namespace, *options: str) -> dict[str, str]:
    """Where a report comes from: the command, with these options, its data and split, and the weights' SHA-256."""
    from vqa.inference.checkpoints import weights_sha256

    words = ["vqa", "explain", args.action, "--data", args.data, "--split", args.split, *options]
    words += ["--checkpoint", args.checkpoint] if args.checkpoint else []
    return {
        "command": shlex.join([*words, "--seed", str(args.seed)]),
        "data": Path(args.data).resolve().name,
        "split": args.split,
        "weights_sha256": weights_sha256(args.checkpoint),
    }
