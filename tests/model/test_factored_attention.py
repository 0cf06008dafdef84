"""Factored blocks: no attribute is read off another, and a shut gate is a group without a say."""

import pytest
import torch

from vqa.errors import InputError
from vqa.layers import FiLM
from vqa.model.presets import build_config, build_model
from vqa.model.scene import ATTRIBUTE_SIZES, STEP_SIZES, Grid, SceneMaps

SETTINGS = ("width=16", "text_dim=16", "word_dim=8", "num_blocks=3", "stem_widths=4,4,8")


def _model(*more):
    torch.manual_seed(0)
    return build_model(build_config("film-qcse", [*SETTINGS, *more])).eval()


def _grid(batch=2):
    maps = SceneMaps(torch.randn(batch, 4, 6), torch.randn(batch, 15, 4, 6), torch.randn(batch, 2, 4, 6))
    return maps.per_question(None)


def _attended(model, grid, step, gate=None):
    """The features, log-odds and map of the model's second block."""
    attention, block = model.evidence[1], model.blocks[1]
    earlier = [grid.presence * torch.linspace(0, 1, 24).view(4, 6)]
    reading = attention.readings(step[:, None])[:, 0]
    inputs, condition, _ = attention.read(grid, earlier, torch.zeros(len(step), 16), reading)
    x = block(inputs, condition, torch.zeros(len(step), 16))[0]
    return x, *attention.attend(x, condition, grid, gate)


def _other_colors(grid):
    """The same objects in other colors."""
    maps, contents = grid.maps.clone(), grid.contents.clone()
    maps[:, 5:13], contents[..., 4:12] = maps[:, 5:13].flip(1), contents[..., 4:12].flip(-1)
    return Grid(grid.presence, contents, maps)


def test_a_groups_features_hang_on_its_own_attribute_alone():
    model, grid, step = _model(), _grid(), torch.randn(2, sum(STEP_SIZES))
    one, other = (_attended(model, each, step)[0].unflatten(1, (5, 4)) for each in (grid, _other_colors(grid)))
    same = [bool((one[:, group] == other[:, group]).all()) for group in range(5)]
    assert same == [True, True, False, True, True]


def test_a_groups_features_hang_on_its_own_filter_alone():
    model, grid, step = _model(), _grid(), torch.randn(2, sum(STEP_SIZES))
    others = step.clone()
    first = sum(STEP_SIZES[:4])  # what the step reads of shapes comes last
    others[:, first:] = others[:, first:].flip(1)
    one, other = (_attended(model, grid, each)[0].unflatten(1, (5, 4)) for each in (step, others))
    same = [bool((one[:, group] == other[:, group]).all()) for group in range(5)]
    assert same == [True, True, True, True, False]


def test_a_shut_attribute_has_no_say_and_open_ones_agree_as_a_product():
    model, grid, step = _model(), _grid(), torch.randn(2, sum(STEP_SIZES))
    gate = torch.cat([torch.full((2, size), float(i != 1)) for i, size in enumerate(ATTRIBUTE_SIZES)], 1)
    shut = _attended(model, grid, step, gate)
    again = _attended(model, _other_colors(grid), step, gate)
    torch.testing.assert_close(shut[1:], again[1:], rtol=0, atol=0)
    alone = [
        _attended(
            model, grid, step, torch.cat([torch.full((2, n), float(j == i)) for j, n in enumerate(ATTRIBUTE_SIZES)], 1)
        )
        for i in range(4)
    ]
    places = _attended(model, grid, step, torch.zeros(2, 15))
    chance = [item[1].sigmoid() for item in alone]
    product = chance[0] * chance[2] * chance[3] / places[1].sigmoid() ** 2
    torch.testing.assert_close(shut[1].sigmoid(), product, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(shut[2], grid.presence * shut[1].sigmoid(), rtol=1e-4, atol=1e-6)


def test_film_in_groups_is_one_film_a_group():
    film, cond, x = FiLM(6, 9, groups=3), torch.randn(2, 6), torch.randn(2, 9, 2, 2)
    weight, bias = film.linear.weight[..., 0].unflatten(0, (3, 6)), film.linear.bias.unflatten(0, (3, 6))
    singles = [FiLM(2, 3) for _ in range(3)]
    for single, w, b in zip(singles, weight, bias, strict=True):
        single.linear.weight.data, single.linear.bias.data = w, b
    parts = zip(singles, x.chunk(3, 1), cond.chunk(3, 1), strict=True)
    torch.testing.assert_close(film(x, cond), torch.cat([single(part, c) for single, part, c in parts], 1))
    with pytest.raises(ValueError, match="multiples of groups=3"):
        FiLM(6, 8, groups=3)


def test_the_head_hears_the_kind_of_question_alone():
    model, grid = _model("pointer=learned"), _grid()
    maps = [grid.presence] * 3
    view = torch.randn(2, 16)
    with torch.no_grad():
        model.head.kinds.weight.zero_()
        model.head.pointer.score.weight.zero_()
    one, other = (model.head(torch.zeros(2, 20, 4, 6), each, grid, maps).logits for each in (view, -view))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("setting", "said"),
    [("width=3", "at least 4"), ("trunk_features=true", "factored"), ("head_features=true", "factored")],
)
def test_what_does_not_fit_is_refused(setting, said):
    with pytest.raises(InputError, match=said):
        build_config("film-qcse", [*SETTINGS, setting, *(["gate_placement=output"] if "trunk" in setting else [])])


@pytest.mark.parametrize("number", [0, 3, 9, 10, 14])
def test_numbers_are_counted_without_having_been_learned(number):
    model, grid = _model("pointer=learned"), _grid()
    for name, value in model.head.named_parameters():
        if name.startswith(("classifier", "hidden", "kinds.weight")):
            torch.nn.init.zeros_(value)
    model.head.kinds.bias.data[:] = torch.tensor([50.0] + [0.0] * 12)  # "count" comes first
    last = torch.zeros(2, 4, 6)
    last.flatten(1)[:, :number] = 1
    logits = model.head(torch.zeros(2, 20, 4, 6), torch.randn(2, 16), grid, [last] * 3).logits
    assert logits.argmax(1).tolist() == [min(number, 10)] * 2
