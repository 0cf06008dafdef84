"""`vqa benchmark layers`."""

import argparse
import re


def register(actions: argparse._SubParsersAction) -> None:
    """Add `benchmark layers`."""
    parser = actions.add_parser(
        "layers",
        help="parameters, FLOPs and time of every channel-attention mechanism",
        description="Time every mechanism of vqa.layers, forward and backward, beside the block that it is put into "
        "and beside timm's or torchvision's version: medians of interleaved runs, in training mode, float32.",
    )
    parser.add_argument(
        "--mechanisms", nargs="+", action="extend", metavar="NAME", help="only these: se, film, ... (default: all)"
    )
    parser.add_argument(
        "--channels", nargs="+", action="extend", type=int, metavar="C", help="channels (default: 128 512 2048)"
    )
    parser.add_argument(
        "--sizes", nargs="+", action="extend", metavar="HxW", help="places of the map (default: 10x15 14x14)"
    )
    parser.add_argument("--batch", type=int, default=32, metavar="B", help="images at a time (default: 32)")
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="timed runs of each (default: 50)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's choice)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import json
    from dataclasses import asdict

    import torch
    from tqdm import tqdm

    from vqa.benchmarks.layers import MECHANISMS, WARMUP, benchmark_layers, format_costs
    from vqa.errors import InputError

    if args.device not in ("cpu", "cuda") or (args.device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"--device: {args.device!r} is not here; use cpu" + " or cuda" * torch.cuda.is_available())
    if args.threads is not None and args.threads < 1:
        raise InputError(f"--threads: must be at least 1, got {args.threads}")
    if args.threads:
        torch.set_num_threads(args.threads)
    sizes = [_size(text) for text in args.sizes or ("10x15", "14x14")]
    channels = args.channels or [128, 512, 2048]
    bar = tqdm(desc="layers", unit=" rounds", total=len(channels) * len(sizes) * (args.runs + WARMUP))
    try:
        with bar:
            costs = list(
                benchmark_layers(
                    channels,
                    sizes,
                    args.mechanisms or tuple(MECHANISMS),
                    batch=args.batch,
                    runs=args.runs,
                    device=args.device,
                    on_round=bar.update,
                )
            )
    except ValueError as error:
        raise InputError(f"benchmark layers: {error}") from None
    if args.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=1))
        return
    print(
        f"batch {args.batch}, {args.device}, {torch.get_num_threads()} threads, median of {args.runs} interleaved runs"
    )
    print(format_costs(costs))


def _size(text: str) -> tuple[int, int]:
    from vqa.errors import InputError

    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if match is None:
        raise InputError(f"--sizes: {text!r} is not HEIGHTxWIDTH, such as 10x15")
    return int(match[1]), int(match[2])
