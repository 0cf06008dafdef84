"""`vqa report`: tables from the reports beside a checkpoint."""

import argparse


def register(commands: argparse._SubParsersAction) -> None:
    """Add `report`."""
    parser = commands.add_parser(
        "report",
        help="accuracy table from the reports beside a checkpoint",
        description="Print, as Markdown, the accuracy table of the reports (`vqa evaluate --json`) that lie in a "
        "checkpoint's results/ folder, and the commands behind them. README's table is made so.",
    )
    parser.add_argument("checkpoint", nargs="?", metavar="FOLDER", help="default: the shipped checkpoint")
    parser.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> None:
    from pathlib import Path

    from vqa.evaluation.tables import report_table
    from vqa.resources import shipped

    print(report_table(Path(args.checkpoint) if args.checkpoint else shipped("checkpoints/film-qcse-clevr")))
