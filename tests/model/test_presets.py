"""Named configurations and overrides."""

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vqa.clevr.vocabulary import ANSWERS
from vqa.errors import InputError
from vqa.model import PRESETS, FilmSEConfig, build_config, build_model, build_processor
from vqa.model.presets import parse_overrides


def _parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_film_has_the_published_number_of_parameters():
    config = build_config("film")
    with torch.device("meta"):
        model = build_model(config)
    assert len(ANSWERS) == 28
    assert _parameters(model) == 59_084_828 + 200 * config.vocab_size
    gru = _parameters(model.text) - 200 * config.vocab_size
    assert round(gru / _parameters(model), 2) == 0.89


def test_film_is_built_as_published():
    config = build_config("film")
    with torch.device("meta"):
        model = build_model(config)
        features = model.encode_images(torch.empty(2, 3, 224, 224))
    assert features.shape == (2, 128, 14, 14)
    assert len(model.blocks) == 4
    assert all(block.reduce.in_channels == 130 and block.gate is None for block in model.blocks)
    assert not any(block.norm.affine for block in model.blocks)
    assert model.head.project.in_channels == 130
    layers = [type(layer) for layer in model.vision]
    assert layers == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 4
    assert model.word_attention is None
    assert not build_processor(config).image_processor.do_pad


def test_film_base_has_the_products_encoders_and_neither_gate_nor_groups(tiny):
    product, base = (build_model(build_config(name, tiny)) for name in ("film-qcse", "film-base"))
    shapes = [{name: tuple(value.shape) for name, value in model.named_parameters()} for model in (product, base)]
    parts = ("vision.", "scene.", "second_look.", "text.", "word_attention.", "steps.")
    product_encoders, base_encoders = ({k: v for k, v in each.items() if k.startswith(parts)} for each in shapes)
    assert product_encoders == base_encoders
    assert product.input_gate is not None
    assert base.input_gate is None
    assert (product.blocks[0].conv.groups, base.blocks[0].conv.groups) == (5, 1)


def test_the_product_without_its_gate_differs_by_the_gate_alone(tiny):
    ungated = ("channel_attention=none", "gate=sigmoid", "gate_join=concat", "gate_placement=output", "reduction=8")
    models = [build_model(build_config("film-qcse", (*tiny, *more))) for more in ((), ungated)]
    product, base = ({name for name, _ in model.named_parameters()} for model in models)
    assert product - base == {name for name in product if name.startswith("input_gate.")}
    assert not base - product


def test_qcse_conditions_by_the_gate_alone(tiny):
    model = build_model(build_config("qcse", tiny))
    assert all(block.film is None and block.gate is not None for block in model.blocks)
    assert model.evidence is None
    batch = build_processor(model.config)(text=["What is it?", "How many cubes?"], return_tensors="pt")
    features = torch.randn(1, 16, 8, 12).expand(2, -1, -1, -1)
    with torch.no_grad():
        output = model.eval()(image_features=features, **batch)
    assert output.film_gamma is None
    assert not torch.allclose(output.logits[0], output.logits[1])


def test_overrides_are_read_by_the_fields_type():
    assert parse_overrides(
        ["reduction=4", "image_size=96x144", "stem_widths=8, 16,32", "dropout=0.25", "film=no", "gate=tanh"]
    ) == {
        "reduction": 4,
        "image_size": (96, 144),
        "stem_widths": (8, 16, 32),
        "dropout": 0.25,
        "film": False,
        "gate": "tanh",
    }
    assert parse_overrides(["vision_weights=none"]) == {"vision_weights": None}
    assert build_config("film-base", ["width=32"]).width == 32
    assert build_config("film-base", ["channel_attention=se"]).channel_attention == "se"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("reduction", "key=value"),
        ("reductoin=4", "did you mean reduction"),
        ("nonsense=4", "there are image_size"),
        ("vocab_size=4", "no such field"),
        ("reduction=four", "whole number"),
        ("reduction=0", "config.reduction"),
        ("dropout=1.5", "config.dropout"),
        ("dropout=nan", "config.dropout"),
        ("film=perhaps", "true or false"),
        ("gate=softplus", "sigmoid, tanh, relu"),
        ("image_size=96", "image_size"),
        ("image_size=96x", "height x width"),
        ("image_size=4x4", "16 to 2048"),
        ("stem_widths=1,2,3,4,5,6,7,8", "stem_widths"),
        ("text_dim=30", "text_dim"),
        ("head=average", "config.head"),
        ("evidence=false", "config.head"),
        ("width=1000000000", "config.width"),
        ("num_blocks=100", "config.num_blocks"),
        ("freeze_vision=true", "torchvision"),
        ("text_encoder=", "expected a name"),
        ("text_encoder=no/such-encoder", "config.text_encoder"),
    ],
)
def test_a_wrong_override_is_named(override, message):
    with pytest.raises(InputError, match=message):
        build_config(overrides=[override])


def test_film_and_gate_both_off_is_refused():
    with pytest.raises(InputError, match="reaches no block"):
        build_config("qcse", ["channel_attention=none"])
    with pytest.raises(InputError, match="film_beta"):
        build_config(overrides=["film_gamma=fixed", "film_beta=fixed"])


def test_a_wrong_preset_is_named():
    with pytest.raises(InputError, match="did you mean film-qcse"):
        build_config("film_qcse")


@given(st.sampled_from(list(PRESETS)), st.text(max_size=30))
def test_no_override_breaks_otherwise(preset, text):
    with contextlib.suppress(InputError):
        build_config(preset, [text])


@given(st.text(alphabet="abc=0123456789,x.-", max_size=12), st.sampled_from(["width", "dropout", "image_size", "film"]))
def test_no_value_breaks_otherwise(value, key):
    try:
        config = build_config(overrides=[f"{key}={value}"])
    except InputError:
        return
    assert isinstance(config, FilmSEConfig)


def test_an_unknown_vision_encoder_is_refused(tiny):
    for name in ("resnet1800", "fasterrcnn_resnet50_fpn", "vit_b_16", "swin_t"):
        with pytest.raises(InputError, match=r"config\.vision_encoder"), torch.device("meta"):
            build_model(build_config(overrides=[*tiny, f"vision_encoder={name}"]))
