"""`vqa data parse`: show the program that a question in CLEVR's wording means."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", help='for example "What color is the cube left of the big sphere?"')
    parser.add_argument("--json", action="store_true", help="print the program as CLEVR's files store it")


def run(args: argparse.Namespace) -> None:
    from vqa.clevr.language.parser import parse_question

    program = parse_question(args.question)
    if args.json:
        print(json.dumps([step.to_json() for step in program]))
        return
    for i, step in enumerate(program):
        reads = f"  <- {', '.join(map(str, step.inputs))}" if step.inputs else ""
        print(f"{i:2}  {step.function}{f' {step.value}' if step.value else ''}{reads}")
