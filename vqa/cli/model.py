"""`vqa ask`, `train`, `evaluate`, `predict`, `app`: everything that runs a model."""

import argparse


def register(commands: argparse._SubParsersAction) -> None:
    """Add the commands that run a model."""
