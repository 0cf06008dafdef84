"""`vqa evaluate`: accuracy of checkpoints and prediction files.

Score models on questions with answers: accuracy overall and by question type, program length, scene and more, with 95%
intervals, calibration, confusion of counts, and every pair of models compared. On several GPUs or hosts: `accelerate
launch -m vqa evaluate ...`. Several --data, --split and --questions are matched in order; one of them alone serves all.
"""

import argparse
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vqa.cli.arguments import (
    add_list,
    add_number,
    add_reading,
    add_running,
    check_strict,
    command_line,
    running_options,
)
from vqa.errors import InputError

if TYPE_CHECKING:
    from vqa.evaluation.evaluate import Running
    from vqa.evaluation.report import CompositionalReport

_OF_SUITE = ("closure", "humans", "axes")
_NOT_WITH_SUITE = ("predictions", "questions", "columns", "by", "perturb", "strict")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_list(parser, "--data", "DIR", "CLEVR folder or packed file", required=True)
    add_list(parser, "--split", "NAME", "such as val, valA or valB")
    add_list(parser, "--questions", "FILE", "another question file over the same images")
    models = "models to run (default: the shipped one, unless --predictions is given)"
    add_list(parser, "--checkpoint", "FOLDER|HUB_ID", models)
    answers = "answers of any models: as `vqa predict` writes, a JSON list, CSV, or a text file with an answer a line"
    add_list(parser, "--predictions", "FILE", answers)
    add_list(
        parser,
        "--by",
        "WHAT",
        "breakdowns to print: type, form, family, length, objects, asked, mentioned, value, answer, all "
        "(default: type; the files have all)",
    )
    add_list(
        parser,
        "--perturb",
        "NAME",
        "score perturbed images and questions too, and by how much that lowers accuracy: jpeg30, border96, "
        "square320, screenshot1.25, width240, blur1, noise5, brightness0.8, typo, synonyms, casual; with other numbers "
        "for other amounts",
    )
    add_number(parser, "--perturb-seed", 0, math.inf, "of the perturbations", default=0)
    add("--json", metavar="FILE", help="write the whole report as JSON")
    add("--html", metavar="FILE", help="write the whole report as one page with plots")
    add_number(parser, "--resamples", 100, 100_000, "of the bootstrap", default=1000)
    add_number(parser, "--seed", 0, math.inf, "of the resampling", default=0)
    add_reading(parser, "columns", "strict")
    add(
        "--second-reading",
        action="store_true",
        help="instead: the scene that one model sees, its second reading, false premises and sentences, on one --data "
        "with scenes",
    )
    add_running(parser)
    suite = parser.add_argument_group("suite")
    suite.add_argument(
        "--suite",
        choices=["compositional"],
        help="instead: how models generalize to new compositions. Of one --data and --split (default: val): CoGenT "
        "(valA and valB, or the split's images of either condition), scene size x program depth, held-out attribute "
        "pairs and question families, CLOSURE and CLEVR-Humans; one gap for each",
    )
    closure = "CLOSURE's question files over the split's images (default: such questions made on its scenes)"
    add_list(suite, "--closure", "DIR|FILE", closure)
    suite.add_argument("--humans", metavar="FILE", help="CLEVR-Humans' questions over the split's images")
    add_list(suite, "--axes", "NAME", "only these: cogent, size-depth, attribute-pairs, families, closure, humans")


def run(args: argparse.Namespace) -> None:
    if args.second_reading:
        _run_second_reading(args)
        return

    from vqa.evaluation.breakdowns import BREAKDOWNS
    from vqa.evaluation.evaluate import check_writable, evaluate, make_sets, perturbed_sets
    from vqa.evaluation.report import CompositionalReport, EvaluationReport
    from vqa.evaluation.report_html import html_report, html_suite
    from vqa.evaluation.report_text import format_report, format_suite
    from vqa.training.runtime import processes
    from vqa.utils.files import write_file, write_json
    from vqa.utils.records import to_json

    by = list(BREAKDOWNS) if args.by == ["all"] else args.by or ["type"]
    if unknown := [name for name in by if name not in BREAKDOWNS]:
        raise InputError(f"--by: {unknown[0]!r} is not one of {', '.join(BREAKDOWNS)}, all")
    running = running_options(args)
    for path in filter(None, (args.json, args.html)):
        check_writable(path)
    report: EvaluationReport | CompositionalReport
    if args.suite:
        report = _run_suite(args, running)
    else:
        _refuse(args, _OF_SUITE, "belongs to --suite compositional; give that too")
        sets = make_sets(args.data, args.split, args.questions, args.columns)
        check_strict(args, sets)
        report = evaluate(
            perturbed_sets(sets, args.perturb or [], args.perturb_seed),
            args.checkpoint or ([] if args.predictions else [None]),
            args.predictions or [],
            running=running,
            samples=args.resamples,
            seed=args.seed,
            command=_command(args),
        )
    if not processes().is_main_process:
        return
    print(format_suite(report) if isinstance(report, CompositionalReport) else format_report(report, by))
    if args.json:
        write_json(args.json, to_json(report))
    if args.html:
        page = html_suite(report) if isinstance(report, CompositionalReport) else html_report(report)
        write_file(args.html, page.encode())


def _run_second_reading(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.evaluation.second_reading import measure
    from vqa.inference.answerer import load
    from vqa.training.runtime import processes
    from vqa.utils.files import write_json

    if processes().num_processes > 1:
        raise InputError("--second-reading: runs in one process; give it without accelerate launch")
    _refuse_several(args, ("data", "split", "questions", "checkpoint"), "--second-reading")
    _refuse(args, ("suite", "predictions", "perturb", "by", "html"), "not with --second-reading")
    running_options(args)
    answerer = load((args.checkpoint or [None])[0], args.device)
    split, questions = (args.split or ["val"])[0], (args.questions or [None])[0]
    with tqdm(desc="second reading", unit=" images") as bar:
        report = measure(answerer, args.data[0], split, questions, args.seed, bar.update)
    print(report)
    if args.json:
        write_json(args.json, report.to_json())


def _run_suite(args: argparse.Namespace, running: "Running") -> "CompositionalReport":
    from vqa.evaluation.compositional import Suite, evaluate_suite

    _refuse(args, _NOT_WITH_SUITE, "not with --suite, which divides the questions itself; leave it out")
    _refuse_several(args, ("data", "split"), "--suite")
    suite = Suite(args.data[0], (args.split or ["val"])[0], args.closure or (), args.humans, args.axes or ())
    options = {"running": running, "samples": args.resamples, "seed": args.seed, "command": _command(args)}
    return evaluate_suite(suite, args.checkpoint or [None], **options)


def _refuse(args: argparse.Namespace, names: Iterable[str], why: str) -> None:
    if given := [name for name in names if getattr(args, name)]:
        raise InputError(f"--{given[0]}: {why}")


def _refuse_several(args: argparse.Namespace, names: Iterable[str], flag: str) -> None:
    for name in names:
        if len(getattr(args, name) or ()) > 1:
            raise InputError(f"--{name}: {flag} takes one; run it once for each")


def _command(args: argparse.Namespace) -> str:
    sets = dict.fromkeys(("suite", "data", "split", "questions", "columns", "closure", "humans", "axes"))
    flags = sets | dict.fromkeys(("checkpoint", "predictions", "perturb", "strict"))
    return command_line(args, "evaluate", **flags, resamples=1000, seed=0, perturb_seed=0, mixed_precision="no")
