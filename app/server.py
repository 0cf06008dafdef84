"""Serving the page."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqa.errors import InputError


def serve(
    checkpoints: Sequence[str] | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    device: str | None = None,
    results: Sequence[str] | None = None,
    blender: str | None = None,
) -> None:
    """Load a model and serve the page until the process is interrupted or terminated; its address goes to stdout.

    The page asks the first of `checkpoints`, the shipped one by default; its tab "Compare" has the others too.
    `results` are folders of reports, by default those beside the checkpoints. Visitors' images lie in a private
    folder that is gone afterwards. Raises InputError for a broken checkpoint, a folder that is missing, and for a host
    or port that is unavailable.
    """
    for name in results or ():
        if not Path(name).is_dir():
            raise InputError(f"--results {name}: no such folder")
    with tempfile.TemporaryDirectory(prefix="vqa-app-") as folder:
        # Gradio reads both when it is imported
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False")
        demo, options = _build(checkpoints, device, results, blender)
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            _, address, public = demo.launch(
                server_name=host,
                server_port=port,
                share=share,
                quiet=True,
                prevent_thread_lock=True,
                inbrowser=False,
                **options,
            )
            print(f"The page is at {public or address}  (stop it with Ctrl-C)", flush=True)
            threading.Event().wait()
        except OSError as error:
            raise InputError(f"--host {host} --port {port or '7860 to 7959'}: cannot listen there: {error}") from error
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
        finally:
            demo.close(verbose=False)
            signal.signal(signal.SIGTERM, before)


def _build(
    checkpoints: Sequence[str] | None, device: str | None, results: Sequence[str] | None, blender: str | None
) -> tuple[Any, dict[str, Any]]:
    """The page and how to launch it, saying on stderr what takes its time."""
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - start:4.0f} s  {text}", file=sys.stderr, flush=True)

    say("loading PyTorch and Gradio")
    from app.demo import build_demo, launch_options
    from app.models import find_models

    models = find_models(checkpoints, device)
    say(f"loading the model {models.names[0]}")
    models.answerer()
    say("building the page")
    own = models.folders.values()
    beside = [path / "results" for path in own] + [other for path in own for other in path.parent.glob("*/results")]
    demo = build_demo(models, [Path(name) for name in results] if results else [*dict.fromkeys(beside)], blender)
    say("starting the server")
    return demo, launch_options()
