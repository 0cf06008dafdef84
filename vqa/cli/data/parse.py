"""`vqa data parse`: the program of a question."""

import argparse


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data parse`."""
    parser = actions.add_parser("parse", help="show the program that a question in CLEVR's wording means")
    parser.add_argument("question", help='for example "What color is the cube left of the big sphere?"')
    parser.add_argument("--json", action="store_true", help="print the program as CLEVR's files store it")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import json

    from vqa.clevr.language.parser import parse_question

    program = parse_question(args.question)
    if args.json:
        print(json.dumps([step.to_json() for step in program]))
        return
    for i, step in enumerate(program):
        reads = f"  <- {', '.join(map(str, step.inputs))}" if step.inputs else ""
        print(f"{i:2}  {step.function}{f' {step.value}' if step.value else ''}{reads}")
