"""`vqa finetune`: fine-tune on another split, and see what is learned and what forgotten."""

import argparse
import shlex
import sys

from vqa.cli.arguments import add_list
from vqa.cli.train import training_arguments
from vqa.training.options import FINETUNING, TrainingOptions
from vqa.utils.options import add_options

_WITHOUT = (
    *("preset", "overrides", "init", "encoders", "holdout", "epochs", "pretrain_epochs", "evaluate_minutes"),
    *("split_protocol", "compositions", "question_workers", "trackers"),
)


def register(commands: argparse._SubParsersAction) -> None:
    """Add `finetune`."""
    parser = commands.add_parser(
        "finetune",
        help="fine-tune on another split, and see what is learned and what forgotten",
        description="Fine-tune a checkpoint on some questions of another split, such as CoGenT's condition B, "
        "measuring accuracy on named splits at the start and as training goes: finetuning.jsonl and finetuning.png "
        "beside the new checkpoint. Ctrl-C saves the run; the same command with --resume continues it. film keeps a "
        "recipe of its own.",
    )
    parser.add_argument("--checkpoint", required=True, metavar="FOLDER|HUB_ID", help="model to start from")
    add_list(parser, "--evaluate-on", "SPLIT", "splits to measure (default: valA valB)")
    parser.add_argument("--evaluate-data", metavar="DIR", help="where these are (default: --data)")
    add_options(
        parser,
        TrainingOptions,
        without=_WITHOUT,
        defaults={"split": "trainB", "training_questions": 30_000} | FINETUNING,
        helps={
            "training_questions": "training questions in all, repeats counted",
            "evaluate_every": "measure after every N training questions (default: a tenth of them)",
            "seed": "of order and augmentation (default: 0)",
        },
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from transformers.utils.logging import disable_progress_bar

    from vqa.evaluation.evaluate import EvaluationSet
    from vqa.training.finetuning import build_finetuning, finetuning_options, plot_finetuning
    from vqa.training.run_log import plot_curve

    disable_progress_bar()
    options = finetuning_options(args.checkpoint, **training_arguments(args))
    splits = dict.fromkeys(args.evaluate_on or ("valA", "valB"))
    watched = [EvaluationSet(args.evaluate_data or args.data, split) for split in splits]
    run = build_finetuning(args.checkpoint, options, watched, shlex.join(["vqa", *sys.argv[1:]]))
    main_process = run.trainer.accelerator.is_main_process
    try:
        folder = run.run()
    except KeyboardInterrupt:
        if main_process:
            print("vqa: saved; continue with the same command and --resume", file=sys.stderr)
        raise
    if main_process:
        plot_curve(folder)
        plot_finetuning(folder)
        print(f"{'questions':>10}" + "".join(f"{name:>22}" for name in run.curve[0]["sets"]))
        for line in run.curve:
            cells = (
                f"{100 * item['value']:.1f} [{100 * item['low']:.1f}, {100 * item['high']:.1f}]"
                for item in line["sets"].values()
            )
            print(f"{line['presentations']:>10,}" + "".join(f"{cell:>22}" for cell in cells))
        print(folder)
