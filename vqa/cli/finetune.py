"""`vqa finetune`: fine-tune on another split, and see what is learned and what forgotten.

Fine-tune a checkpoint on some questions of another split, such as CoGenT's condition B, measuring accuracy on named
splits at the start and as training goes: finetuning.jsonl and finetuning.png beside the new checkpoint. Ctrl-C saves
the run; the same command with --resume continues it. film keeps a recipe of its own.
"""

import argparse
import sys

from vqa.cli.arguments import add_list
from vqa.cli.train import training_arguments
from vqa.training.options import FINETUNING, TrainingOptions
from vqa.utils.options import add_options
from vqa.utils.tables import format_interval, text_table

_WITHOUT = (
    *("preset", "overrides", "init", "encoders", "holdout", "epochs", "pretrain_epochs", "evaluate_minutes"),
    *("split_protocol", "compositions", "composed_families", "question_workers", "trackers"),
    *("text_encoders", "freeze_encoders"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(args: argparse.Namespace) -> None:
    from vqa.evaluation.evaluate import EvaluationSet
    from vqa.training.finetuning import build_finetuning, finetuning_options, plot_finetuning
    from vqa.training.run_log import plot_curve

    options = finetuning_options(args.checkpoint, **training_arguments(args))
    splits = dict.fromkeys(args.evaluate_on or ("valA", "valB"))
    watched = [EvaluationSet(args.evaluate_data or args.data, split) for split in splits]
    finetuning = build_finetuning(args.checkpoint, options, watched, args.typed)
    main_process = finetuning.trainer.accelerator.is_main_process
    try:
        folder = finetuning.run()
    except KeyboardInterrupt:
        if main_process:
            print("vqa: saved; continue with the same command and --resume", file=sys.stderr)
        raise
    if main_process:
        plot_curve(folder)
        plot_finetuning(folder)
        rows = [["questions", *finetuning.curve[0]["sets"]]]
        for line in finetuning.curve:
            rows.append([f"{line['presentations']:,}", *map(format_interval, line["sets"].values())])
        print("\n".join([*text_table(rows, ">"), str(folder)]))
