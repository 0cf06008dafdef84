"""Images from anywhere: upright RGB, or a message."""

import io
import struct
import time
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vqa.clevr.annotations import image_path
from vqa.errors import InputError
from vqa.utils.images import FORMATS, load_image, parse_size, resize_image, to_rgb
from vqa.utils.resources import shipped

IMAGE = image_path(shipped("data/clevr-mini"), "val", "CLEVR_val_000000.jpg")
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_path_bytes_and_file_give_the_same_image():
    images = [load_image(IMAGE), load_image(str(IMAGE)), load_image(IMAGE.read_bytes())]
    with IMAGE.open("rb") as file:
        images.append(load_image(file))
    assert all(image.mode == "RGB" and image.size == (240, 160) for image in images)
    assert len({image.tobytes() for image in images}) == 1


def test_opaque_alpha_changes_nothing():
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    assert np.array_equal(np.array(load_image(encoded(Image.fromarray(rgba)))), PIXELS)


def test_transparency_lies_over_gray():
    rgba = np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)])
    assert set(np.array(load_image(encoded(Image.fromarray(rgba)))).ravel()) == {127}


def test_sixteen_bits_keep_their_brightness():
    gray = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    assert np.array_equal(np.array(load_image(encoded(Image.fromarray(gray))))[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_every_mode_becomes_rgb(mode):
    assert to_rgb(Image.fromarray(PIXELS).convert("RGB").convert(mode)).mode == "RGB"


def test_exif_orientation_is_applied():
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = load_image(encoded(image, "PNG", exif=exif))
    assert turned.size == (20, 30)
    assert np.array_equal(np.array(turned), np.rot90(PIXELS, -1))


@pytest.mark.parametrize(("width", "height"), [(40_000, 40_000), (10_000, 8_000), (2**31 - 1, 2**31 - 1), (1, 2**30)])
def test_bombs_are_refused_before_decoding(width, height, recwarn):
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"bomb\.png: .*pixels"):
        load_image(png_header(width, height), "bomb.png")
    assert time.perf_counter() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert not recwarn.list


def test_missing_folder_and_other_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: cannot be opened: No such file"):
        load_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match="cannot be opened: Is a directory"):
        load_image(tmp_path)
    with pytest.raises(InputError, match="cannot be opened"):
        load_image("a\0b")
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(InputError, match=r"text\.png: not an image of a known kind"):
        load_image(tmp_path / "text.png")
    with pytest.raises(InputError, match="not an image"):
        load_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_an_error(kind):
    assert kind in FORMATS
    whole = encoded(Image.fromarray(PIXELS), kind)
    assert load_image(whole).size == (30, 20)
    with pytest.raises(InputError, match=r"cut short|not an image"):
        load_image(whole[: len(whole) // 2])


@settings(max_examples=200)
@given(st.data())
def test_damaged_bytes_never_end_in_a_traceback(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]))
    content = bytearray(encoded(Image.fromarray(PIXELS), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        assert load_image(bytes(content)).mode == "RGB"


def test_resizing_is_antialiased_and_exact_at_its_own_size():
    board = Image.fromarray(np.indices((64, 96)).sum(0).astype(np.uint8) % 2 * 255).convert("RGB")
    assert np.array_equal(resize_image(board, (64, 96)), np.array(board))
    half = resize_image(board, (16, 24))
    assert half.shape == (16, 24, 3)
    assert np.abs(half.astype(int) - 127).max() <= 8


def test_sizes_are_height_by_width():
    assert parse_size("160x240") == (160, 240)
    for text in ("", "160", "x", "0x0", "7x9", "160x-240", "99999x10", "160x240x3", "160 x 240"):
        with pytest.raises(InputError, match="height x width"):
            parse_size(text)
