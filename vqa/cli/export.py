"""`vqa export`: a checkpoint as ONNX.

As ONNX, for onnxruntime: write the stem and the question half as two graphs, with any number of images, questions and
words, and all that `vqa.load(DIR, backend='onnx')` needs to ask them.
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
