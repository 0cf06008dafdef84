"""The page: what all tabs share, and the tabs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from app.context import AppContext, html
from app.examples import IMAGES, load_examples
from app.http.endpoints import add_endpoints, use_tool_server
from app.http.uploads import MAX_UPLOAD, BodyLimit, Page
from app.models import Models
from app.tabs import channels, compare, compose, intervene, results, where
from app.tabs.ask import AskTab

_HERE = Path(__file__).parent
_HEADER = """\
<header><h1>Ask a CLEVR image</h1>
<p>A small neural network answers questions about pictures of simple objects, and shows the words, places and channels
that each of its blocks used.</p></header>
"""

TABS: tuple[tuple[str, Callable[[AppContext, gr.Tab], None]], ...] = (
    ("Where", where.build_tab),
    ("Channels", channels.build_tab),
    ("Intervene", intervene.build_tab),
    ("Compare", compare.build_tab),
    ("Compose", compose.build_tab),
    ("Results", results.build_tab),
)
"""Title and builder of each tab after "Ask". A builder lays its tab out in the Blocks being built and listens."""


def build_demo(models: Models, reports: Sequence[Path] = (), blender: str | None = None) -> gr.Blocks:
    """The whole page with its API, ready to launch with `launch_options`."""
    use_tool_server()
    examples = load_examples()
    with Page(title="Ask a CLEVR picture", analytics_enabled=False, delete_cache=(600, 3600)) as demo:
        html(_HEADER)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Ask", id="ask"):
                ask = AskTab(models.answerer(), examples)
                ask.build(demo)
            context = AppContext(models, examples, ask.image, ask.question, reports, blender)
            for title, build_tab in TABS:
                with gr.Tab(title, id=title.lower()) as tab:
                    build_tab(context, tab)
        add_endpoints(models.answerer())
    return demo.queue(max_size=200, default_concurrency_limit=2)


def launch_options() -> dict[str, Any]:
    """What `Blocks.launch` needs for the page's looks and limits."""
    return {
        "theme": _theme(),
        "css": (_HERE / "static" / "page.css").read_text(encoding="utf-8"),
        "allowed_paths": [str(IMAGES)],
        "max_file_size": MAX_UPLOAD,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "mcp_server": True,
        "app_kwargs": {"middleware": [Middleware(GZipMiddleware, compresslevel=6), Middleware(BodyLimit)]},
        "pwa": False,
        "state_session_capacity": 1000,
    }


def _theme() -> gr.themes.Base:
    ink, paper = gr.themes.colors.slate, gr.themes.colors.zinc
    return gr.themes.Base(
        primary_hue=ink,
        secondary_hue=ink,
        neutral_hue=paper,
        radius_size=gr.themes.sizes.radius_lg,
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    ).set(
        body_background_fill="#f6f6f3",
        body_background_fill_dark="#111316",
        block_background_fill="#ffffff",
        block_background_fill_dark="#191c20",
        block_border_color="#e2e3df",
        block_border_color_dark="#2d3238",
        block_border_width="1px",
        block_shadow="none",
        block_title_text_color="#59616b",
        block_title_text_color_dark="#a5adb7",
        block_label_text_color="#59616b",
        block_label_text_color_dark="#a5adb7",
        body_text_color_subdued="#59616b",
        body_text_color_subdued_dark="#a5adb7",
        block_info_text_color="#59616b",
        block_info_text_color_dark="#a5adb7",
        input_background_fill="#ffffff",
        input_background_fill_dark="#191c20",
        input_border_color="#8b9098",
        input_border_color_dark="#6b727b",
        input_border_width="1px",
        button_primary_background_fill="#1b1f24",
        button_primary_background_fill_hover="#3a4149",
        button_primary_background_fill_dark="#e9ecef",
        button_primary_background_fill_hover_dark="#ffffff",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#111316",
    )
