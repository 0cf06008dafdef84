"""`vqa benchmark ask`: how long an answer takes."""

import argparse

from vqa.cli.arguments import add_model, check_range


def register(actions: argparse._SubParsersAction) -> None:
    """Add `benchmark ask`."""
    parser = actions.add_parser(
        "ask",
        help="milliseconds from an image and a question to the answer",
        description="Time single questions, as the page asks them: about a new image, with decoding it, and the next "
        "one about the same image, whose features are still there. Median and 95th percentile.",
    )
    add_model(parser)
    parser.add_argument("--data", metavar="DIR", help="CLEVR folder to ask about (default: the shipped clevr-mini)")
    parser.add_argument("--split", default="val", metavar="NAME", help="of it (default: val)")
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="timed calls of each kind (default: 200)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--backend", choices=["torch", "onnx"], default="torch", help="onnx: --checkpoint is of `vqa export onnx`"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import json
    from dataclasses import asdict

    import torch
    from tqdm import tqdm
    from transformers.utils import logging

    from vqa.benchmarks.latency import measure_asking
    from vqa.inference.answerer import load

    check_range("--runs", args.runs, 1, 100_000)
    check_range("--threads", args.threads, 1, 1024)
    if args.threads:
        torch.set_num_threads(args.threads)
    logging.disable_progress_bar()
    images = _images(args.data, args.split)
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


def _images(data: str | None, split: str) -> list[tuple[bytes, list[str]]]:
    """Up to 200 images of a split, as files' bytes, with the questions about each."""
    from pathlib import Path

    from vqa.clevr.annotations import image_path, iter_questions, questions_path
    from vqa.errors import InputError
    from vqa.utils.resources import shipped

    root = Path(data) if data is not None else shipped("data/clevr-mini")
    asked: dict[str, list[str]] = {}
    for question in iter_questions(questions_path(root, split)):
        name = question.image_filename or ""
        if name not in asked and len(asked) == 200:
            break
        asked.setdefault(name, []).append(question.question)
    images = []
    for name, questions in asked.items():
        path = image_path(root, split, name)
        try:
            images.append((path.read_bytes(), questions))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return images
