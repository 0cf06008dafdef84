"""`vqa calibrate`: honest confidences, and a warning for out-of-distribution inputs.

Fit the temperature of a checkpoint's confidences, and what its training images and questions are like, on the data it
was trained on: the limits on the images that training held out. Both are written to the checkpoint's config.json, the
figures to calibration.json and its README.md; its weights stay.
"""

import argparse
import sys

from vqa.cli.arguments import add_device, add_list, command_line
from vqa.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", metavar="DIR", required=True, help="what the checkpoint was trained on")
    add("--split", metavar="NAME", default="train", help="its split (default: train)")
    add("--questions", metavar="FILE", help="its question file, where that was another one")
    add("--checkpoint", metavar="FOLDER", help="model to calibrate (default: the shipped one)")
    add("--holdout", type=float, metavar="SHARE", help="held out in training (default: as recorded)")
    add("--seed", type=int, metavar="N", help="of the training (default: as recorded)")
    untrained = "data never trained on: calibration error and false-positive rate there too"
    add_list(parser, "--on", "DIR", untrained, default=[])
    add_list(parser, "--on-split", "NAME", "its splits, matched in order")
    add_list(parser, "--on-questions", "FILE", "other questions about it")
    add("--report", action="store_true", help="measure as it is; fit and write nothing")
    add("--json", metavar="FILE", help="write the figures as JSON, too")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    from vqa.calibration.fit import fit, open_holdout, save
    from vqa.calibration.measure import measure
    from vqa.calibration.report import CalibrationReport, format_calibration
    from vqa.evaluation.evaluate import Running, check_writable, make_sets
    from vqa.inference.checkpoints import load_checkpoint, weights_sha256
    from vqa.utils.files import write_json
    from vqa.utils.records import to_json

    if not args.on and (args.on_split or args.on_questions):
        raise InputError("--on: say which data --on-split and --on-questions belong to")
    if args.json:
        check_writable(args.json)
    sets = make_sets(args.on, args.on_split, args.on_questions) if args.on else []
    slices = open_holdout(
        args.checkpoint,
        args.data,
        args.split,
        args.questions,
        holdout=args.holdout,
        seed=args.seed,
        warn=lambda message: print(f"vqa: warning: {message}", file=sys.stderr),
    )
    model = load_checkpoint(args.checkpoint, args.device)
    running = Running(args.device)
    flags = dict.fromkeys(("questions", "checkpoint", "holdout", "seed", "on", "on_split", "on_questions", "report"))
    fitted = None if args.report else fit(model, slices, running)
    report = CalibrationReport(
        **vars(measure(model, sets, (slices.data, slices.held_out), running, seed=0)),
        command=command_line(args, "calibrate", data=None, split="train", **flags),
        weights_sha256=weights_sha256(args.checkpoint),
        fitted=fitted,
    )
    print(format_calibration(report))
    if args.json:
        write_json(args.json, to_json(report))
    if not args.report:
        folder = save(args.checkpoint, model, report)
        print(f"{folder}: config.json, calibration.json and README.md written", file=sys.stderr)
