"""What the page says about answers of models with and without each part."""

import base64
import json
import re
from dataclasses import replace

import pytest
from PIL import Image
from serving import SMALL, save_small_model

import vqa
from app.examples import load_examples
from app.views.answer import answer_card, blocks_section, history_card, message_card, step_in_words

QUESTION = "What color is the cube?"
IMAGE = Image.new("RGB", (96, 64), "gray")


def _ask(folder, preset="film-qcse", overrides=SMALL, question=QUESTION):
    return vqa.load(save_small_model(folder, preset, overrides=overrides), "cpu").ask(IMAGE, question)


@pytest.mark.parametrize(
    ("preset", "overrides", "strips", "parts"),
    [
        ("film-qcse", SMALL, 3, {"figure", "words"}),
        ("film-base", SMALL[:-1], 2, {"figure", "words"}),
        ("qcse", SMALL, 1, {"words"}),
        ("film-qcse", (*SMALL, "evidence=false", "head=max", "word_attention=false", "gate=tanh"), 3, set()),
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
    assert html.count("class=warning") == 4
    assert "does not look like the scenes" in html
    assert "may have misunderstood" in html
    assert "Read as: what is the color of the i giraffe i cube" in html
    assert "Read as" not in answer_card("?", replace(answer, read_as=None))
    assert "“giraffe”" in html
    assert (
        answer_card("?", replace(answer, confidence=0.9, unknown_words=[], in_domain=True, unfamiliar=())).count(
            "class=warning"
        )
        == 0
    )


def test_nothing_a_visitor_writes_becomes_markup(tmp_path):
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(2)> cube'
    answer = _ask(tmp_path, question=hostile)
    html = answer_card(hostile, answer) + blocks_section(answer, IMAGE) + message_card(hostile)
    html += history_card([(hostile, hostile, hostile)] * 2)
    assert "<script" not in html
    assert "<img src=x" not in html


@pytest.mark.parametrize(
    ("operation", "filters", "reads", "expected"),
    [
        ("scene", {}, {}, "all things"),
        ("scene", {"size": "large", "color": "red", "material": "metal", "shape": "cube"}, {}, "large red metal cubes"),
        ("left", {}, {"block_1": 0.0}, "things left of what block 2 picked out"),
        ("front", {"shape": "sphere"}, {}, "spheres in front of what block 2 picked out"),
        ("same_color", {"size": "small"}, {}, "other small things of the same color as what block 2 picked out"),
        ("union", {}, {"block_1": 0.9, "block_2": 0.1}, "things that block 2 or block 1 picked out"),
        ("intersect", {"shape": "cube"}, {"block_1": 1.0}, "cubes that block 2 and block 1 both picked out"),
        ("none", {}, {}, "has no step of this question to do"),
    ],
)
def test_steps_in_words(operation, filters, reads, expected):
    step = {"operation": operation, "probability": 1.0, "filters": filters, "reads": reads}
    assert step_in_words(step, 3) == expected


def test_every_example_has_its_image_and_questions_that_fit_it():
    examples = load_examples()
    assert len(examples) >= 10
    for example in examples:
        assert example.path.is_file()
        assert re.match(r"\d+ objects: (large|small) ", example.description)
        assert len(set(example.questions)) == len(example.questions) >= 3
