"""`vqa explain atlas`: chart the concept that each channel tracks."""

import argparse
from collections.abc import Callable

from vqa.cli.arguments import add_set, check_range, check_seed, load_model


def register(actions: argparse._SubParsersAction) -> None:
    """Add `explain atlas`."""
    parser = actions.add_parser(
        "atlas",
        help="chart the concept that each channel tracks",
        description="Find for every channel of every block the concept whose objects its map picks out (color, shape, "
        "size, material, place, what is asked for), beside a baseline with permuted labels; how its weights move with "
        "the type of question; and how much of their variance question and image explain, block by block. Written "
        "beside the weights, for the page.",
    )
    add_set(parser)
    parser.add_argument("--images", type=int, default=400, metavar="N", help="to look at (default: 400)")
    parser.add_argument("--out", metavar="FILE", help="file to write (default: atlas.json in the checkpoint's folder)")
    parser.add_argument(
        "--beside",
        metavar="FILE",
        help="another atlas of this checkpoint: say how many channels keep their concept",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from vqa.clevr.dataset.loading import open_data
    from vqa.evaluation.evaluate import check_writable
    from vqa.explain.atlas import FILENAME, format_atlas, format_stability, read_atlas, write_atlas
    from vqa.explain.build_atlas import build_atlas
    from vqa.inference.checkpoints import checkpoint_folder, weights_sha256

    check_range("--images", args.images, 10, 100_000)
    check_seed(args.seed)
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
    model, processor = load_model(args)
    atlas = build_atlas(
        model, processor, data, images=args.images, seed=args.seed, about=about, progress=_progress_bars()
    )
    write_atlas(atlas, out)
    print(format_atlas(atlas))
    if other:
        print(f"\n{format_stability(other, atlas)}")
    print(f"\n{out}: {Path(out).stat().st_size / 1000:.0f} kB")


def _progress_bars() -> Callable[[str, int], Callable[[int], object]]:
    from tqdm import tqdm

    def begin(stage: str, steps: int) -> Callable[[int], object]:
        return tqdm(total=steps, desc=stage, disable=None).update

    return begin
