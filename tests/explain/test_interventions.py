"""Interventions change what blocks do, and nothing else."""

import numpy as np
import pytest
import torch

from vqa.errors import InputError
from vqa.explain.interventions import Fill, Observe, Scale, SetFilm, SetGate, Watch, ask_with, film_of, intervene
from vqa.inference.answerer import VisualQuestionAnswerer
from vqa.model.presets import build_config, build_model

QUESTIONS = ("What color is the cube?", "How many metal things are left of the big sphere?")


def model_and_inputs(tiny, *extra):
    torch.manual_seed(0)
    model = build_model(build_config("film-qcse-1", (*tiny, *extra))).eval()
    features = model.encode_images(torch.randn(2, 3, 32, 48))
    return model, {"image_features": features, "input_ids": torch.randint(2, 80, (2, 6))}


@torch.no_grad()
def observed(model, inputs, *edits, block=2):
    seen = []
    output = intervene(model, [*edits, Observe(block, lambda y, weights: seen.append((y, weights)))])(**inputs)
    return output, *seen[0]


@torch.no_grad()
def test_without_interventions_nothing_changes(tiny):
    model, inputs = model_and_inputs(tiny)
    before = model(**inputs)
    same, y, weights = observed(model, inputs)
    torch.testing.assert_close(same.logits, before.logits, rtol=0, atol=0)
    torch.testing.assert_close(weights, before.channel_weights[1], rtol=0, atol=0)
    assert y.shape[:2] == weights.shape


@pytest.mark.parametrize("mechanism", ["query_se", "se", "eca", "cbam", "none"])
@torch.no_grad()
def test_every_mechanism_obeys(tiny, mechanism):
    model, inputs = model_and_inputs(tiny, f"channel_attention={mechanism}")
    _, y, _ = observed(model, inputs)
    _, silent, _ = observed(model, inputs, Scale(2, [1, 3], 0.0))
    assert silent[:, [1, 3]].abs().max() == 0
    torch.testing.assert_close(silent[:, [0, 2, 4]], y[:, [0, 2, 4]])
    _, loud, _ = observed(model, inputs, Scale(2, None, 3.0))
    torch.testing.assert_close(loud, 3 * y)
    values = torch.arange(16.0)
    _, filled, _ = observed(model, inputs, Fill(2, [5], values))
    assert (filled[:, 5] == 5).all()
    _, closed, weights = observed(model, inputs, SetGate(2, [4], 0.0))
    assert closed[:, 4].abs().max() < 1e-6
    assert weights is None if mechanism == "none" else (weights[:, 4] == 0).all()


@torch.no_grad()
def test_a_set_gate_is_the_same_as_that_gate(tiny):
    model, inputs = model_and_inputs(tiny)
    own = model(**inputs)
    fixed = intervene(model, [SetGate(k, None, own.channel_weights[k - 1]) for k in (1, 2, 3)])
    torch.testing.assert_close(fixed(**inputs).logits, own.logits)
    _, y, _ = observed(model, inputs)
    _, halved, weights = observed(model, inputs, SetGate(2, None, own.channel_weights[1] / 2))
    torch.testing.assert_close(halved, y / 2)
    torch.testing.assert_close(weights, own.channel_weights[1] / 2)


@torch.no_grad()
def test_gates_that_were_set_stay_set_in_a_second_intervention():
    small = ("image_size=64x96", "width=16", "stem_widths=8,16,32", "num_blocks=2", "word_dim=8", "text_dim=16")
    torch.manual_seed(0)
    model = build_model(build_config("film-qcse", small)).eval()
    head = len(model.blocks) + 1
    once = intervene(model, [SetGate(1, [0], 0.0), SetGate(head, [1], 1.0)])
    twice = intervene(once, [SetGate(1, [2], 0.0), SetGate(head, [3], 0.0)])
    output = twice(torch.randn(1, 3, 64, 96), input_ids=torch.tensor([[1, 2]]))
    assert (output.channel_weights[0][:, [0, 2]] == 0).all()
    assert output.head_channel_weights[0, [1, 3]].tolist() == [1, 0]


