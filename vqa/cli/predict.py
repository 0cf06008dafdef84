"""`vqa predict`: write a model's answers to a file.

Answer all questions of a split, with answers or without, and write JSON lines with question_index, image_filename,
answer and confidence; `vqa evaluate --predictions` scores them. On several GPUs or hosts: `accelerate launch -m vqa
predict ...`.
"""

import argparse
import sys

from vqa.cli.arguments import add_reading, add_running, check_strict, running_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", metavar="DIR", required=True, help="CLEVR folder, zip, packed file, rows or hub name")
    add("--split", metavar="NAME", help="such as val or test")
    add("--checkpoint", metavar="FOLDER|HUB_ID", help="model to run (default: the shipped one)")
    out = "file to write, such as answers.jsonl; X.txt gets an answer a line"
    add("--out", metavar="FILE", required=True, help=out)
    add_reading(parser, "questions", "columns", "strict")
    add_running(parser)


def run(args: argparse.Namespace) -> None:
    from vqa.evaluation.evaluate import make_sets, predict_file
    from vqa.training.runtime import processes

    questions = args.questions and [args.questions]
    (chosen,) = make_sets([args.data], args.split and [args.split], questions, args.columns)
    check_strict(args, [chosen])
    count, unknown, words = predict_file(chosen, args.checkpoint, args.out, running_options(args))
    if not processes().is_main_process:
        return
    if unknown:
        shown = ", ".join(list(words)[:12]) + ", ..." * (len(words) > 12)
        print(f"vqa: warning: {unknown:,} questions have words that the model does not know: {shown}", file=sys.stderr)
    print(f"{args.out}: {count:,} answers")
