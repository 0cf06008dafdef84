"""`vqa report`: accuracy tables from the reports beside a checkpoint.

Print, as Markdown, the accuracy tables of the reports (`vqa evaluate --json`) that lie in a checkpoint's results/
folder, and the commands behind them. README's tables of accuracy are made this way.
"""

import argparse
from pathlib import Path

from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", nargs="?", metavar="FOLDER", help="default: the shipped checkpoint")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--compositional",
        action="store_true",
        help="the tables of `vqa evaluate --suite compositional` instead; without FOLDER also those of the CoGenT "
        "checkpoints, of which the reports alone are shipped",
    )
    kind.add_argument(
        "--card", action="store_true", help="write all tables of FOLDER into its README.md, as the section Results"
    )


def run(args: argparse.Namespace) -> None:
    from vqa.evaluation.report_markdown import compositional_tables, report_tables, write_card
    from vqa.utils.resources import shipped

    ours = shipped("checkpoints/film-qcse-clevr")
    if args.card and not args.checkpoint:
        raise InputError("--card: give the checkpoint's FOLDER too")
    if args.card:
        print(write_card(Path(args.checkpoint)))
        return
    if not args.compositional:
        print(report_tables(Path(args.checkpoint) if args.checkpoint else ours))
        return
    folders = [Path(args.checkpoint)] if args.checkpoint else [ours, ours.with_name("cogent")]
    there = [folder for folder in folders if folder.is_dir()] or folders
    print("\n\n".join(compositional_tables(folder) for folder in there))
