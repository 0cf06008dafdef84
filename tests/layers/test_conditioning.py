"""FiLM, the query-conditioned gate and the pathways: what they compute, option by option."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vqa.layers import FiLM, PathwayBank, QueryConditionedSE, SqueezeExcitation
from vqa.layers.film import film_norm_relu
from vqa.layers.functional import film_modulate, hard_gate

C, Q = 8, 5


def inputs(batch: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, C, 4, 6, generator=generator), torch.randn(batch, Q, generator=generator)


def test_film_is_one_linear_layer_around_the_identity() -> None:
    x, cond = inputs()
    layer = FiLM(Q, C)
    delta, beta = (cond @ layer.linear.weight.T + layer.linear.bias).split(C, dim=1)
    expected = torch.stack([(1 + delta[b])[:, None, None] * x[b] + beta[b][:, None, None] for b in range(len(x))])
    torch.testing.assert_close(layer(x, cond), expected)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(layer(x, cond), x)


@pytest.mark.parametrize(("gamma", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1), ("exp", 0, float("inf"))])
def test_bounded_gamma_stays_within_its_bounds(gamma: str, low: float, high: float) -> None:
    layer = FiLM(Q, C, gamma=gamma)
    torch.nn.init.normal_(layer.linear.weight, generator=torch.Generator().manual_seed(0))
    values, beta = layer.parameters_for(inputs()[1])
    assert low < values.min() < values.max() < high
    assert beta.min() < 0 < beta.max()
    free = FiLM(Q, C)
    free.load_state_dict(layer.state_dict())
    bound = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "exp": torch.exp}[gamma]
    torch.testing.assert_close(values, bound(free.parameters_for(inputs()[1])[0]))


def test_fixed_gamma_or_beta_costs_half_the_parameters() -> None:
    x, cond = inputs()
    for layer, index, value in [(FiLM(Q, C, gamma="fixed"), 0, 1.0), (FiLM(Q, C, beta="fixed"), 1, 0.0)]:
        assert sum(p.numel() for p in layer.parameters()) == (Q + 1) * C
        fixed = layer.parameters_for(cond)[index]
        assert (fixed == value).all()
        assert not torch.equal(layer(x, cond), x)


def test_film_on_vectors_and_sequences() -> None:
    layer, (x, cond) = FiLM(Q, C), inputs()
    by_place = torch.stack([layer(x[:, :, i, j], cond) for i in range(4) for j in range(6)], dim=2)
    torch.testing.assert_close(layer(x.flatten(2), cond), by_place)


def test_film_placements_are_orders_of_the_same_steps() -> None:
    x, _ = inputs()
    gamma, beta = torch.randn(2, len(x), C, generator=torch.Generator().manual_seed(2)).unbind()
    norm = torch.nn.BatchNorm2d(C, affine=False)

    def film(values: Tensor) -> Tensor:
        return film_modulate(values, gamma, beta)

    expected = {
        "after_norm": film(norm(x)).relu(),
        "before_norm": norm(film(x)).relu(),
        "after_relu": film(norm(x).relu()),
    }
    for placement, value in expected.items():
        torch.testing.assert_close(film_norm_relu(x, norm, gamma, beta, placement), value)


@settings(deadline=None)
@given(scale=st.floats(-3, 3), shift=st.floats(-3, 3))
def test_modulating_by_constants_is_arithmetic(scale: float, shift: float) -> None:
    x, _ = inputs()
    constant = torch.ones(len(x), C)
    torch.testing.assert_close(film_modulate(x, scale * constant, shift * constant), scale * x + shift)
    torch.testing.assert_close(film_modulate(x, scale * constant), scale * x)


def test_query_gate_by_hand() -> None:
    x, query = inputs()
    means = x.mean((2, 3))
    for join in ("concat", "query", "features", "multiply"):
        layer = QueryConditionedSE(C, Q, reduction=2, join=join)
        asked = query @ layer.project.weight.T if layer.project is not None else query
        read = {"concat": torch.cat([means, asked], 1), "query": asked, "features": means}.get(join)
        hidden = layer.reduce(means * asked if read is None else read).relu()
        weights = layer.expand(hidden).sigmoid()
        torch.testing.assert_close(layer.weights(x, query), weights)
        torch.testing.assert_close(layer(x, query), x * weights[:, :, None, None])


@pytest.mark.parametrize(
    ("join", "hears_question", "sees_features"),
    [("concat", True, True), ("query", True, False), ("features", False, True), ("multiply", True, True)],
)
def test_query_gate_depends_on_what_its_join_names(join: str, hears_question: bool, sees_features: bool) -> None:
    torch.manual_seed(0)
    layer, (x, query) = QueryConditionedSE(C, Q, 2, join=join), inputs()
    before = layer.weights(x, query)
    assert before.equal(layer.weights(x, -query)) != hears_question
    assert before.equal(layer.weights(x + 1, query)) != sees_features


def test_query_gate_on_features_alone_is_squeeze_excitation() -> None:
    x, query = inputs()
    for squeeze in ("mean", "max"):
        for gate in ("sigmoid", "tanh", "relu"):
            ours = QueryConditionedSE(C, Q, 2, squeeze=squeeze, gate=gate, join="features")
            plain = SqueezeExcitation(C, 2, squeeze=squeeze, gate=gate)
            plain.load_state_dict(ours.state_dict())
            assert ours(x, query).equal(plain(x))


def test_shift_is_added_everywhere_and_crosses_the_map() -> None:
    layer, (x, query) = QueryConditionedSE(C, Q, 2, shift=True), inputs()
    weights = layer.weights(x, query)
    shift = layer(x, query) - x * weights[:, :, None, None]
    assert shift.abs().max() > 0.01
    torch.testing.assert_close(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-5, rtol=1e-4)
    torch.nn.init.ones_(layer.reduce.weight)
    far = x.clone()
    far[:, :, 0, 0] += 50
    assert not layer(x, query)[:, :, -1, -1].allclose(layer(far, query)[:, :, -1, -1])


def test_a_hard_gate_is_exactly_open_or_shut_and_learns_through_the_sigmoid() -> None:
    layer, (x, query) = QueryConditionedSE(C, Q, 1, gate="hard", join="query"), inputs()
    weights = layer.weights(None, query)
    assert set(weights.unique().tolist()) <= {0.0, 1.0}
    assert weights.equal(layer.weights(x, query)), "the features are not read"
    shut = weights[:, :, None, None].expand_as(x) == 0
    assert (layer(x, query)[shut] == 0).all()
    assert layer(x, query)[~shut].equal(x[~shut])
    logits = layer.logits(None, query).detach().requires_grad_()
    hard_gate(logits).sum().backward()
    soft = logits.sigmoid()
    torch.testing.assert_close(logits.grad, soft * (1 - soft))


def test_a_gate_takes_other_weights_than_its_own() -> None:
    layer, (x, query) = QueryConditionedSE(C, Q, 2), inputs()
    assert layer(x, query, layer.weights(x, query)).equal(layer(x, query))
    assert layer(x, query, torch.zeros(len(x), C)).eq(0).all()
    with pytest.raises(ValueError, match="query must be"):
        layer(x)


@pytest.mark.parametrize("spatial", [(), (3, 4)])
def test_pathways_equal_one_module_for_each(spatial: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    pathways, features, out = 9, 6, 8
    bank = PathwayBank(features, out, Q, pathways=pathways, reduction=2)
    x, cond = torch.randn(3, features, *spatial), torch.randn(3, Q)
    gammas, betas = [part.view(3, pathways, out) for part in bank.film.parameters_for(cond)]
    mix = torch.softmax(bank.mixture(cond), dim=1)
    total = torch.zeros(3, out, *spatial)
    for p in range(pathways):
        rows, hidden = slice(p * out, (p + 1) * out), slice(p * 4, (p + 1) * 4)
        gate = SqueezeExcitation(out, 2)
        gate.load_state_dict(
            {
                "reduce.weight": bank.reduce.weight[hidden, :, 0],
                "reduce.bias": bank.reduce.bias[hidden],
                "expand.weight": bank.expand.weight[rows, :, 0],
                "expand.bias": bank.expand.bias[rows],
            }
        )
        seen = torch.einsum("oi,bi...->bo...", bank.linear.weight[rows], x)
        seen = seen + bank.linear.bias[rows].view(out, *[1] * len(spatial))
        as_map = seen if spatial else seen[:, :, None, None]
        torch.testing.assert_close(bank.channel_weights(x)[:, p], gate.weights(as_map))
        path = film_modulate(gate(as_map).view(seen.shape), gammas[:, p], betas[:, p])
        total = total + mix[:, p].view(3, *[1] * (path.ndim - 1)) * path
    torch.testing.assert_close(bank(x, cond), total, atol=1e-5, rtol=1e-5)


def test_pathway_weights_are_a_mixture_of_nine_that_the_question_decides() -> None:
    bank = PathwayBank(C, C, Q)
    weights = bank.weights(inputs()[1])
    assert weights.shape == (3, 9)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert not weights[0].allclose(weights[1])
