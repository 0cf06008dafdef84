"""How long an answer takes."""

import json
import time

import pytest

import vqa
from vqa.benchmarks.latency import WARMUP, Latency, measure_asking
from vqa.cli import main
from vqa.utils.resources import shipped


def test_median_and_p95_in_milliseconds():
    latency = Latency.of("call", [k / 1000 for k in range(1, 101)])
    assert (latency.runs, latency.median_ms) == (100, pytest.approx(50.5))
    assert 95 <= latency.p95_ms <= 96


def test_a_new_image_runs_the_stem_and_the_next_question_does_not(tiny_checkpoint, monkeypatch):
    answerer = vqa.load(tiny_checkpoint, "cpu")
    encode, ran = answerer.model.encode_images, []

    def slow(pixels):
        ran.append(1)
        time.sleep(0.05)
        return encode(pixels)

    monkeypatch.setattr(answerer.model, "encode_images", slow)
    data = (shipped("data/clevr-mini") / "images/val/CLEVR_val_000000.jpg").read_bytes()
    new, following = measure_asking(answerer, [(data, ["How many cubes?", "Is there a cube?"])], runs=4)
    assert len(ran) == 4 + WARMUP
    assert new.median_ms > 50
    assert following.median_ms < new.median_ms


def test_the_command(tiny_checkpoint, capsys):
    assert main(["benchmark", "ask", "--checkpoint", str(tiny_checkpoint), "--device", "cpu", "--runs", "3"]) == 0
    table = capsys.readouterr().out
    assert "new image" in table
    assert "next question" in table
    assert main(["benchmark", "ask", "--checkpoint", str(tiny_checkpoint), "--runs", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["runs"] for one in report["latencies"]] == [3, 3]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--runs", "0"], "--runs 0: must lie from 1"),
        (["--threads", "0"], "--threads"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--split", "../x"], "split"),
        (["--checkpoint", "no/such/folder"], "no/such/folder"),
    ],
)
def test_flags_that_are_wrong(flags, complaint, capsys):
    assert main(["benchmark", "ask", *flags]) == 2
    assert complaint in capsys.readouterr().err
