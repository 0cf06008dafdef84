"""`vqa data check`: verify a dataset."""

import argparse


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data check`."""
    parser = actions.add_parser(
        "check",
        help="verify a dataset: images, scenes, relations, conditions, every answer",
        description="Verify a dataset in CLEVR's layout. Exit status: 0 no issues (there may be notes), 1 issues.",
    )
    parser.add_argument("data", metavar="DIR", help="folder with images/, scenes/ and questions/")
    parser.add_argument("--split", nargs="+", action="extend", metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--questions", nargs="+", action="extend", default=[], metavar="FILE", help="more question files to check"
    )
    parser.add_argument(
        "--condition",
        choices=["none", "cogent-a", "cogent-b"],
        help="what all scenes must satisfy (default: what the scene file says, or a name such as trainA or valB)",
    )
    parser.add_argument("--no-images", action="store_true", help="leave the image files alone")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that open images (default: CPU cores)")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="issues of a kind to list (default: 20)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from vqa.clevr.dataset.validate import check_dataset
    from vqa.clevr.dataset.validation_report import report_text

    report = check_dataset(
        args.data,
        splits=args.split,
        condition=args.condition,
        questions=args.questions,
        images=not args.no_images,
        workers=args.workers,
        limit=args.limit,
    )
    print(report_text(report))
    return 0 if report.clean else 1
