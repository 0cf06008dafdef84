"""Serving the page."""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

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
    or port that cannot be had.
    """
    for name in results or ():
        if not Path(name).is_dir():
            raise InputError(f"--results {name}: no such folder")
    with tempfile.TemporaryDirectory(prefix="vqa-app-") as folder:
        # Gradio reads both when it is imported
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False")
        from app.demo import build_demo, launch_options
        from app.models import find_models

        models = find_models(checkpoints, device)
        own = models.folders.values()
        beside = [path / "results" for path in own] + [other for path in own for other in path.parent.glob("*/results")]
        places = [Path(name) for name in results] if results else [*dict.fromkeys(beside)]
        demo = build_demo(models, places, blender)
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            _, address, public = demo.launch(
                server_name=host,
                server_port=port,
                share=share,
                quiet=True,
                prevent_thread_lock=True,
                inbrowser=False,
                **launch_options(),
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
