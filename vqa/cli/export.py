"""`vqa export`: write a checkpoint as ONNX, to run it with onnxruntime.

Write the stem and the question half of a checkpoint as two ONNX graphs, which take any number of images, questions and
words, and all else that `vqa.load(DIR, backend='onnx')` needs to ask them.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=["onnx"], help="what to write")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder, or owner/name on the Hugging Face hub")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder to write")


def run(args: argparse.Namespace) -> None:
    from vqa.inference.onnx import export_onnx

    export_onnx(args.checkpoint, args.out)
    print(f"wrote {args.out}; ask it with `vqa.load({args.out!r}, backend='onnx')`")
