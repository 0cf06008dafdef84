"""`vqa benchmark layers`: parameters, FLOPs and time of every channel-attention mechanism.

Time every mechanism of vqa.layers, forward and backward, beside the block that it is put into and beside timm's or
torchvision's version: medians of interleaved runs, in training mode, float32.
"""

import argparse
import json
import re
from dataclasses import asdict

from vqa.cli.arguments import add_list, add_threads, use_threads
from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_list(parser, "--mechanisms", "NAME", "only these: se, film, ... (default: all)")
    add_list(parser, "--channels", "C", "channels (default: 128 512 2048)", type=int)
    add_list(parser, "--sizes", "HxW", "places of the map (default: 10x15 14x14)")
    add("--batch", type=int, default=32, metavar="B", help="images at a time (default: 32)")
    add("--runs", type=int, default=50, metavar="N", help="timed runs of each (default: 50)")
    add_threads(parser)
    add("--device", default="cpu", help="cpu or cuda (default: cpu)")
    add("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> None:
    import torch
    from tqdm import tqdm

    from vqa.benchmarks.layers import MECHANISMS, WARMUP, benchmark_layers, format_costs

    if args.device not in ("cpu", "cuda") or (args.device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"--device: {args.device!r} is not here; use cpu" + " or cuda" * torch.cuda.is_available())
    use_threads(args)
    sizes = [_size(text) for text in args.sizes or ("10x15", "14x14")]
    channels = args.channels or [128, 512, 2048]
    rounds = len(channels) * len(sizes) * (args.runs + WARMUP)
    options = {"batch": args.batch, "runs": args.runs, "device": args.device}
    try:
        with tqdm(desc="layers", unit=" rounds", total=rounds, disable=None) as bar:
            mechanisms = args.mechanisms or tuple(MECHANISMS)
            costs = list(benchmark_layers(channels, sizes, mechanisms, **options, on_round=bar.update))
    except ValueError as error:
        raise InputError(f"benchmark layers: {error}") from None
    if args.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=1))
        return
    threads = torch.get_num_threads()
    print(f"batch {args.batch}, {args.device}, {threads} threads, median of {args.runs} interleaved runs")
    print(format_costs(costs))


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if match is None:
        raise InputError(f"--sizes: {text!r} is not HEIGHTxWIDTH, such as 10x15")
    return int(match[1]), int(match[2])
