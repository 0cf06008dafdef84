"""Blocks of one set of weights: shared in training and in files, each with a pointer and statistics of its own."""

import pytest
import torch
from safetensors import safe_open

from vqa.errors import InputError
from vqa.inference.checkpoints import load_checkpoint
from vqa.model.presets import build_config, build_model, build_processor

SMALL = ("width=16", "text_dim=16", "word_dim=8", "num_blocks=3", "stem_widths=4,4,8")
OWN = {"pointer.score.weight", "pointer.score.bias", "norm.running_mean", "norm.running_var"}


def _model(*more, preset="film-qcse"):
    torch.manual_seed(0)
    return build_model(build_config(preset, [*SMALL, *more]))


def test_blocks_share_all_but_pointers_and_statistics():
    model = _model()
    for part in (model.blocks, model.evidence):
        first = dict(part[0].named_parameters())
        for later in part[1:]:
            apart = {name for name, value in later.named_parameters() if value is not first[name]}
            assert apart <= OWN
    assert model.blocks[0].norm.running_mean is not model.blocks[1].norm.running_mean
    assert model.evidence[1].pointer.score.weight.shape != model.evidence[2].pointer.score.weight.shape
    assert model.num_parameters() < _model("shared_blocks=false").num_parameters()


def test_what_one_block_learns_all_can():
    model = _model()
    model.blocks[2].conv.weight.data += 1
    assert model.blocks[0].conv.weight.equal(model.blocks[2].conv.weight)


def test_a_checkpoint_holds_the_weights_once_and_loads_them_shared(tmp_path):
    model = _model()
    for block in model.blocks:
        block.norm.running_mean += torch.rand(20)
    model.save_pretrained(tmp_path)
    build_processor(model.config).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "blocks.0.conv.weight" in names
    assert "blocks.1.conv.weight" not in names
    assert "blocks.1.norm.running_mean" in names
    loaded, _ = load_checkpoint(tmp_path, "cpu")
    assert loaded.blocks[0].conv.weight is loaded.blocks[2].conv.weight
    for name, value in model.state_dict().items():
        assert value.equal(loaded.state_dict()[name]), name


def test_a_first_block_that_reads_other_channels_cannot_share():
    with pytest.raises(InputError, match="shared_blocks: the first block reads more channels"):
        build_config("film-base", ["shared_blocks=true", "trunk_features=true"])
    with pytest.raises(InputError, match="shared_blocks: True has no effect with evidence=False"):
        build_config("qcse", ["shared_blocks=true"])
    for preset in ("film-base", "film-qcse-1"):
        model = _model("shared_blocks=true", preset=preset)
        assert model.blocks[0].reduce.weight is model.blocks[1].reduce.weight
