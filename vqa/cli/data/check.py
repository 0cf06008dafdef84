"""`vqa data check`: verify a dataset: images, scenes, relations, conditions, every answer.

Verify a dataset in CLEVR's layout. Exit status: 0 no issues (there may be notes), 1 issues.
"""

import argparse

from vqa.cli.arguments import add_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DIR", help="folder with images/, scenes/ and questions/")
    add_list(parser, "--split", "NAME", "only these (default: all)")
    add_list(parser, "--questions", "FILE", "more question files to check", default=[])
    add(
        "--condition",
        choices=["none", "cogent-a", "cogent-b"],
        help="what all scenes must satisfy (default: what the scene file says, or a name such as trainA or valB)",
    )
    add("--no-images", action="store_true", help="leave the image files alone")
    add("--workers", type=int, metavar="N", help="threads that open images (default: CPU cores)")
    add("--limit", type=int, default=20, metavar="N", help="issues of a kind to list (default: 20)")


def run(args: argparse.Namespace) -> int:
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
