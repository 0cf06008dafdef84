"""`vqa benchmark questions`: online questions a second, and seconds to a run's first ones.

Make questions as `vqa train --generated` does, with their words, token ids and targets: of CLEVR's families, of the
composed ones (--compositions) and of both. The scenes are repeated to --images.
"""

import argparse
import json
from dataclasses import asdict

from vqa.cli.arguments import add_example, add_number, example_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_example(parser, "train")
    add_number(parser, "--images", 1, 1_000_000, "images of the data", default=70_000)
    add_number(parser, "--per-image", 1, 100, "questions an image", default=6)
    add_number(parser, "--seconds", 0.001, 1e6, "timed of each kind", default=5.0, metavar="S")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.benchmarks.questions import benchmark_questions
    from vqa.utils.tables import markdown_table

    data = example_data(args)
    with tqdm(desc="questions", unit=" chunks", disable=None) as bar:
        speeds = benchmark_questions(data, args.split, args.images, args.per_image, args.seconds, bar.update)
    if args.json:
        print(json.dumps({"images": args.images, "speeds": [asdict(speed) for speed in speeds]}))
        return
    head = ["questions", "number", "a second, on one core", f"seconds to the first, of {args.images:,} images"]
    rows = [(one.kind, f"{one.questions:,}", f"{one.per_second:,.0f}", f"{one.first_seconds:.1f}") for one in speeds]
    print("\n".join(markdown_table(head, rows, padded=True)))
