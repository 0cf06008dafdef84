"""What the page says about answers of models with and without each part."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from serving import SMALL, save_small_model

import vqa
from app.examples import known_example, load_examples, true_answer
from app.suggestions import MAX_WORDS
from app.views.answer import Asked, answer_card, blocks_section, history_card, message_card
from vqa.utils.images import load_image

QUESTION = "What color is the cube?"
IMAGE = Image.new("RGB", (96, 64), "gray")


def _ask(folder, preset="film-qcse-1", overrides=SMALL, question=QUESTION):
    return vqa.load(save_small_model(folder, preset, overrides=overrides), "cpu").ask(IMAGE, question)


@pytest.mark.parametrize(
    ("preset", "overrides", "strips", "parts"),
    [
        ("film-qcse-1", SMALL, 3, {"figure", "words"}),
        ("film-base", SMALL[:-1], 2, {"figure", "words"}),
        ("qcse", SMALL, 1, {"words"}),
        ("film-qcse-1", (*SMALL, "evidence=false", "head=max", "word_attention=false", "gate=tanh"), 3, set()),
    ],
)
def test_blocks_show_what_the_model_has(tmp_path, preset, overrides, strips, parts):
    answer = _ask(tmp_path, preset, overrides)
    html = blocks_section(answer, IMAGE)
    blocks = len(answer.weights)
    assert html.count('class="card stage') == blocks
    assert html.count("<svg") == html.count("data-values") == strips * blocks
    assert html.count("<figure>") == blocks * ("figure" in parts)
    assert html.count('class="words"') == blocks * ("words" in parts)
    assert ("looks for" in html) == (answer.steps is not None)


def test_a_gate_that_can_reverse_a_channel_says_so(tmp_path):
    signed = _ask(tmp_path, overrides=(*SMALL, "gate=tanh"))
    assert min(weights["channel_weights"].min() for weights in signed.weights.values()) < 0
    assert "blue the reverse" in blocks_section(signed, IMAGE)


def test_the_pathways_are_shown_where_there_are_any(tmp_path):
    answer = _ask(tmp_path / "pathways", overrides=(*SMALL, "head=pathways"))
    html = blocks_section(answer, IMAGE)
    assert re.findall(r"<span>Pathway (\d)</span>", html) == [str(i) for i in range(1, 10)]
    shares = [float(share) for share in re.findall(r"width:([\d.]+)%", html)]
    assert shares == pytest.approx((100 * answer.pathway_weights).tolist(), abs=0.051)
    assert answer.to_json()["pathway_weights"] == pytest.approx(answer.pathway_weights.tolist(), abs=1e-5)
    assert "Pathway" not in blocks_section(_ask(tmp_path / "other"), IMAGE)


def test_strips_carry_the_very_numbers(tmp_path):
    answer = _ask(tmp_path)
    shown = re.findall(r'class="strip (\w+)" data-values="([^"]+)"', blocks_section(answer, IMAGE))
    expected = [
        (kind, " ".join(f"{v:z.2f}" for v in weights[kind].tolist()))
        for weights in answer.weights.values()
        for kind in ("film_gamma", "film_beta", "channel_weights")
    ]
    assert shown == expected


def test_the_download_is_the_answer_as_json(tmp_path):
    answer = _ask(tmp_path)
    uri = re.search(r'href="data:application/json;base64,([^"]+)"', answer_card(QUESTION, answer))
    assert json.loads(base64.b64decode(uri[1])) == {"question": QUESTION, **answer.to_json()}


def test_warnings(tmp_path):
    answer = replace(
        _ask(tmp_path, question="Whats the colour of the <i>giraffe</i> cube?"),
        confidence=0.4,
        in_domain=False,
        unfamiliar=("picture", "question"),
    )
    html = answer_card("?", answer)
    assert html.count('class="warning"') == 4
    assert "does not look like the scenes" in html
    assert "may have misunderstood" in html
    assert "Read as: what is the color of the i giraffe i cube" in html
    assert "Read as" not in answer_card("?", replace(answer, read_as=None))
    assert "“giraffe”" in html
    assert (
        answer_card("?", replace(answer, confidence=0.9, unknown_words=[], in_domain=True, unfamiliar=())).count(
            'class="warning"'
        )
        == 0
    )


def test_both_readings_are_named_where_they_differ(tmp_path):
    answer = replace(_ask(tmp_path, question="How many cubes are there?"), answer="3")
    assert answer.check.answer != "3"
    assert f"The network says 3; its scene, read step by step, says {answer.check.answer}" in answer_card("?", answer)
    assert "The network says" not in answer_card("?", replace(answer, answer=answer.check.answer))
    by_program = answer_card("?", _ask(tmp_path, question="How many things are not red?"))
    assert "a program answers" in by_program
    assert "may have misunderstood" not in by_program


def test_nothing_a_visitor_writes_becomes_markup(tmp_path):
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(2)> cube'
    answer = _ask(tmp_path, question=hostile)
    html = answer_card(hostile, answer) + blocks_section(answer, IMAGE) + message_card(hostile)
    html += history_card([Asked(hostile, hostile, None, hostile, hostile, hostile)] * 2)
    assert "<script" not in html
    assert "<img src=x" not in html


def test_every_example_has_its_image_and_questions_that_fit_it():
    examples = load_examples()
    assert len(examples) >= 10
    for example in examples:
        assert example.path.is_file()
        assert re.match(r"\d+ objects: (large|small) ", example.description)
        assert len(set(example.questions)) == len(example.questions) >= 3
        for question in example.questions:
            assert len(question.split()) <= MAX_WORDS
            assert true_answer(question, example.scene)[0], "it presupposes what is not there"
            assert known_example(load_image(example.path)) is example
    lengths = [len(question.split()) for example in examples for question in example.questions]
    assert sum(lengths) / len(lengths) < 10


def test_blocks_without_a_step_are_folded_into_one_line(tmp_path):
    answer = _ask(tmp_path)
    idle = replace(answer.blocks[0].step, operation="none")
    busy = replace(idle, operation="scene")
    steps = [idle, busy, idle, busy, busy]
    html = blocks_section(
        replace(answer, blocks=tuple(replace(b, step=s) for b, s in zip(answer.blocks, steps, strict=True))), IMAGE
    )
    folded, rest = html.split("</details>")
    assert "Blocks 1 and 3 have no step of this question to do" in folded
    assert folded.count('class="card stage') == 2
    assert rest.count('class="card stage') == 3
    assert "<details" not in blocks_section(
        replace(answer, blocks=tuple(replace(b, step=idle) for b in answer.blocks)), IMAGE
    )


def test_channels_that_are_shut_are_counted_and_not_drawn(tmp_path):
    answer = _ask(tmp_path)
    first, *others = answer.blocks
    gate = np.where(np.arange(len(first.channel_gate)) < 3, first.channel_gate, 0)
    html = blocks_section(replace(answer, blocks=(replace(first, channel_gate=gate), *others)), IMAGE)
    assert html.count('data-order="0 1 2"') == 1
    assert html.count("channels are open") == 1
    assert f"3 of {len(gate)} channels are open" in html
    none = blocks_section(replace(answer, blocks=(replace(first, channel_gate=0 * gate), *others)), IMAGE)
    assert f"None of {len(gate)} channels are open" in none
    assert none.count('class="channels"') == len(others)


def test_the_truth_stands_beside_where_it_is_known(tmp_path):
    answer = _ask(tmp_path)
    assert "Right" in answer_card(QUESTION, answer, answer.answer)
    assert "Wrong" in answer_card(QUESTION, answer, "no such answer")
    assert 'class="truth"' not in answer_card(QUESTION, answer)


def test_terms_are_explained_where_they_first_appear(tmp_path):
    html = blocks_section(_ask(tmp_path), IMAGE)
    assert all(f"<dt>{term}</dt>" in html for term in ("FiLM", "γ and β", "Channel gate"))  # noqa: RUF001
