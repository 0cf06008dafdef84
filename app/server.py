"""Serving the page."""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence

from vqa.errors import InputError


def serve(
    checkpoints: Sequence[str] | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    device: str | None = None,
) -> None:
    """Load a model and serve the page until the process is interrupted or terminated; its address goes to stdout.

    The page asks the first of `checkpoints`, the shipped one by default; its tab "Compare" has the others too.
    Visitors' pictures lie in a private folder that is gone afterwards. Raises InputError for a broken checkpoint and
    for a host or port that cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="vqa-app-") as folder:
        # Gradio reads both when it is imported
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False")
        from app.demo import build_demo, launch_options
        from app.models import find_models

        demo = build_demo(find_models(checkpoints, device))
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
