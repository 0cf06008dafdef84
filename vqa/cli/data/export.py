"""`vqa data export`: write parquet with a dataset card, for datasets.load_dataset and the hub.

Write a folder of parquet files, images inside, with a dataset card; `--data` reads it back.
"""

import argparse

from vqa.cli.arguments import add_list, add_reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DIR", help="CLEVR folder")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to make")
    add_list(parser, "--split", "NAME", "splits to export (default: all with questions)")
    parser.add_argument("--title", help="title of the dataset card (default: the folder's name)")
    add_reading(parser, "columns")


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.loading import export_data

    found = export_data(args.data, args.out, args.split, title=args.title, columns=args.columns)
    for split, images in found.items():
        print(f"{args.out}: {split}: {images} images")
