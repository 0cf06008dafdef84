"""`vqa explain masks`: whether maps lie on the objects that are meant."""

import argparse

from vqa.cli.arguments import add_set, check_range, check_seed, load_model
from vqa.cli.explain import about


def register(actions: argparse._SubParsersAction) -> None:
    """Add `explain masks`."""
    parser = actions.add_parser(
        "masks",
        help="measure whether maps lie on the objects that are meant",
        description="Relevance mass and rank accuracy (CLEVR-XAI, Arras et al. 2022) of object attention, Grad-CAM, "
        "gradient x input, integrated gradients and LRP, on questions that the model answers correctly.",
    )
    add_set(parser)
    parser.add_argument(
        "--masks",
        metavar="DIR",
        help="made by `vqa data render --masks`; images without one are left out (default: computed from the scenes)",
    )
    parser.add_argument("--num-questions", type=int, default=1000, metavar="N", help="sample size (default: 1000)")
    parser.add_argument(
        "--gradient-questions", type=int, default=200, metavar="N", help="of these for the slow methods (default: 200)"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from vqa.clevr.dataset.loading import open_data
    from vqa.evaluation.evaluate import check_writable
    from vqa.utils.files import atomic_write

    check_range("--num-questions", args.num_questions, 1, 1_000_000)
    check_range("--gradient-questions", args.gradient_questions, 0, 1_000_000)
    check_seed(args.seed)
    if args.json:
        check_writable(args.json)
    data = open_data(args.data, args.split)

    import orjson
    from tqdm import tqdm

    from vqa.explain.object_masks import format_masks, measure_masks
    from vqa.utils.records import to_json

    options = ["--num-questions", str(args.num_questions), "--gradient-questions", str(args.gradient_questions)]
    options += ["--masks", args.masks] if args.masks else []
    model, processor = load_model(args)
    report = measure_masks(
        model,
        processor,
        data,
        masks=args.masks,
        questions=args.num_questions,
        by_gradient=args.gradient_questions,
        seed=args.seed,
        about=about(args, *options),
        on_progress=tqdm(desc="questions", unit="", disable=None).update,
    )
    print(format_masks(report))
    if args.json:
        with atomic_write(args.json) as file:
            file.write(orjson.dumps(to_json(report), option=orjson.OPT_INDENT_2) + b"\n")
