"""`vqa data download`: fetch, verify and unpack a public archive.

Fetch, verify and unpack public archives. An interrupted download resumes where it stopped.
"""

import argparse
import sys
from pathlib import Path

from vqa.errors import InputError

_NAMES = ("clevr", "cogent", "closure", "clevr-humans")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="+", choices=_NAMES, metavar="NAME", help=", ".join(_NAMES))
    add("--out", default="data", metavar="DIR", help="folder that receives them (default: data)")
    source = "a mirror, or an archive that is already here (one NAME only)"
    add("--from", dest="source", metavar="URL|FILE", help=source)
    add("--keep-archive", action="store_true", help="leave the zip beside the unpacked folder")


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.download import ARCHIVES, download

    def report(message: str) -> None:
        print(message, file=sys.stderr)

    if args.source and len(args.name) > 1:
        raise InputError("--from is one archive: give one NAME with it")
    for name in args.name:
        print(download(ARCHIVES[name], Path(args.out), source=args.source, keep=args.keep_archive, report=report))
