"""The atlas of a checkpoint: computed, stored, read back, and refused where it does not fit."""

import json
import shutil

import numpy as np
import pytest

from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.cli import main
from vqa.errors import InputError
from vqa.explain.anova import SOURCES
from vqa.explain.atlas import FILENAME, format_atlas, kind_counts, read_atlas, write_atlas
from vqa.explain.build_atlas import build_atlas
from vqa.explain.channel_weights import CHANNEL_WEIGHTS
from vqa.explain.concepts import CONCEPTS
from vqa.explain.probe_set import gather_probe_set
from vqa.inference.checkpoints import weights_sha256
from vqa.utils.records import to_json
from vqa.utils.resources import shipped


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint, tmp_path_factory):
    return shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("charted") / "checkpoint")


@pytest.fixture(scope="module")
def atlas(answerer, checkpoint, mini):
    about = {"data": "mini", "split": "val", "weights_sha256": weights_sha256(checkpoint)}
    return build_atlas(answerer.model, answerer.processor, mini, images=8, about=about)


def test_an_atlas_knows_every_channel(atlas):
    assert len(atlas.blocks) == 3
    for block in atlas.blocks:
        assert block.areas.shape == (16, len(CONCEPTS))
        assert (block.areas >= 0).all()
        assert (block.areas <= 1).all()
        assert (block.baseline >= 0.5 - 1e-6).all()
        assert set(block.weights) == set(CHANNEL_WEIGHTS)
        for found in block.weights.values():
            assert found.by_type.shape == (len(QUESTION_TYPES), 16)
            assert sum(found.shares[name] for name in SOURCES) in (0, pytest.approx(1, abs=1e-3))
        counts, areas = kind_counts(block)
        assert counts.total() == 16
        assert len(areas) == 16 - counts["none"]
        silent = block.active == 0
        assert all(block.concept(c) is None for c in np.flatnonzero(silent))
        assert (block.activation[silent] == 0).all()
    assert "Channels by the kind" in format_atlas(atlas)


def test_examples_are_shipped_images_and_places_in_them(atlas):
    examples = [item for block in atlas.blocks for some in block.examples for item in some]
    assert examples
    for item in examples:
        assert (shipped("data/clevr-mini/images") / item.split / item.filename).is_file()
        assert 0 <= item.x <= 1
        assert 0 <= item.y <= 1
        assert item.value > 0
    for some in atlas.blocks[0].examples:
        assert [item.value for item in some] == sorted((item.value for item in some), reverse=True)


def test_means_are_those_of_the_questions_asked(atlas, answerer, mini):
    """The mean weight of a channel, asked question by question through the front door."""
    material = gather_probe_set(answerer.model, answerer.processor, mini, images=8, per_image=5, seed=0)
    rows = {name: mini.image_file(row) for row, name in enumerate(mini.filenames)}
    gates = [
        answerer.ask(rows[material.filenames[image]], question.question).weights["block_2"]["channel_weights"]
        for image, question in zip(material.images, material.questions, strict=True)
    ]
    np.testing.assert_allclose(np.mean(gates, 0), atlas.blocks[1].weights["channel_weights"].mean, atol=1e-5)


def test_written_and_read_back(atlas, checkpoint):
    write_atlas(atlas, checkpoint / FILENAME)
    again = read_atlas(checkpoint)
    assert (checkpoint / FILENAME).stat().st_size < 200_000
    assert again.source == atlas.source
    for one, other in zip(again.blocks, atlas.blocks, strict=True):
        np.testing.assert_allclose(one.areas, other.areas, atol=1e-4)
        assert [one.concept(c) for c in range(16)] == [other.concept(c) for c in range(16)]


def test_an_atlas_of_other_weights_is_refused(atlas, checkpoint, tmp_path):
    other = shutil.copytree(checkpoint, tmp_path / "other")
    write_atlas(atlas, other / FILENAME)
    data = bytearray((other / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (other / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match=r"made for other weights.*vqa explain atlas"):
        read_atlas(other)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda record: None, "no channel atlas yet"),
        (lambda record: b"{", "Invalid JSON"),
        (lambda record: b"[" * 100_000, "Invalid JSON"),
        (lambda record: [], "should be an object"),
        (lambda record: record | {"format": "other"}, "format: Input should be"),
        (lambda record: record | {"concepts": ["red"]}, "concepts or types"),
        (lambda record: record | {"blocks": []}, "blocks: List should have at least 1"),
        (lambda record: record | {"blocks": record["blocks"][:2]}, "made for other weights"),
        (lambda record: record | {"blocks": [b | {"weights": {}} for b in record["blocks"]]}, "made for other weights"),
        (
            lambda record: record | {"blocks": [record["blocks"][0] | {"areas": [[0.5]]}]},
            r"blocks\[0\].areas: not of the block",
        ),
        (
            lambda record: record | {"blocks": [record["blocks"][0] | {"baseline": [None] * 16}]},
            r"blocks\[0\].baseline: Value error, must be finite",
        ),
        (
            lambda record: record | {"blocks": [record["blocks"][0] | {"examples": [1] * 16}]},
            r"blocks\[0\].examples\[0\]: ",
        ),
        (
            lambda record: record | {"blocks": [record["blocks"][0] | {"active": [10**400] * 16}]},
            r"blocks\[0\].active: ",
        ),
    ],
)
def test_a_broken_atlas_is_told(atlas, checkpoint, tmp_path, damage, complaint):
    path = tmp_path / "atlas.json"
    damaged = damage(to_json(atlas))
    if damaged is not None:
        path.write_bytes(damaged if isinstance(damaged, bytes) else json.dumps(damaged).encode())
    with pytest.raises(InputError, match=complaint):
        read_atlas(checkpoint, path)


def test_the_shipped_atlas_fits_the_shipped_weights():
    folder = shipped("checkpoints/film-qcse-clevr")
    atlas = read_atlas(folder)
    assert (folder / FILENAME).stat().st_size < 1_000_000
    assert atlas.source["pictures"] >= 100


def test_on_the_command_line(checkpoint, tmp_path, capsys):
    data = str(shipped("data/clevr-mini"))
    out = tmp_path / "new" / "atlas.json"
    command = ["explain", "atlas", "--data", data, "--checkpoint", str(checkpoint), "--device", "cpu"]
    assert main([*command, "--images", "10", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    assert read_atlas(checkpoint, out).source["pictures"] == 10
    assert main([*command, "--images", "10", "--out", str(out), "--beside", str(out)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.partition("Do channels track the same")[2].splitlines()]
    found = [row for row in rows if len(row) == 4]
    assert [row[0] for row in found] == ["1", "2", "3"]
    assert all(both == same and related == "1.00" for _, both, same, related in found)
    assert main([*command, "--images", "10", "--beside", str(tmp_path / "no.json")]) == 2
    assert f"--out {tmp_path / 'no.json'}" in capsys.readouterr().err
    assert main([*command, "--images", "1"]) == 2
    assert "--images 1: must lie from 10" in capsys.readouterr().err
    assert main([*command, "--split", "test"]) == 2
    assert main([*command, "--seed", "-1"]) == 2