@torch.no_grad()
def test_channels_can_differ_from_question_to_question(tiny):
    model, inputs = model_and_inputs(tiny)
    chosen = torch.zeros(2, 16, dtype=torch.bool)
    chosen[0, 2] = chosen[1, 7] = True
    _, y, _ = observed(model, inputs)
    _, edited, _ = observed(model, inputs, Scale(2, chosen, 0.0))
    torch.testing.assert_close(edited, y * ~chosen[..., None, None])


@torch.no_grad()
def test_the_model_itself_is_untouched(tiny):
    model, inputs = model_and_inputs(tiny)
    before = model(**inputs).logits
    edited = intervene(model, [Scale(1), SetFilm(2, None, 0.0, 1.0)])
    assert not torch.allclose(edited(**inputs).logits, before)
    torch.testing.assert_close(model(**inputs).logits, before, rtol=0, atol=0)
    assert {p.data_ptr() for p in edited.parameters()} == {p.data_ptr() for p in model.parameters()}
    assert isinstance(intervene(edited, [Scale(3)]), type(model))


def test_swapped_film_is_the_other_questions(answerer, image_file):
    own, other = (answerer.ask(image_file, question) for question in QUESTIONS)
    swapped = ask_with(answerer, image_file, QUESTIONS[0], film_of(other))
    for k, weights in other.weights.items():
        np.testing.assert_array_equal(swapped.weights[k]["film_gamma"], weights["film_gamma"])
        np.testing.assert_array_equal(swapped.weights[k]["word_weights"], own.weights[k]["word_weights"])
    assert swapped.top_answers != own.top_answers
    back = ask_with(answerer, image_file, QUESTIONS[0], film_of(own))
    np.testing.assert_allclose([p for _, p in back.top_answers], [p for _, p in own.top_answers], rtol=1e-5)


def test_a_part_of_film_can_be_kept(answerer, image_file):
    own = answerer.ask(image_file, QUESTIONS[0]).weights["block_1"]
    edited = ask_with(answerer, image_file, QUESTIONS[0], [SetFilm(1, [0], gamma=-2.0)]).weights["block_1"]
    assert edited["film_gamma"][0] == -2
    np.testing.assert_array_equal(edited["film_gamma"][1:], own["film_gamma"][1:])
    np.testing.assert_array_equal(edited["film_beta"], own["film_beta"])


@torch.no_grad()
def test_watching_sees_every_block(tiny):
    model, inputs = model_and_inputs(tiny)
    watch = Watch(model, [Scale(2, [3], 0.0)])
    for _ in range(2):
        output = watch(**inputs)
    assert [tuple(y.shape[:2]) for y in watch.maps] == [(2, 16)] * 3
    assert watch.maps[1][:, 3].abs().max() == 0
    torch.testing.assert_close(output.logits, intervene(model, [Scale(2, [3], 0.0)])(**inputs).logits)


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (Scale(9), "no block 9; this model's blocks are 1 to 3"),
        (Scale(0), "no block 0"),
        (Scale(1, [16]), "no channel 16; its channels are 0 to 15"),
        (Scale(1, [-1]), "no channel -1"),
        (Scale(1, None, float("nan")), "factor: must be finite"),
        (SetGate(1, None, 1e9), "weights: must be finite and within"),
        (Fill(1, None, [1.0, 2.0]), r"values: \(2,\) values for 16 channels"),
        (Scale(1, torch.ones(5, dtype=torch.bool)), r"mask of shape \(5,\)"),
    ],
)
def test_what_the_model_lacks_is_refused(answerer, edit, complaint):
    with pytest.raises(InputError, match=complaint):
        intervene(answerer.model, [edit])


def test_a_model_without_film_has_none_to_swap(tiny, image_file):
    from vqa.model.presets import build_processor

    config = build_config("qcse", tiny)
    answerer = VisualQuestionAnswerer(build_model(config), build_processor(config))
    with pytest.raises(InputError, match="has no FiLM"):
        intervene(answerer.model, [SetFilm(1, None, 1.0)])
    with pytest.raises(InputError, match="has none"):
        film_of(answerer.ask(image_file, QUESTIONS[0]))
