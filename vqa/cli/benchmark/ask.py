"""`vqa benchmark ask`: milliseconds from an image and a question to the answer.

Time single questions, as the page asks them: about a new image, with decoding it, and the next one about the same
image, whose features are still there. Median and 95th percentile.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from vqa.cli.arguments import add_example, add_model, add_number, add_threads, example_data, use_threads
from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_example(parser, "val")
    add_number(parser, "--runs", 1, 100_000, "timed calls of each kind", default=200)
    add_threads(parser)
    parser.add_argument(
        "--backend", choices=["torch", "onnx"], default="torch", help="onnx: --checkpoint is of `vqa export onnx`"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> None:
    import torch
    from tqdm import tqdm

    from vqa.benchmarks.latency import measure_asking
    from vqa.inference.answerer import load

    use_threads(args)
    images = _images(Path(example_data(args)), args.split)
    answerer = load(args.checkpoint, args.device, args.backend)
    with tqdm(total=args.runs, desc="ask", unit=" images", disable=None) as bar:
        latencies = measure_asking(answerer, images, args.runs, bar.update)
    threads, device = torch.get_num_threads(), str(answerer.device)
    if args.json:
        about = {"device": device, "backend": args.backend, "threads": threads}
        print(json.dumps(about | {"latencies": [asdict(one) for one in latencies]}))
        return
    print(f"{args.backend} on {device}, {threads} threads, {args.runs} calls of each kind\n")
    print(f"{'milliseconds':<16}{'median':>8}{'p95':>8}")
    for one in latencies:
        print(f"{one.call:<16}{one.median_ms:>8.1f}{one.p95_ms:>8.1f}")


def _images(root: Path, split: str) -> list[tuple[bytes, list[str]]]:
    """Up to 200 images of a split, as files' bytes, with the questions about each."""
    from vqa.clevr.annotations import image_path, iter_questions, questions_path

    asked: dict[str, list[str]] = {}
    for question in iter_questions(questions_path(root, split)):
        name = question.image_filename or ""
        if name not in asked and len(asked) == 200:
            break
        asked.setdefault(name, []).append(question.question)
    try:
        return [(image_path(root, split, name).read_bytes(), questions) for name, questions in asked.items()]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
