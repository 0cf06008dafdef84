"""`vqa app`: ask questions in a web page.

Serve a page that answers questions about images and shows what each block of the model used.
"""

import argparse

from vqa.cli.arguments import add_device, add_list, add_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is all (default: 127.0.0.1)")
    add_number(parser, "--port", 1, 65535, "default: the first free one from 7860 on", metavar="PORT")
    add("--share", action="store_true", help="also make a public link by Gradio's tunnel")
    models = "model to ask, and others to compare it with (default: the shipped ones)"
    add_list(parser, "--checkpoint", "FOLDER|HUB_ID", models)
    reports = (
        "folders with reports of `vqa evaluate --json` to show (default: results/ of the checkpoints, and beside them)"
    )
    add_list(parser, "--results", "DIR", reports)
    add("--blender", metavar="FILE", help="Blender to render with (default: bpy, where uv has it)")
    add("--export-space", metavar="DIR", help="serve nothing: write a folder to push as a Hugging Face Space")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    from app.server import serve

    if args.export_space:
        from app.space import export_space

        export_space(args.export_space, args.checkpoint)
        print(f"{args.export_space}: push this folder to a Gradio Space")
        return
    serve(args.checkpoint, args.host, args.port, args.share, args.device, args.results, args.blender)
