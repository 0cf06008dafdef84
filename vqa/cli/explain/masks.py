"""`vqa explain masks`: measure whether maps lie on the objects that are meant.

Relevance mass and rank accuracy (CLEVR-XAI, Arras et al. 2022) of object attention, Grad-CAM, gradient x input,
integrated gradients and LRP, on questions that the model answers correctly.
"""

import argparse

from vqa.cli.arguments import add_number, add_set, report_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_set(parser)
    masks = "made by `vqa data render --masks`; images without one are left out (default: computed from the scenes)"
    add("--masks", metavar="DIR", help=masks)
    add_number(parser, "--num-questions", 1, 1_000_000, "sample size", default=1000)
    add_number(parser, "--gradient-questions", 0, 1_000_000, "of these for the slow methods", default=200)
    add("--json", metavar="FILE", help="write all figures as JSON")


def run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.clevr.dataset.loading import open_data
    from vqa.evaluation.evaluate import check_writable
    from vqa.explain.object_masks import format_masks, measure_masks
    from vqa.inference.checkpoints import load_checkpoint
    from vqa.utils.files import write_json
    from vqa.utils.records import to_json

    if args.json:
        check_writable(args.json)
    data = open_data(args.data, args.split)
    model, processor = load_checkpoint(args.checkpoint, args.device)
    report = measure_masks(
        model,
        processor,
        data,
        masks=args.masks,
        questions=args.num_questions,
        by_gradient=args.gradient_questions,
        seed=args.seed,
        about=report_source(args, "num_questions", "gradient_questions", "masks"),
        on_progress=tqdm(desc="questions", unit="", disable=None).update,
    )
    print(format_masks(report))
    if args.json:
        write_json(args.json, to_json(report))
