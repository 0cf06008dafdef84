"""Relevance is measured on the right pixels."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from vqa.clevr.image_generation.camera import object_map, recover_location
from vqa.clevr.masks import mask_path
from vqa.cli import main
from vqa.explain.attribution import pixel_relevance
from vqa.explain.object_masks import relevance_scores
from vqa.utils.resources import shipped

DATA = str(shipped("data/clevr-mini"))
maps = arrays(np.float64, (4, 6), elements=st.integers(0, 5).map(float)).filter(lambda m: m.max() > 0)


@given(maps, arrays(bool, (4, 6)).filter(lambda mask: mask.any()))
def test_scores_are_shares(spatial, mask):
    mass, rank = relevance_scores(spatial, mask)
    assert mass == pytest.approx(spatial[mask].sum() / spatial.sum())
    assert 0 <= rank <= 1 + 1e-9
    assert relevance_scores(mask.astype(float), mask) == (1, 1)
    assert relevance_scores(np.ones((4, 6)), mask) == pytest.approx((mask.mean(), mask.mean()))


def test_the_strongest_pixels_count():
    spatial = np.array([[5.0, 4.0, 3.0, 0.0]])
    assert relevance_scores(spatial, np.array([[True, False, True, False]])) == (pytest.approx(8 / 12), 0.5)


def test_relevance_adds_up_in_a_net_of_rectifiers():
    """Without biases gradient x input, and so LRP, hands on the whole logit; LRP's rule changes where it goes."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, bias=False)
            self.out = torch.nn.Linear(8, 2, bias=False)

        def forward(self, pixel_values, **tokens):
            logits = self.out(torch.relu(self.conv(pixel_values)).mean((2, 3)))
            return type("Output", (), {"logits": logits})

    torch.manual_seed(0)
    net, pixels = Net(), torch.randn(1, 3, 8, 8)
    logit = float(net(pixels).logits[0, 1].detach())
    found = pixel_relevance(net, pixels, {"input_ids": torch.ones(1, 4, dtype=torch.long)}, 1)
    assert set(found) == {"gradient x input", "integrated gradients", "LRP"}
    for values in found.values():
        assert values.sum() == pytest.approx(logit, rel=1e-3)
    assert not np.allclose(found["LRP"], found["gradient x input"])
    assert not net.conv._forward_hooks


def test_on_the_command_line(tmp_path, capsys, mini):
    scenes = [mini.scene(row) for row in range(3)]
    for scene in scenes:
        path = mask_path(tmp_path, "val", scene.image_filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = object_map(scene.objects, recover_location(scene.objects), (240, 160)) + 1
        Image.fromarray(shown.astype(np.uint8)).save(path)
    command = ["explain", "masks", "--data", DATA, "--device", "cpu", "--num-questions", "9"]
    out = tmp_path / "masks.json"
    more = ["--gradient-questions", "1", "--masks", str(tmp_path), "--json", str(out)]
    assert main([*command, *more]) == 0
    report = json.loads(out.read_text())
    assert report["masks"] == "rendered"
    assert report["pictures"] == 3
    attention = report["maps"]["object attention, answer"]["answer"]
    assert attention["mass"]["value"] > 0.8
    assert attention["rank"]["value"] > 0.7 > report["maps"]["chance"]["answer"]["rank"]["value"]
    assert report["maps"]["integrated gradients, norm"]["all"]["questions"] == 1
    assert "object attention, answer" in capsys.readouterr().out
    for wrong, complaint in (
        (["--masks", str(tmp_path / "none")], "no mask of split val; make them with `vqa data render --masks`"),
        (["--num-questions", "0"], "--num-questions 0: must lie from 1"),
        (["--gradient-questions", "-1"], "--gradient-questions -1: must lie from 0"),
    ):
        assert main([*command, *wrong]) == 2
        assert complaint in capsys.readouterr().err
