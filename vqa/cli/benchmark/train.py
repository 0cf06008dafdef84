"""`vqa benchmark train`: questions a second that presets are trained with.

Train presets, each in its own recipe, a step of each in turn, and say how many questions a second each learns from,
what share of the machine's bfloat16 matrix peak that is, what loading takes, and how much memory the process held. The
data is repeated to --images images.
"""

import argparse

from vqa.cli.arguments import add_example, add_list, add_number, add_threads, example_data, use_threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_list(parser, "--presets", "NAME", "the first is what the others are compared with (default: film film-qcse)")
    add_list(parser, "--set", "key=value", "change all presets, as in width=128", dest="overrides", default=[])
    add_number(parser, "--steps", 1, 1_000_000, "timed steps of each", default=200)
    add_number(parser, "--max-seconds", 0.001, 1e6, "end a preset's steps after S", default=300.0, metavar="S")
    add_example(parser, "train")
    images = "images of the data, by repeating it; 70000 is CLEVR's train split"
    add_number(parser, "--images", 1, 1_000_000, images, default=512)
    add(
        "--mixed-precision",
        choices=["auto", "no", "bf16", "fp16"],
        default="auto",
        help="auto is bf16 where it measures faster, preset by preset (default: auto)",
    )
    add_threads(parser)
    add("--json", metavar="FILE", help="write all figures there too")


def run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.benchmarks.training import benchmark_training, format_benchmark
    from vqa.utils.files import write_json

    use_threads(args)
    layout = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}"
    with tqdm(total=100, desc="train", bar_format=layout, disable=None) as bar:

        def show(share: float) -> None:
            bar.n = 100 * share
            bar.update(0)

        found = benchmark_training(
            example_data(args),
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
        write_json(args.json, found.to_json())
    print(format_benchmark(found))
