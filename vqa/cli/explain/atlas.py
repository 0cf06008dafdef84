"""`vqa explain atlas`: chart the concept that each channel tracks.

Find for every channel of every block the concept whose objects its map picks out (color, shape, size, material, place,
what is asked for), beside a baseline with permuted labels; how its weights move with the type of question; and how much
of their variance question and image explain, block by block. Written beside the weights, for the page.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from vqa.cli.arguments import add_number, add_set


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_set(parser)
    add_number(parser, "--images", 10, 100_000, "to look at", default=400)
    add("--out", metavar="FILE", help="file to write (default: atlas.json in the checkpoint's folder)")
    other = "another atlas of this checkpoint: say how many channels keep their concept"
    add("--beside", metavar="FILE", help=other)


def run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vqa.clevr.dataset.loading import open_data
    from vqa.evaluation.evaluate import check_writable
    from vqa.explain.atlas import FILENAME, format_atlas, format_stability, read_atlas, write_atlas
    from vqa.explain.build_atlas import build_atlas
    from vqa.inference.checkpoints import checkpoint_folder, load_checkpoint, weights_sha256

    def progress(stage: str, steps: int) -> Callable[[int], object]:
        return tqdm(total=steps, desc=stage, disable=None).update

    folder = checkpoint_folder(args.checkpoint)
    out = Path(args.out or folder / FILENAME)
    check_writable(out)
    other = read_atlas(folder, args.beside) if args.beside else None
    data = open_data(args.data, args.split)
    about = {"data": Path(args.data).resolve().name, "split": args.split, "weights_sha256": weights_sha256(folder)}
    model, processor = load_checkpoint(args.checkpoint, args.device)
    atlas = build_atlas(model, processor, data, images=args.images, seed=args.seed, about=about, progress=progress)
    write_atlas(atlas, out)
    print(format_atlas(atlas))
    if other:
        print(f"\n{format_stability(other, atlas)}")
    print(f"\n{out}: {out.stat().st_size / 1000:.0f} kB")
