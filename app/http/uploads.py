"""Visitors' files: what a client says it uploaded, checked."""

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client.utils import traverse
from PIL import Image

from vqa.errors import InputError
from vqa.utils.images import load_image

MAX_UPLOAD = "20mb"

_LARGEST, _KEPT = (2400, 2400), 16

_SERVED = "/gradio_api/file="
_EXPECTED = "picture: expected an uploaded file; upload it first and give the path that you got (no URL is fetched)"


class Page(gr.Blocks):
    """Blocks that read uploaded files only, and keep sessions for visitors of the page only.

    Gradio itself would fetch a file that is given by its URL, and check no path that comes without its mark. It would
    also keep a session of about 0.3 MB for every call of an endpoint, until those push the visitors' out.
    """

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        """Do as Gradio does; after a call of an endpoint forget its session, which has no state."""
        try:
            return await super().process_api(block_fn, *args, **kwargs)
        finally:
            session_hash = kwargs.get("session_hash")
            if getattr(block_fn, "api_visibility", "private") == "public" and session_hash is not None:
                with self.state_holder.lock:
                    self.state_holder.session_data.pop(session_hash, None)
                    self.state_holder.time_last_used.pop(session_hash, None)

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        """Refuse inputs that name any other file, and text that is none, then do as Gradio does."""
        for component, value in zip(block_fn.inputs, inputs, strict=False):
            if isinstance(component, gr.Textbox) and not isinstance(value, str | None):
                raise gr.Error(f"{component.label}: expected text", print_exception=False)
        inputs = traverse(inputs, _check_uploaded, lambda item: isinstance(item, dict) and {"path", "url"} & set(item))
        return await super().preprocess_data(block_fn, inputs, *args, **kwargs)


def read_upload(file: Any) -> Image.Image:
    """The image of an uploaded file: Gradio's FileData {"path", "orig_name", ...}, its path checked by `Page`.

    Raises InputError where there is none or `load_image` refuses it.
    """
    if file is None:
        raise InputError("picture: there is none; upload one, paste one or choose one of the examples")
    if not isinstance(file, dict) or "path" not in file:
        raise InputError(_EXPECTED)
    return _DECODED.read(file["path"], upload_name(file))


class DecodedImages:
    """The images of the last files read, so that a question more costs no decoding.

    One that is larger than `_LARGEST` is kept at that size: ten times what the model reads, and soon drawn.
    """

    def __init__(self) -> None:
        self._images: OrderedDict[str, Image.Image] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, name: str) -> Image.Image:
        """The image of a file. Raises InputError as `load_image` does."""
        with self._lock:
            image = self._images.pop(path, None)
        if image is None:
            image = load_image(path, name)
            image.thumbnail(_LARGEST, reducing_gap=3)
        with self._lock:
            self._images[path] = image
            if len(self._images) > _KEPT:
                self._images.popitem(last=False)
        return image


_DECODED = DecodedImages()
"""Gradio names an uploaded file by its content, so that a path never means another image."""


def is_upload(path: object) -> bool:
    """Whether a path that a client sent is that of an uploaded file which is still here."""
    return (
        isinstance(path, str)
        and "\0" not in path
        and is_in_or_equal(path, get_upload_folder())
        and Path(path).is_file()
    )


def save_image(image: Image.Image, name: str) -> str:
    """Keep an image among the uploaded files; its path."""
    return save_pil_to_cache(image, get_upload_folder(), name, "png")


def upload_name(file: dict[str, Any]) -> str:
    """What the visitor's file was called, shortened."""
    name = file.get("orig_name")
    return Path(name if isinstance(name, str) and name else file["path"]).name[:60]


def _check_uploaded(file: dict[str, Any]) -> dict[str, Any]:
    """The file without its URL, and with the path in its stead where the URL is that of an upload here."""
    path = file.get("path")
    if isinstance(path, str) and _SERVED in path:
        path = unquote(path.partition(_SERVED)[2])
    if not isinstance(path, str) or "\0" in path or not is_in_or_equal(path, get_upload_folder()):
        raise gr.Error(_EXPECTED, print_exception=False)
    return {**{name: value for name, value in file.items() if name != "url"}, "path": path}


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY = 32_000_000
"""Bytes; an image of the allowed 20 MB in base64, and its question, fit."""


class BodyLimit:
    """ASGI middleware: answers 413 to a request that is longer than `most` bytes, announced or not."""

    def __init__(self, app: Any, most: int = MAX_BODY) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it is too long."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self.most:
            return await _refuse(send, self.most)
        got, over, started = 0, False, False

        async def counted() -> Message:
            nonlocal got, over
            message = await receive()
            got += len(message.get("body", b""))
            if got > self.most:
                over = True
                return {"type": "http.disconnect"}
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            if not over:
                started = True
                await send(message)

        try:
            await self.app(scope, counted, watched)
        except Exception:
            if not over:
                raise
        if over and not started:
            await _refuse(send, self.most)


async def _refuse(send: Send, most: int) -> None:
    body = f'{{"detail": "the request is longer than {most // 1_000_000} MB"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
