"""`vqa data download`: fetch, verify and unpack public archives."""

import argparse


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data download`."""
    names = ["clevr", "cogent", "closure", "clevr-humans"]
    parser = actions.add_parser(
        "download",
        help="fetch, verify and unpack a public archive",
        description="Fetch, verify and unpack public archives. An interrupted download resumes where it stopped.",
    )
    parser.add_argument("name", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--out", default="data", metavar="DIR", help="folder that receives them (default: data)")
    parser.add_argument(
        "--from", dest="source", metavar="URL|FILE", help="a mirror, or an archive that is already here (one NAME only)"
    )
    parser.add_argument("--keep-archive", action="store_true", help="leave the zip beside the unpacked folder")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import sys
    from pathlib import Path

    from vqa.clevr.dataset.download import ARCHIVES, download
    from vqa.errors import InputError

    if args.source and len(args.name) > 1:
        raise InputError("--from is one archive: give one NAME with it")
    for name in args.name:
        folder = download(
            ARCHIVES[name],
            Path(args.out),
            source=args.source,
            keep=args.keep_archive,
            report=lambda message: print(message, file=sys.stderr),
        )
        print(folder)
