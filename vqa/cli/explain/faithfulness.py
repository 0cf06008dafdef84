"""`vqa explain faithfulness`: measure whether the channels that weigh most matter most.

Rank channels by SE weight, by its distance from the channel's mean, and by gate x activation; remove the top, the
bottom and random ones of like activation, and see how many answers are lost. Let gates and FiLM no longer follow the
question, give questions the gates of others about the same object, see which concepts the open channels track, and
exchange what the model reads of each attribute. See whether object attention points at the objects that are meant, and
whether answers stay under another wording.
"""

import argparse
from pathlib import Path

from vqa.cli.arguments import add_list, add_number, add_set, report_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_set(parser)
    add_number(parser, "--num-questions", 1, 1_000_000, "sample size", default=300)
    removed = "how many of each block to remove (default: a sixteenth and a quarter of them)"
    add_list(parser, "--channels", "K", removed, type=int)
    add_number(parser, "--draws", 1, 1000, "of random channels", default=20)
    report = "write all figures as JSON; faithfulness.json beside the weights is shown on the page"
    add("--json", metavar="FILE", help=report)
    add("--baseline", metavar="FOLDER|HUB_ID", help="compare the accuracy with this model's")
    add("--plot", metavar="FILE", help="write a PNG with accuracy over the channels removed")


def run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.clevr.dataset.loading import open_data
    from vqa.evaluation.evaluate import check_writable
    from vqa.explain.faithfulness_report import format_faithfulness, measure_faithfulness, plot_faithfulness
    from vqa.inference.checkpoints import load_checkpoint
    from vqa.utils.files import write_file, write_json
    from vqa.utils.records import to_json

    for path in filter(None, (args.json, args.plot)):
        check_writable(path)
    data = open_data(args.data, args.split)
    model, processor = load_checkpoint(args.checkpoint, args.device)
    baseline = (Path(args.baseline).name, load_checkpoint(args.baseline, args.device)) if args.baseline else None
    width = model.config.trunk_width
    args.channels = sorted(set(args.channels or (max(1, width // 16), max(1, width // 4))))
    report = measure_faithfulness(
        model,
        processor,
        data,
        questions=args.num_questions,
        channels=args.channels,
        draws=args.draws,
        seed=args.seed,
        about=report_source(args, "num_questions", "channels", "draws", "baseline"),
        baseline=baseline,
        progress=lambda stage: tqdm(desc=stage, unit=" answers", disable=None).update,
    )
    print(format_faithfulness(report))
    if args.json:
        write_json(args.json, to_json(report))
    if args.plot:
        write_file(args.plot, plot_faithfulness(report))
