"""`vqa data questions`: make questions, answers and programs for a scene file."""

import argparse

from vqa.cli.arguments import add_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--scenes", required=True, metavar="FILE", help="CLEVR_SPLIT_scenes.json to ask about")
    add("--out", required=True, metavar="FILE", help="question file to write, in CLEVR's format")
    add("--templates", metavar="DIR", help="folder of template files (default: ours)")
    add_list(
        parser,
        "--families",
        "NAME",
        "only these: a template file (one_hop), a family in it (one_hop:3), closure (default: CLEVR's 90)",
    )
    add("--per-image", type=int, default=10, metavar="N", help="questions an image (default: 10)")
    add("--seed", type=int, default=0, help="the same seed gives the same file (default: 0)")
    add(
        "--false-premises",
        type=float,
        default=0.0,
        metavar="X",
        help='share of questions in which a phrase with "the" names nothing, or several objects; they have no answer, '
        'and every question says so in its field "premise": holds, absent or ambiguous (default: 0)',
    )


def run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.clevr.question_generation.families import load_templates
    from vqa.clevr.question_generation.generate_questions import make_question_file

    templates = load_templates(args.templates, args.families)
    with tqdm(desc="questions", unit=" images", delay=2) as bar:
        written = make_question_file(
            args.scenes, args.out, templates, args.per_image, args.seed, args.false_premises, bar.update
        )
    print(f"{args.out}: {written} questions on {bar.n} images from {len(templates)} families")
