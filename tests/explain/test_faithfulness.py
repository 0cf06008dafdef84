"""Faithfulness is measured right: on a model whose answer hangs on one channel, the measures say so."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from app.views.faithfulness import faithfulness_card
from vqa.cli import main
from vqa.errors import InputError
from vqa.explain.faithfulness import Experiment, matched_channels, measure_gates, measure_removal
from vqa.explain.faithfulness_report import FILENAME, read_faithfulness
from vqa.explain.paraphrase_stability import measure_paraphrase, rank_correlation, top_overlap
from vqa.explain.pointing_game import measure_pointing
from vqa.explain.probe_set import gather_probe_set
from vqa.model.presets import build_config, build_model, build_processor
from vqa.utils.records import to_json
from vqa.utils.resources import shipped


@settings(max_examples=40)
@given(arrays(np.float32, (2, 5, 12), elements=st.floats(0, 10, width=32)), st.integers(1, 6), st.integers(0, 99))
def test_matched_channels_are_as_many_and_others(norms, number, seed):
    rng = np.random.default_rng(seed)
    chosen = np.zeros(norms.shape, bool)
    np.put_along_axis(chosen, rng.permuted(np.tile(np.arange(12), (2, 5, 1)), axis=2)[..., :number], True, axis=2)
    drawn = matched_channels(norms, chosen, rng)
    assert (drawn.sum(2) == number).all()
    assert not (drawn & chosen).any()


def test_matched_channels_are_of_like_activation():
    norms = np.exp(np.random.default_rng(0).normal(size=(1, 200, 64)) * 2)
    chosen = np.zeros(norms.shape, bool)
    chosen[..., ::8] = True
    drawn = matched_channels(norms, chosen, np.random.default_rng(1))
    mean = [np.log(norms[which]).mean() for which in (chosen, drawn)]
    assert abs(mean[0] - mean[1]) < 0.05


@pytest.fixture(scope="module")
def experiment(tiny, mini):
    """A model with a max pool that answers by channel 0 of its last block, which it always passes in full."""
    torch.manual_seed(0)
    overrides = (*tiny, "evidence=false", "head=max")
    config = build_config("film-qcse-1", overrides)
    model, processor = build_model(config).eval(), build_processor(config)
    with torch.no_grad():
        last = model.blocks[-1]
        last.gate.expand.bias.fill_(-4.0)
        last.gate.expand.bias[0] = 8.0
        last.gate.expand.weight.zero_()
        last.film.linear.weight.zero_()
        last.film.linear.bias.zero_()
        last.film.linear.bias[16] = 3.0  # beta of channel 0
        model.head.project.weight.zero_()
        model.head.project.bias.fill_(-0.5)
        model.head.project.weight[:, 0] = 1.0
        model.head.classifier[0].weight.abs_()
        model.head.classifier[-1].weight[11].abs_().mul_(30)
        model.head.classifier[-1].bias[12] = 12.0
    probes = gather_probe_set(model, processor, mini, images=6, per_image=3, seed=0)
    return Experiment(model, processor, probes, lambda number: None)


def test_the_channel_that_answers_is_the_one_that_costs(experiment):
    """Without channel 0 this model says "no" instead of "yes", so its certainty of "yes" is gone."""
    assert (experiment.plain.best == 11).all()
    chosen = np.zeros(experiment.plain.norms.shape, bool)
    chosen[-1, :, 0] = True
    assert experiment.remove(chosen, "zero").certainty.max() < 0.5
    others = ~chosen
    others[:-1] = False
    assert experiment.remove(others, "zero").certainty.min() > 0.5
    rows = measure_removal(experiment, [1, 4], 2, np.random.default_rng(0))
    assert len(rows) == 3 * 2 * 2
    for row in rows:
        if row.ranking == "weight" and row.removal == "zero":
            assert row.certainty["top"] < row.certainty["random"]
            assert row.certainty["bottom"] > 0.5
            assert row.top.value <= row.random.value + 1e-6 or row.extra_loss.value <= 0


def test_a_gate_that_ignores_the_question_loses_nothing_at_its_mean(experiment):
    rows = {row.test: row for row in measure_gates(experiment, np.random.default_rng(0))}
    assert rows["each gate at its mean weight, block 3 only"].loss.value == 0
    assert rows["nothing added to the skip connections"].certainty < 0.5
    assert rows["each gate at its mean weight"].accuracy.low <= 1


def test_estimates_hold_the_mean(experiment):
    values = np.arange(len(experiment.labels), dtype=float)
    found = experiment.estimate(values)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(values.mean())


def test_the_trained_model_points_at_what_is_meant(mini):
    from vqa.inference.checkpoints import load_checkpoint

    model, processor = load_checkpoint(None, "cpu")
    probes = gather_probe_set(model, processor, mini, images=6, per_image=2, seed=0)
    on_progress = []
    experiment = Experiment(model, processor, probes, on_progress.append)
    assert len(experiment.plain.right) == len(probes.questions)  # measured when it is first needed
    found = measure_pointing(experiment)
    assert sum(on_progress) == 2 * len(probes.questions)
    assert found["answer"].value > 0.7
    assert found["answer"].chance < 0.6
    assert {"block 5", "Grad-CAM"} <= set(found)
    words = measure_paraphrase(experiment, 0)
    assert words.questions > 6
    assert words.same_answer.value > 0.7
    for row in words.blocks:
        assert row["correlation"] > row["correlation_other_question"] - 0.05


def test_rank_correlation_and_overlap():
    one = np.array([[1.0, 2.0, 3.0, 4.0]])
    assert rank_correlation(one, one**3) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert np.isnan(rank_correlation(one, np.ones((1, 4))))
    assert top_overlap(one, one) == 1
    assert top_overlap(one, -one) == 0


def test_on_the_command_line(tiny_checkpoint, tmp_path, capsys):
    data = str(shipped("data/clevr-mini"))
    command = ["explain", "faithfulness", "--data", data, "--checkpoint", str(tiny_checkpoint), "--device", "cpu"]
    files = ["--json", str(tmp_path / "f.json"), "--plot", str(tmp_path / "f.png")]
    small = ["--num-questions", "6", "--draws", "1", "--channels", "4", "--baseline", str(tiny_checkpoint)]
    assert main([*command, *small, *files]) == 0
    said = capsys.readouterr().out
    report = json.loads((tmp_path / "f.json").read_text())
    assert report["questions"] == 6
    assert report["weights_sha256"]
    assert {row["ranking"] for row in report["removal"]} == {"weight", "deviation", "product"}
    assert report["baseline"]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert sum(report["variance"].values()) == pytest.approx(1)
    assert f"{100 * report['accuracy']['value']:.1f}" in said
    assert Image.open(tmp_path / "f.png").format == "PNG"
    charted = shutil.copytree(tiny_checkpoint, tmp_path / "charted")
    for damage, complaint in (
        (None, "no report of faithfulness yet"),
        ("[]", "should be an object"),
        (json.dumps(report | {"gates": [{}]}), r"gates\[0\].test: Field required"),
        (json.dumps(report | {"weights_sha256": "0"}), "other weights"),
    ):
        if damage is not None:
            (charted / FILENAME).write_text(damage)
        with pytest.raises(InputError, match=complaint):
            read_faithfulness(charted)
    (charted / FILENAME).write_text(json.dumps(report))
    made = read_faithfulness(charted)
    assert to_json(made) == report
    assert f"{100 * made.accuracy.value:.1f}" in faithfulness_card(made)
    assert main([*command, *small, "--seed", "0"]) == 0
    assert capsys.readouterr().out == said
    for wrong, complaint in (
        (["--channels", "9"], "--channels 9: must be 1 to 8"),
        (["--num-questions", "0"], "--num-questions 0: must lie from 1"),
        (["--draws", "0"], "--draws 0: must lie from 1"),
        (["--split", "nowhere"], "nowhere"),
    ):
        assert main([*command, *wrong]) == 2
        assert complaint in capsys.readouterr().err
