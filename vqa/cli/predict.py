"""`vqa predict`: a model's answers, written to a file."""

import argparse

from vqa.cli.arguments import add_columns, add_running, add_strict, check_strict, running_options


def register(commands: argparse._SubParsersAction) -> None:
    """Add `predict`."""
    parser = commands.add_parser(
        "predict",
        help="write a model's answers to a file",
        description="Answer all questions of a split, with answers or without, and write JSON lines with "
        "question_index, image_filename, answer and confidence; `vqa evaluate --predictions` scores them. On several "
        "GPUs or hosts: `accelerate launch -m vqa predict ...`.",
    )
    parser.add_argument("--data", metavar="DIR", required=True, help="CLEVR folder, zip, packed file, rows or hub name")
    parser.add_argument("--split", metavar="NAME", help="such as val or test")
    parser.add_argument("--questions", metavar="FILE", help="another question file over the same images")
    parser.add_argument("--checkpoint", metavar="FOLDER|HUB_ID", help="model to run (default: the shipped one)")
    parser.add_argument(
        "--out", metavar="FILE", required=True, help="file to write, such as answers.jsonl; X.txt gets an answer a line"
    )
    add_columns(parser)
    add_strict(parser)
    add_running(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import sys

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
