"""`vqa evaluate`: accuracy of models and of prediction files."""

import argparse
from typing import TYPE_CHECKING

from vqa.cli.arguments import (
    add_columns,
    add_list,
    add_running,
    add_strict,
    check_strict,
    command_line,
    running_options,
)

if TYPE_CHECKING:
    from vqa.evaluation.evaluate import Running
    from vqa.evaluation.report import CompositionalReport


def register(commands: argparse._SubParsersAction) -> None:
    """Add `evaluate`."""
    parser = commands.add_parser(
        "evaluate",
        help="accuracy of checkpoints and prediction files",
        description="Score models on questions with answers: accuracy overall and by question type, program length, "
        "scene and more, with 95% intervals, calibration, confusion of counts, and every pair of models compared. On "
        "several GPUs or hosts: `accelerate launch -m vqa evaluate ...`.",
        epilog="Several --data, --split and --questions are matched in order; one of them alone serves all.",
    )
    add_list(parser, "--data", "DIR", "CLEVR folder or packed file", required=True)
    add_list(parser, "--split", "NAME", "such as val, valA or valB")
    add_list(parser, "--questions", "FILE", "another question file over the same images")
    add_list(
        parser,
        "--checkpoint",
        "FOLDER|HUB_ID",
        "models to run (default: the shipped one, unless --predictions is given)",
    )
    add_list(
        parser,
        "--predictions",
        "FILE",
        "answers of any models: as `vqa predict` writes, a JSON list, CSV, or a text file with an answer a line",
    )
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
    parser.add_argument("--perturb-seed", type=int, default=0, metavar="N", help="of the perturbations (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="write the whole report as JSON")
    parser.add_argument("--html", metavar="FILE", help="write the whole report as one page with plots")
    parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="of the bootstrap (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the resampling (default: 0)")
    add_columns(parser)
    add_strict(parser)
    parser.add_argument(
        "--second-reading",
        action="store_true",
        help="instead: the scene that one model sees, its second reading, false premises and sentences, on one --data "
        "with scenes",
    )
    add_running(parser)
    add_suite(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    if args.second_reading:
        _run_second_reading(args)
        return
    import orjson

    from vqa.errors import InputError
    from vqa.evaluation.breakdowns import BREAKDOWNS
    from vqa.evaluation.evaluate import check_writable, evaluate, make_sets, perturbed_sets
    from vqa.evaluation.report import CompositionalReport, EvaluationReport
    from vqa.evaluation.report_text import format_report, format_suite
    from vqa.training.runtime import processes
    from vqa.utils.files import atomic_write
    from vqa.utils.records import to_json

    by = list(BREAKDOWNS) if args.by == ["all"] else args.by or ["type"]
    if unknown := [name for name in by if name not in BREAKDOWNS]:
        raise InputError(f"--by: {unknown[0]!r} is not one of {', '.join(BREAKDOWNS)}, all")
    if not 100 <= args.resamples <= 100_000:
        raise InputError(f"--resamples: must be 100 to 100,000, got {args.resamples}")
    for flag in ("seed", "perturb_seed"):
        if getattr(args, flag) < 0:
            raise InputError(f"--{flag.replace('_', '-')}: must be at least 0, got {getattr(args, flag)}")
    running = running_options(args)
    for path in filter(None, (args.json, args.html)):
        check_writable(path)
    report: EvaluationReport | CompositionalReport
    if args.suite:
        report = run_suite(args, running, _command(args))
    else:
        if given := [name for name in _FLAGS if getattr(args, name)]:
            raise InputError(f"--{given[0]}: belongs to --suite compositional; give that too")
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
        with atomic_write(args.json) as file:
            file.write(orjson.dumps(to_json(report), option=orjson.OPT_INDENT_2) + b"\n")
    if args.html:
        from vqa.evaluation.report_html import html_report, html_suite

        with atomic_write(args.html) as file:
            page = html_suite(report) if isinstance(report, CompositionalReport) else html_report(report)
            file.write(page.encode())


def _run_second_reading(args: argparse.Namespace) -> None:
    import json

    from tqdm import tqdm

    from vqa.errors import InputError
    from vqa.evaluation.second_reading import measure
    from vqa.inference.answerer import load
    from vqa.training.runtime import processes
    from vqa.utils.files import atomic_write

    if processes().num_processes > 1:
        raise InputError("--second-reading: runs in one process; give it without accelerate launch")
    for name in ("data", "split", "questions", "checkpoint"):
        if len(getattr(args, name) or ()) > 1:
            raise InputError(f"--{name}: --second-reading takes one; run it once for each")
    if given := [name for name in ("suite", "predictions", "perturb", "by", "html") if getattr(args, name)]:
        raise InputError(f"--{given[0]}: not with --second-reading")
    running_options(args)
    answerer = load((args.checkpoint or [None])[0], args.device)
    split, questions = (args.split or ["val"])[0], (args.questions or [None])[0]
    with tqdm(desc="second reading", unit=" images") as bar:
        report = measure(answerer, args.data[0], split, questions, args.seed, bar.update)
    print(report)
    if args.json:
        with atomic_write(args.json) as file:
            file.write(json.dumps(report.to_json(), indent=2).encode())


def _command(args: argparse.Namespace) -> str:
    sets = dict.fromkeys(("suite", "data", "split", "questions", "columns", "closure", "humans", "axes"))
    flags = sets | dict.fromkeys(("checkpoint", "predictions", "perturb", "strict"))
    return command_line(args, "evaluate", **flags, resamples=1000, seed=0, perturb_seed=0, mixed_precision="no")


_FLAGS = ("closure", "humans", "axes")
_NOT_WITH_SUITE = ("predictions", "questions", "columns", "by", "perturb", "strict")


def add_suite(parser: argparse.ArgumentParser) -> None:
    """Add the options of the suite to those of `vqa evaluate`."""
    suite = parser.add_argument_group("suite")
    suite.add_argument(
        "--suite",
        choices=["compositional"],
        help="instead: how models generalize to new compositions. Of one --data and --split (default: val): CoGenT "
        "(valA and valB, or the split's images of either condition), scene size x program depth, held-out attribute "
        "pairs and question families, CLOSURE and CLEVR-Humans; one gap for each",
    )
    add_list(
        suite,
        "--closure",
        "DIR|FILE",
        "CLOSURE's question files over the split's images (default: such questions made on its scenes)",
    )
    suite.add_argument("--humans", metavar="FILE", help="CLEVR-Humans' questions over the split's images")
    add_list(suite, "--axes", "NAME", "only these: cogent, size-depth, attribute-pairs, families, closure, humans")


def run_suite(args: argparse.Namespace, running: "Running", command: str) -> "CompositionalReport":
    """The report of `vqa evaluate --suite compositional`. Raises InputError."""
    from vqa.errors import InputError
    from vqa.evaluation.compositional import Suite, evaluate_suite

    if given := [name for name in _NOT_WITH_SUITE if getattr(args, name)]:
        raise InputError(f"--{given[0]}: not with --suite, which divides the questions itself; leave it out")
    for name in ("data", "split"):
        if len(getattr(args, name) or [""]) > 1:
            raise InputError(f"--{name}: --suite takes one; run it once for each")
    suite = Suite(args.data[0], (args.split or ["val"])[0], args.closure or (), args.humans, args.axes or ())
    checkpoints = args.checkpoint or [None]
    return evaluate_suite(suite, checkpoints, running=running, samples=args.resamples, seed=args.seed, command=command)
