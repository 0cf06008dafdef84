"""`vqa ask` as a user types it."""

import json
import struct
import zlib

import pytest

from vqa.clevr.vocabulary import ANSWERS
from vqa.cli import main

QUESTION = "What color is the big cube left of the ball?"


@pytest.fixture
def ask(tiny_checkpoint, image_file, capfd):
    def run(*arguments, image=image_file, question=QUESTION, checkpoint=tiny_checkpoint):
        code = main(["ask", str(image), question, "--checkpoint", str(checkpoint), "--device", "cpu", *arguments])
        return code, *capfd.readouterr()

    return run


def test_it_answers_and_explains(ask):
    code, out, err = ask()
    assert code == 0
    # an untrained model sees nothing, and says so
    assert err == "vqa: warning: There is no sphere. The answer is about something else.\n"
    lines = out.splitlines()
    assert lines[0].split()[0] in ANSWERS
    assert lines[0].endswith("%")
    assert [line for line in lines if line.startswith("block")] == ["block 1", "block 2", "block 3"]
    for kind in ("step", "words", "gamma", "channels"):
        assert sum(line.startswith(f"  {kind} ") for line in lines) == 3


def test_json_is_all_that_stdout_holds(ask):
    code, out, err = ask("--json", question="What color is the elephant?")
    data = json.loads(out)
    assert code == 0
    assert data["answer"] in ANSWERS
    assert data["unknown_words"] == ["elephant"]
    assert data["in_domain"] is None
    assert {"film_gamma", "film_beta", "channel_weights", "word_weights"} <= set(data["weights"]["block_1"])
    assert err == "vqa: warning: the model does not know 'elephant'\n"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("", "question: it has no words"),
        ("   ", "question: it has no words"),
        ("cube " * 2000, "question: 10,000 characters"),
        ("¿De qué tamaño?", "it looks like Spanish"),
        ("这个球是什么颜色?", "it looks like Chinese"),
        ("xyzzy plugh", "none of its words is known"),
    ],
)
def test_a_question_that_cannot_be_asked(ask, question, message):
    code, out, err = ask("--json", question=question)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def _bomb():
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_a_image_that_cannot_be_read(ask, image_file, tmp_path):
    broken = {
        "text.png": (b"no image", "not an image"),
        "cut.png": (image_file.read_bytes()[:9000], "damaged or cut short"),
        "bomb.png": (_bomb(), "64,000,000"),
        "empty.png": (b"", "not an image"),
    }
    for name, (data, message) in broken.items():
        (tmp_path / name).write_bytes(data)
        code, out, err = ask(image=tmp_path / name)
        assert (code, out) == (2, "")
        assert name in err
        assert message in err
    for image in (tmp_path, tmp_path / "missing.png", ""):
        code, out, err = ask(image=image)
        assert (code, out) == (2, "")
        assert "Traceback" not in err


def test_a_checkpoint_that_cannot_be_used(ask, tmp_path, tiny_checkpoint):
    code, out, err = ask(checkpoint=tmp_path / "missing")
    assert (code, out) == (2, "")
    assert str(tmp_path / "missing") in err
    (tmp_path / "config.json").write_bytes((tiny_checkpoint / "config.json").read_bytes()[:50])
    code, out, err = ask(checkpoint=tmp_path)
    assert (code, out) == (2, "")
    assert "config.json: not JSON" in err


def test_a_device_that_is_not_here(ask):
    code, _, err = ask("--device", "cuda:99")
    assert code == 2
    assert "device" in err
