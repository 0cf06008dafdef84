"""`vqa explain`: why a model answered so, what its channels track, and whether they matter."""

import argparse
from collections.abc import Callable


def register(commands: argparse._SubParsersAction) -> None:
    """Add `vqa explain`."""
    parser = commands.add_parser(
        "explain",
        help="why a model answered so, and whether its channels matter",
        description="Show what is behind an answer, chart what each channel tracks, and measure whether the channels "
        "that weigh most matter most.",
    )
    kinds = parser.add_subparsers(prog="vqa explain", dest="kind", metavar="WHAT", required=True)
    _register_ask(kinds)
    _register_atlas(kinds)
    _register_faithfulness(kinds)


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", required=True, help="CLEVR folder with scenes and programs")
    parser.add_argument("--split", default="val", metavar="NAME", help="held-out images (default: val)")
    _add_model(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", metavar="FOLDER|HUB_ID", help="model (default: the shipped one)")
    parser.add_argument("--device", help="cpu, cuda, ... (default: a GPU where there is one)")


def _register_ask(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "ask",
        help="draw what is behind one answer",
        description="Answer one question about one image and draw why: the places and words that each block used, "
        "its channels' weights, the evidence of the answer, Grad-CAM for comparison, and, where the image's scene is "
        "known, the objects that the question refers to.",
    )
    parser.add_argument("image", metavar="IMAGE", help="image file")
    parser.add_argument("question", metavar="QUESTION", help='for example "What color is the cube left of the sphere?"')
    parser.add_argument("--out", metavar="FILE", required=True, help="to write; a .png, a .html page, or .json numbers")
    parser.add_argument("--scenes", metavar="FILE", help="CLEVR scene file with this image, by its file name")
    _add_model(parser)
    parser.set_defaults(run=_ask)


def _ask(args: argparse.Namespace) -> None:
    from pathlib import Path

    from vqa.clevr.annotations import read_scenes
    from vqa.errors import InputError
    from vqa.evaluation.evaluate import check_writable
    from vqa.utils.files import atomic_write
    from vqa.utils.images import load_image

    kind = Path(args.out).suffix.lower()
    if kind not in (".png", ".html", ".json"):
        raise InputError(f"--out {args.out}: must end in .png, .html or .json")
    check_writable(args.out)
    image = load_image(args.image)
    scene = None
    if args.scenes:
        name = Path(args.image).name
        scene = read_scenes(args.scenes).get(name)
        if scene is None:
            raise InputError(f"{args.scenes}: has no scene of {name!r}; leave --scenes out, or give this image's")

    import orjson

    from vqa.explain.explanation import explain
    from vqa.explain.explanation_html import html_explanation
    from vqa.explain.explanation_png import png_explanation
    from vqa.inference.answerer import VisualQuestionAnswerer

    explanation = explain(VisualQuestionAnswerer(*_load(args)), image, args.question, scene)
    with atomic_write(args.out) as file:
        if kind == ".png":
            file.write(png_explanation(explanation))
        elif kind == ".html":
            file.write(html_explanation(explanation).encode())
        else:
            file.write(orjson.dumps(explanation.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
    print(f"{explanation.answer.answer} ({explanation.answer.confidence:.1%}); {args.out}")


def _register_atlas(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "atlas",
        help="chart the concept that each channel tracks",
        description="Find for every channel of every block the concept whose objects its map picks out (color, shape, "
        "size, material, place, what is asked for), beside a baseline with permuted labels; how its weights move with "
        "the type of question; and how much of their variance question and image explain, block by block. Written "
        "beside the weights, for the page.",
    )
    _add_set(parser)
    parser.add_argument("--images", "--pictures", type=int, default=400, metavar="N", help="to look at (default: 400)")
    parser.add_argument("--out", metavar="FILE", help="file to write (default: atlas.json in the checkpoint's folder)")
    parser.add_argument(
        "--beside",
        metavar="FILE",
        help="another atlas of this checkpoint: say how many channels keep their concept",
    )
    parser.set_defaults(run=_atlas)


def _atlas(args: argparse.Namespace) -> None:
    from pathlib import Path

    from vqa.clevr.dataset.loading import open_data
    from vqa.errors import InputError
    from vqa.evaluation.evaluate import check_writable
    from vqa.explain.atlas import FILENAME, format_atlas, format_stability, read_atlas, write_atlas
    from vqa.explain.build_atlas import survey
    from vqa.inference.checkpoints import checkpoint_folder, weights_sha256

    if not 10 <= args.images <= 100_000:
        raise InputError(f"--images: must be 10 to 100,000, got {args.images}")
    _check_seed(args.seed)
    folder = checkpoint_folder(args.checkpoint)
    out = args.out or folder / FILENAME
    check_writable(out)
    other = read_atlas(folder, args.beside) if args.beside else None
    data = open_data(args.data, args.split)
    about = {
        "data": Path(args.data).resolve().name,
        "split": args.split,
        "weights_sha256": weights_sha256(folder),
    }
    model, processor = _load(args)
    atlas = survey(model, processor, data, images=args.images, seed=args.seed, about=about, progress=_progress_bars())
    write_atlas(atlas, out)
    print(format_atlas(atlas))
    if other:
        print(f"\n{format_stability(other, atlas)}")
    print(f"\n{out}: {Path(out).stat().st_size / 1000:.0f} kB")


def _register_faithfulness(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "faithfulness",
        help="measure whether the channels that weigh most matter most",
        description="Rank channels by SE weight, by its distance from the channel's mean, and by gate x activation; "
        "remove the top, the bottom and random ones of like activation, and see how many answers are lost. Let gates "
        "and FiLM no longer follow the question. See whether evidence points at the objects that are meant, and "
        "whether rankings and answers stay under another wording.",
    )
    _add_set(parser)
    parser.add_argument("--questions", type=int, default=300, metavar="N", help="sample size (default: 300)")
    parser.add_argument(
        "--channels",
        type=int,
        nargs="+",
        action="extend",
        metavar="K",
        help="how many of each block to remove (default: a sixteenth and a quarter of them)",
    )
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="of random channels (default: 20)")
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write all figures as JSON; faithfulness.json beside the weights is shown on the page",
    )
    parser.add_argument("--plot", metavar="FILE", help="write a PNG with accuracy over the channels removed")
    parser.set_defaults(run=_faithfulness)


def _faithfulness(args: argparse.Namespace) -> None:
    import shlex
    from pathlib import Path

    from vqa.clevr.dataset.loading import open_data
    from vqa.errors import InputError
    from vqa.evaluation.evaluate import check_writable
    from vqa.inference.checkpoints import weights_sha256
    from vqa.utils.files import atomic_write

    for flag, value, most in (("--questions", args.questions, 1_000_000), ("--draws", args.draws, 1000)):
        if not 1 <= value <= most:
            raise InputError(f"{flag}: must be 1 to {most:,}, got {value}")
    _check_seed(args.seed)
    for path in filter(None, (args.json, args.plot)):
        check_writable(path)
    data = open_data(args.data, args.split)

    import orjson
    from tqdm import tqdm

    from vqa.explain.faithfulness_report import format_faithfulness, measure_faithfulness, plot_faithfulness

    model, processor = _load(args)
    channels = args.channels or sorted({max(1, model.config.width // 16), max(1, model.config.width // 4)})
    words = ["vqa", "explain", "faithfulness", "--data", args.data, "--split", args.split]
    words += ["--questions", str(args.questions), "--channels", *map(str, channels), "--draws", str(args.draws)]
    report = measure_faithfulness(
        model,
        processor,
        data,
        questions=args.questions,
        channels=sorted(set(channels)),
        draws=args.draws,
        seed=args.seed,
        about={
            "command": shlex.join([*words, "--seed", str(args.seed)]),
            "data": Path(args.data).resolve().name,
            "split": args.split,
            "weights_sha256": weights_sha256(args.checkpoint),
        },
        progress=lambda answers: tqdm(total=answers, desc="answers", unit="", disable=None).update,
    )
    print(format_faithfulness(report))
    if args.json:
        with atomic_write(args.json) as file:
            file.write(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
    if args.plot:
        with atomic_write(args.plot) as file:
            file.write(plot_faithfulness(report))


def _load(args: argparse.Namespace) -> tuple:
    from transformers.utils import logging

    from vqa.inference.checkpoints import load_checkpoint

    logging.disable_progress_bar()
    return load_checkpoint(args.checkpoint, args.device)


def _check_seed(seed: int) -> None:
    from vqa.errors import InputError

    if not 0 <= seed < 2**32:
        raise InputError(f"--seed: must be 0 to {2**32 - 1}, got {seed}")


def _progress_bars() -> Callable[[str, int], Callable[[int], object]]:
    from tqdm import tqdm

    def begin(stage: str, steps: int) -> Callable[[int], object]:
        return tqdm(total=steps, desc=stage, disable=None).update

    return begin
