"""Exports to ONNX, run in onnxruntime beside torch."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch

import vqa
from vqa.clevr.annotations import iter_questions, questions_path
from vqa.errors import InputError
from vqa.inference import onnx
from vqa.model.presets import build_config, build_model, build_processor
from vqa.utils.resources import shipped

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason=f"{package} is not installed: pip install 'film-se-vqa[onnx]'")


def _command(*words):
    return subprocess.run([sys.executable, "-m", "vqa", *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The shipped checkpoint's export, by the command."""
    folder = tmp_path_factory.mktemp("onnx") / "shipped"
    done = _command("export", "onnx", shipped("checkpoints/film-qcse-clevr"), "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module", params=["film-qcse", pytest.param("film-base", marks=pytest.mark.slow)])
def pair(request, tiny, tmp_path_factory):
    """A small model in torch and its export."""
    torch.manual_seed(0)
    config, folder = build_config(request.param, tiny), tmp_path_factory.mktemp("tiny")
    model, out = build_model(config).eval(), folder / "onnx"
    model.save_pretrained(folder)
    build_processor(config).save_pretrained(folder)
    onnx.export_onnx(folder, out)
    return model, onnx.load_onnx(out)[0]


@pytest.mark.parametrize(("images", "questions", "length"), [(1, 1, 1), (1, 4, 6), (3, 3, 2), (4, 7, 30)])
def test_outputs_are_those_of_torch(images, questions, length, pair):
    model, exported = pair
    pixels, index = torch.randn(images, 3, 32, 48), torch.arange(questions) % images
    tokens, mask = torch.randint(3, 20, (questions, length)), torch.ones(questions, length, dtype=torch.long)
    mask[0, (length + 1) // 2 :] = 0
    with torch.no_grad():
        features = model.encode_images(pixels)
        expected = model(image_features=features, input_ids=tokens, attention_mask=mask, image_index=index)
    torch.testing.assert_close(exported.encode_images(pixels), features, atol=1e-4, rtol=0)
    found = exported(exported.encode_images(pixels), tokens, mask, index)
    assert list(found) == list(expected)
    for name in ("logits", "film_gamma", "channel_weights", "spatial_weights", "word_weights", "head_channel_weights"):
        if expected.get(name) is not None:
            torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=0)


def test_answers_are_those_of_torch(exported):
    root = shipped("data/clevr-mini")
    asked = [(root / "images/val" / q.image_filename, q.question) for q in iter_questions(questions_path(root, "val"))]
    asked = asked[:60]
    found = vqa.load(exported, backend="onnx").ask(asked, batch_size=13)
    for one, expected in zip(found, vqa.load(device="cpu").ask(asked), strict=True):
        assert one.answer == expected.answer
        assert one.confidence == pytest.approx(expected.confidence, abs=1e-3)
        assert (one.together, one.because, one.words) == (expected.together, expected.because, expected.words)
        assert [step["operation"] for step in one.steps] == [step["operation"] for step in expected.steps]


def test_it_is_pickled_and_timed_and_says_what_it_lacks(exported):
    loaded = vqa.load(exported, device="cpu", backend="onnx")
    picture = next(shipped("data/clevr-mini").glob("images/val/*.jpg"))
    again = pickle.loads(pickle.dumps(loaded))
    assert again.ask(picture, "Is there a cube?").answer == loaded.ask(picture, "Is there a cube?").answer
    assert not hasattr(loaded.model, "blocks")
    with pytest.raises(InputError, match="has no blocks; load the checkpoint with torch"):
        loaded.model.blocks  # noqa: B018
    done = _command("benchmark", "ask", "--backend", "onnx", "--checkpoint", exported, "--runs", 2, "--json")
    assert json.loads(done.stdout)["backend"] == "onnx", done.stderr


def _replace(name):
    """Another graph under this name, and its SHA-256 in the record."""

    def change(folder):
        other = folder / ("stem.onnx" if name == "question.onnx" else "question.onnx")
        record = json.loads((folder / "onnx.json").read_text())
        shutil.copy(other, folder / name)
        record[name] = hashlib.sha256(other.read_bytes()).hexdigest()
        (folder / "onnx.json").write_text(json.dumps(record))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "onnx.json").unlink(), "no ONNX export, for onnx.json is missing"),
        (lambda folder: (folder / "stem.onnx").unlink(), "no ONNX export, for stem.onnx is missing"),
        (lambda folder: (folder / "onnx.json").write_text("[]"), "holds no JSON object"),
        (lambda folder: (folder / "onnx.json").write_text('{"stem.onnx": 1}'), "not the file that onnx.json names"),
        (lambda folder: (folder / "question.onnx").write_bytes(b"no graph"), "not the file that onnx.json names"),
        (_replace("question.onnx"), "onnxruntime cannot run it"),
        (_replace("stem.onnx"), "onnxruntime cannot run it"),
    ],
)
def test_broken_folders_are_refused(change, message, exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "broken")
    change(folder)
    with pytest.raises(InputError, match=message):
        vqa.load(folder, backend="onnx")


def test_mistakes_are_input_errors(exported, tiny_checkpoint, tmp_path, monkeypatch):
    done = _command("export", "onnx", tiny_checkpoint, "--out", tiny_checkpoint)
    assert (done.returncode, "give --out a folder of its own" in done.stderr) == (2, True)
    for device, backend, message in (("cuda", "onnx", "is not available"), (None, "tensorrt", "use torch or onnx")):
        with pytest.raises(InputError, match=message):
            vqa.load(exported, device, backend)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime is not installed; `pip install 'film-se-vqa\[onnx\]'`"):
        vqa.load(exported, backend="onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match="onnxscript is not installed"):
        onnx.export_onnx(tiny_checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_record_names_the_weights(exported):
    record = json.loads((exported / "onnx.json").read_text())
    weights = (shipped("checkpoints/film-qcse-clevr") / "model.safetensors").read_bytes()
    assert record["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert sum(name.startswith("film_gamma") for name in record["outputs"]) == 6
