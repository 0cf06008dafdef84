"""`vqa benchmark train`: questions a second, share of the machine's peak, loading and memory."""

import argparse

from vqa.cli.arguments import add_list, check_range


def register(actions: argparse._SubParsersAction) -> None:
    """Add `benchmark train`."""
    parser = actions.add_parser(
        "train",
        help="questions a second that presets are trained with",
        description="Train presets, each in its own recipe, a step of each in turn, and say how many questions a "
        "second each learns from, what share of the machine's bfloat16 matrix peak that is, what loading takes, and "
        "how much memory the process held. The data is repeated to --images images.",
    )
    add_list(parser, "--presets", "NAME", "the first is what the others are compared with (default: film film-qcse)")
    add_list(parser, "--set", "key=value", "change all presets, as in width=128", dest="overrides", default=[])
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="timed steps of each (default: 200)")
    parser.add_argument(
        "--max-seconds", type=float, default=300.0, metavar="S", help="end a preset's steps after S (default: 300)"
    )
    parser.add_argument("--data", metavar="DIR", help="CLEVR folder (default: the shipped clevr-mini)")
    parser.add_argument("--split", default="train", metavar="NAME", help="of it (default: train)")
    parser.add_argument(
        "--images",
        type=int,
        default=512,
        metavar="N",
        help="images of the data, by repeating it; 70000 is CLEVR's train split (default: 512)",
    )
    parser.add_argument(
        "--mixed-precision",
        choices=["auto", "no", "bf16", "fp16"],
        default="auto",
        help="auto is bf16 where it measures faster, preset by preset (default: auto)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's choice)")
    parser.add_argument("--json", metavar="FILE", help="write all figures there too")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import json
    from pathlib import Path

    import torch
    from tqdm import tqdm

    from vqa.benchmarks.training import benchmark_training, format_benchmark
    from vqa.utils.files import atomic_write
    from vqa.utils.resources import shipped

    check_range("--steps", args.steps, 1, 1_000_000)
    check_range("--max-seconds", args.max_seconds, 0.001, 1e6)
    check_range("--images", args.images, 1, 1_000_000)
    check_range("--threads", args.threads, 1, 1024)
    if args.threads:
        torch.set_num_threads(args.threads)
    with tqdm(total=100, desc="train", bar_format="{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}") as bar:

        def show(share: float) -> None:
            bar.n = 100 * share
            bar.update(0)

        found = benchmark_training(
            str(args.data or shipped("data/clevr-mini")),
            args.presets or ["film", "film-qcse"],
            args.overrides,
            split=args.split,
            images=args.images,
            steps=args.steps,
            seconds=args.max_seconds,
            precision=args.mixed_precision,
            on_step=show,
        )
    if args.json:
        with atomic_write(Path(args.json)) as file:
            file.write(json.dumps(found.to_json(), indent=1).encode() + b"\n")
    print(format_benchmark(found))
