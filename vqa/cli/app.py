"""`vqa app`: the model in a web page."""

import argparse

from vqa.cli.arguments import add_device


def register(commands: argparse._SubParsersAction) -> None:
    """Add `app`."""
    parser = commands.add_parser(
        "app",
        help="ask questions in a web page",
        description="Serve a page that answers questions about images and shows what each block of the model used.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is all (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="also make a public link by Gradio's tunnel")
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        action="extend",
        metavar="FOLDER|HUB_ID",
        help="model to ask, and others to compare it with (default: the shipped ones)",
    )
    parser.add_argument(
        "--results",
        nargs="+",
        action="extend",
        metavar="DIR",
        help="folders with reports of `vqa evaluate --json` to show (default: results/ of the checkpoints, and beside "
        "them)",
    )
    parser.add_argument("--blender", metavar="FILE", help="Blender to render with (default: bpy, where uv has it)")
    parser.add_argument(
        "--export-space", metavar="DIR", help="serve nothing: write a folder to push as a Hugging Face Space"
    )
    add_device(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from vqa.errors import InputError

    if args.port is not None and not 1 <= args.port <= 65535:
        raise InputError(f"--port: {args.port} is not between 1 and 65535")

    from transformers.utils import logging

    from app.server import serve

    logging.disable_progress_bar()
    if args.export_space:
        from app.space import export_space

        export_space(args.export_space, args.checkpoint)
        print(f"{args.export_space}: push this folder to a Gradio Space")
        return
    serve(args.checkpoint, args.host, args.port, args.share, args.device, args.results, args.blender)
