"""`vqa finetune`."""

import argparse
import shlex
import sys

from vqa.cli.train import add_learning, parse_weights


def register(commands: argparse._SubParsersAction) -> None:
    """Add `finetune`."""
    parser = commands.add_parser(
        "finetune",
        help="go on with another split, and see what is learned and what forgotten",
        description="Fine-tune a checkpoint on some samples of another split, such as CoGenT's condition B, measuring "
        "accuracy on named splits at the start and as it goes: finetuning.jsonl and finetuning.png beside the new "
        "checkpoint. Ctrl-C saves the run; the same command with --resume goes on with it. film keeps a "
        "recipe of its own.",
    )
    parser.add_argument("--checkpoint", required=True, metavar="FOLDER|HUB_ID", help="model to begin with")
    parser.add_argument("--data", required=True, metavar="DIR", help="CLEVR folder, exported folder or hub name")
    parser.add_argument("--split", default="trainB", help="split to train on (default: trainB)")
    parser.add_argument("--questions", metavar="FILE", help="another question file over its images")
    parser.add_argument(
        "--samples", type=int, default=30_000, metavar="N", help="questions presented, in all (default: 30000)"
    )
    parser.add_argument(
        "--generated",
        type=float,
        metavar="X",
        help="share of them made anew each epoch from the scenes (default: 0)",
    )
    parser.add_argument(
        "--augment", type=float, metavar="X", help="strength of image augmentation, 0 to 1 (default: 1)"
    )
    parser.add_argument(
        "--evaluate-on",
        nargs="+",
        action="extend",
        metavar="SPLIT",
        help="splits to measure (default: valA valB)",
    )
    parser.add_argument("--evaluate-data", metavar="DIR", help="where these are (default: --data)")
    parser.add_argument("--every", type=int, metavar="N", help="measure after every N samples (default: a tenth)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the run and its checkpoint")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument(
        "--max-minutes", type=float, metavar="M", help="end after M minutes of steps; the schedule fits them"
    )
    parser.add_argument("--save-minutes", type=float, metavar="M", help="save the run every M minutes (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="decides order and augmentation (default: 0)")
    add_learning(parser, learning_rate=3e-4, warmup_steps=10, ema=0.98)
    parser.set_defaults(run=_finetune)


def _finetune(args: argparse.Namespace) -> None:
    from transformers.utils.logging import disable_progress_bar

    from vqa.evaluation.evaluate import EvaluationSet
    from vqa.training.finetuning import FineTuning, finetuning_options, plot_finetuning
    from vqa.training.options import TrainingOptions
    from vqa.training.run_log import plot_curve

    disable_progress_bar()
    given = {name: value for name, value in vars(args).items() if name in TrainingOptions.names()}
    given["loss_weights"] = parse_weights(args.loss_weights)
    options = finetuning_options(args.checkpoint, args.samples, args.every, **given)
    watched = [
        EvaluationSet(args.evaluate_data or args.data, split)
        for split in dict.fromkeys(args.evaluate_on or ("valA", "valB"))
    ]
    run = FineTuning(args.checkpoint, options, watched, shlex.join(["vqa", *sys.argv[1:]]))
    try:
        folder = run.run()
    except KeyboardInterrupt:
        if run.accelerator.is_main_process:
            print("vqa: saved; go on with the same command and --resume", file=sys.stderr)
        raise
    if run.accelerator.is_main_process:
        plot_curve(folder)
        plot_finetuning(folder)
        print(f"{'samples':>10}" + "".join(f"{name:>22}" for name in run.curve[0]["sets"]))
        for line in run.curve:
            cells = (
                f"{100 * item['value']:.1f} [{100 * item['low']:.1f}, {100 * item['high']:.1f}]"
                for item in line["sets"].values()
            )
            print(f"{line['presentations']:>10,}" + "".join(f"{cell:>22}" for cell in cells))
        print(folder)
