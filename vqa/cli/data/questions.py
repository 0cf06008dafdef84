"""`vqa data questions`: make questions, answers and programs for a scene file."""

import argparse


def register(actions: argparse._SubParsersAction) -> None:
    """Add `data questions`."""
    parser = actions.add_parser("questions", help="make questions, answers and programs for a scene file")
    parser.add_argument("--scenes", required=True, metavar="FILE", help="CLEVR_SPLIT_scenes.json to ask about")
    parser.add_argument("--out", required=True, metavar="FILE", help="question file to write, in CLEVR's format")
    parser.add_argument("--templates", metavar="DIR", help="folder of template files (default: ours)")
    parser.add_argument(
        "--families",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="only these: a template file (one_hop), a family in it (one_hop:3), closure (default: CLEVR's 90)",
    )
    parser.add_argument("--per-image", type=int, default=10, metavar="N", help="questions an image (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same file (default: 0)")
    parser.add_argument(
        "--false-premises",
        type=float,
        default=0.0,
        metavar="X",
        help='share of questions in which a phrase with "the" names nothing, or several objects; they have no answer, '
        'and every question says so in its field "premise": holds, absent or ambiguous (default: 0)',
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.clevr.question_generation.families import load_templates
    from vqa.clevr.question_generation.generate_questions import make_question_file

    templates = load_templates(args.templates, args.families)
    bar = tqdm(desc="questions", unit=" images")
    with bar:
        written = make_question_file(
            args.scenes, args.out, templates, args.per_image, args.seed, args.false_premises, bar.update
        )
    print(f"{args.out}: {written} questions on {bar.n} images from {len(templates)} families")
