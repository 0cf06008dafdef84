"""`vqa export ...`: a checkpoint in other programs' formats."""

import argparse


def register(commands: argparse._SubParsersAction) -> None:
    """Add `export`."""
    parser = commands.add_parser("export", help="a checkpoint in another program's format")
    actions = parser.add_subparsers(prog="vqa export", dest="format", metavar="FORMAT", required=True)
    onnx = actions.add_parser(
        "onnx",
        help="as ONNX, for onnxruntime",
        description="Write the stem and the question half as two ONNX graphs, with any number of images, questions and "
        "words, and all that `vqa.load(DIR, backend='onnx')` needs to ask them.",
    )
    onnx.add_argument("checkpoint", metavar="CHECKPOINT", help="folder, or owner/name on the Hugging Face hub")
    onnx.add_argument("--out", metavar="DIR", required=True, help="folder to write")
    onnx.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from transformers.utils import logging

    from vqa.inference.onnx import export_onnx

    logging.disable_progress_bar()
    export_onnx(args.checkpoint, args.out)
    print(f"wrote {args.out}; ask it with `vqa.load({args.out!r}, backend='onnx')`")
