"""`vqa explain faithfulness`: whether the channels that weigh most matter most."""

import argparse

from vqa.cli.arguments import add_set, check_range, check_seed, load_model
from vqa.cli.explain import about


def register(actions: argparse._SubParsersAction) -> None:
    """Add `explain faithfulness`."""
    parser = actions.add_parser(
        "faithfulness",
        help="measure whether the channels that weigh most matter most",
        description="Rank channels by SE weight, by its distance from the channel's mean, and by gate x activation; "
        "remove the top, the bottom and random ones of like activation, and see how many answers are lost. Let gates "
        "and FiLM no longer follow the question, give questions the gates of others about the same object, see which "
        "concepts the open channels track, and exchange what the model reads of each attribute. See whether object "
        "attention points at the objects that are meant, and whether answers stay under another wording.",
    )
    add_set(parser)
    parser.add_argument("--num-questions", type=int, default=300, metavar="N", help="sample size (default: 300)")
    parser.add_argument(
        "--channels",
        type=int,
        nargs="+",
        action="extend",
        metavar="K",
        help="how many of each block to remove (default: a sixteenth and a quarter of them)",
    )
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="of random channels (default: 20)")
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write all figures as JSON; faithfulness.json beside the weights is shown on the page",
    )
    parser.add_argument("--baseline", metavar="FOLDER|HUB_ID", help="compare the accuracy with this model's")
    parser.add_argument("--plot", metavar="FILE", help="write a PNG with accuracy over the channels removed")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from vqa.clevr.dataset.loading import open_data
    from vqa.evaluation.evaluate import check_writable
    from vqa.utils.files import atomic_write

    check_range("--num-questions", args.num_questions, 1, 1_000_000)
    check_range("--draws", args.draws, 1, 1000)
    check_seed(args.seed)
    for path in filter(None, (args.json, args.plot)):
        check_writable(path)
    data = open_data(args.data, args.split)

    import orjson
    from tqdm import tqdm

    from vqa.explain.faithfulness_report import format_faithfulness, measure_faithfulness, plot_faithfulness
    from vqa.inference.checkpoints import load_checkpoint
    from vqa.utils.records import to_json

    model, processor = load_model(args)
    baseline = (Path(args.baseline).name, load_checkpoint(args.baseline, args.device)) if args.baseline else None
    channels = args.channels or sorted({max(1, model.config.trunk_width // 16), max(1, model.config.trunk_width // 4)})
    options = [
        "--num-questions",
        str(args.num_questions),
        "--channels",
        *map(str, channels),
        "--draws",
        str(args.draws),
    ]
    options += ["--baseline", args.baseline] if args.baseline else []
    report = measure_faithfulness(
        model,
        processor,
        data,
        questions=args.num_questions,
        channels=sorted(set(channels)),
        draws=args.draws,
        seed=args.seed,
        about=about(args, *options),
        baseline=baseline,
        progress=lambda stage: tqdm(desc=stage, unit=" answers", disable=None).update,
    )
    print(format_faithfulness(report))
    if args.json:
        with atomic_write(args.json) as file:
            file.write(orjson.dumps(to_json(report), option=orjson.OPT_INDENT_2) + b"\n")
    if args.plot:
        with atomic_write(args.plot) as file:
            file.write(plot_faithfulness(report))
