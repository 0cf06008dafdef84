"""`vqa.load(...).ask(...)`, as a user of the library meets it."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import vqa
from vqa.clevr.vocabulary import ANSWERS
from vqa.errors import InputError
from vqa.inference.answerer import CACHED_IMAGES
from vqa.model import processing

QUESTION = "What color is the big cube left of the ball?"


@pytest.fixture(scope="module")
def answerer(tiny_checkpoint):
    return vqa.load(tiny_checkpoint, device="cpu")


def test_import_is_light():
    program = "import sys, vqa; assert 'load' in dir(vqa); print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nonsense"):
        vqa.nonsense  # noqa: B018


def test_an_answer_says_what_it_is_made_of(answerer, image_file):
    answer = answerer.ask(image_file, QUESTION)
    assert isinstance(answer, vqa.Answer)
    assert answer.answer in ANSWERS
    assert 0 < answer.confidence <= 1
    assert len(answer.top_answers) == 5
    assert answer.top_answers[0] == (answer.answer, answer.confidence)
    scores = [p for _, p in answer.top_answers]
    assert scores == sorted(scores, reverse=True)
    assert answer.unknown_words == []
    assert answer.in_domain is None
    assert answer.words == ["what", "color", "is", "the", "big", "cube", "left", "of", "the", "ball"]
    assert list(answer.weights) == ["block_1", "block_2", "block_3"]
    for weights in answer.weights.values():
        assert weights["film_gamma"].shape == weights["film_beta"].shape == weights["channel_weights"].shape == (16,)
        assert weights["word_weights"].shape == (10,)
        assert weights["spatial_weights"].shape == (8, 12)
    assert [set(step) for step in answer.steps] == [{"operation", "probability", "filters", "reads"}] * 3
    assert set(answer.steps[2]["reads"]) == {"block_1", "block_2"}
    assert answer.picture_box == (0, 0, 1, 1)


def test_blocks_hold_what_the_json_holds(answerer, image_file):
    answer = answerer.ask(image_file, QUESTION)
    assert len(answer.blocks) == 3
    block, weights = answer.blocks[2], answer.weights["block_3"]
    assert block.channel_gate is weights["channel_weights"]
    assert block.film_gamma is weights["film_gamma"]
    assert block.word_attention is weights["word_weights"]
    assert block.object_attention is weights["spatial_weights"]
    assert answer.steps[2]["operation"] == block.step.operation
    assert list(answer.steps[2]["reads"].values()) == list(block.step.reads)


def test_an_answer_is_shown_on_one_screen(answerer, image_file):
    answer = answerer.ask(image_file, QUESTION)
    assert repr(answer).startswith("Answer(answer=")
    assert len(repr(answer)) < 1000
    assert len(repr(answer.blocks[0])) < 500


def test_a_question_is_read_once_and_an_image_scanned_once(answerer, image_file, monkeypatch):
    counts = {"read": 0, "scanned": 0}
    for name, counted in (("restate", "read"), ("content_box", "scanned")):
        real = getattr(processing, name)

        def call(*args, real=real, counted=counted):
            counts[counted] += 1
            return real(*args)

        monkeypatch.setattr(processing, name, call)
    answerer.ask(image_file, "waht colr is teh big cueb lfet of teh ball?")
    assert counts == {"read": 1, "scanned": 1}


def test_the_json_is_plain_and_complete(answerer, image_file):
    answer = answerer.ask(image_file, QUESTION)
    data = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert {"answer", "confidence", "top_answers", "unknown_words", "in_domain", "weights"} <= set(data)
    assert data["top_answers"][0] == [answer.answer, pytest.approx(answer.confidence, abs=1e-5)]
    block = data["weights"]["block_1"]
    assert {"film_gamma", "film_beta", "channel_weights", "word_weights"} <= set(block)
    np.testing.assert_allclose(block["film_gamma"], answer.weights["block_1"]["film_gamma"], atol=1e-5)


def test_the_answer_is_the_models(answerer, image_file):
    batch = answerer.processor(images=image_file, text=QUESTION, return_tensors="pt")
    with torch.no_grad():
        output = answerer.model(**batch)
    answer = answerer.ask(image_file, QUESTION)
    assert ANSWERS[output.logits[0].argmax()] == answer.answer
    assert answer.confidence == pytest.approx(output.logits[0].softmax(0).max().item(), abs=1e-5)
    np.testing.assert_allclose(answer.weights["block_2"]["channel_weights"], output.channel_weights[1][0], atol=1e-5)


def test_a_configuration_without_gate_and_evidence_answers_too(tiny, image_file):
    from vqa.model import build_config, build_model, build_processor

    config = build_config("film-base", [*tiny, "evidence=false", "trunk_features=true", "head=max"])
    answer = vqa.VisualQuestionAnswerer(build_model(config), build_processor(config)).ask(image_file, QUESTION)
    assert answer.steps is None
    assert answer.weights["block_1"]["channel_weights"] is None
    assert answer.to_json()["weights"]["block_1"]["spatial_weights"] is None


def test_every_form_of_an_image_gets_the_same_answer(answerer, image_file):
    image = Image.open(image_file)
    forms = [image_file, str(image_file), image, np.asarray(image), image_file.read_bytes()]
    answers = [answerer.ask(form, QUESTION).to_json() for form in forms]
    assert all(answer == answers[0] for answer in answers)


def test_the_box_says_where_the_image_lies(answerer):
    assert answerer.ask(Image.new("RGB", (100, 100)), QUESTION).picture_box == (8 / 48, 0, 40 / 48, 1)


def test_the_stem_runs_once_for_an_image(answerer, image_file, monkeypatch):
    calls = []
    encode = answerer.model.encode_images
    monkeypatch.setattr(answerer.model, "encode_images", lambda pixels: calls.append(1) or encode(pixels))
    fresh = vqa.VisualQuestionAnswerer(answerer.model, answerer.processor)
    answers = {fresh.ask(image_file, question).to_json()["confidence"] for question in (QUESTION, "How many balls?")}
    assert len(answers) == 2
    assert fresh.ask(image_file, QUESTION).to_json() == answerer.ask(image_file, QUESTION).to_json()
    assert len(calls) <= 2

    calls.clear()
    for gray in range(CACHED_IMAGES + 5):
        fresh.ask(Image.new("RGB", (48, 32), (gray * 10,) * 3), QUESTION)
    assert len(calls) == CACHED_IMAGES + 5
    assert len(fresh._features) == CACHED_IMAGES
    fresh.ask(image_file, QUESTION)
    assert len(calls) == CACHED_IMAGES + 6


def test_threads_get_their_own_answers(answerer):
    images = [Image.new("RGB", (48, 32), color) for color in ("red", "green", "blue", "gray")]
    questions = [QUESTION, "How many balls are there?", "Is there a cube?"]
    jobs = [(image, question) for image in images for question in questions]
    expected = [answerer.ask(*job).to_json() for job in jobs]
    fresh = vqa.VisualQuestionAnswerer(answerer.model, answerer.processor)
    found: dict[int, dict] = {}

    def work(offset):
        for i in range(len(jobs)):
            k = (i + offset) % len(jobs)
            found[offset * 100 + k] = fresh.ask(*jobs[k]).to_json()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 * len(jobs)
    assert all(answer == expected[key % 100] for key, answer in found.items())


@pytest.mark.parametrize("question", ["", "???", "Wie bitte", "x" * 10_000, None])
def test_questions_that_cannot_be_asked(answerer, image_file, question):
    with pytest.raises(InputError, match="question"):
        answerer.ask(image_file, question)


def test_unknown_words_are_listed(answerer, image_file):
    assert answerer.ask(image_file, "What color is the Elephant?").unknown_words == ["elephant"]


def test_the_pipeline_answers_alike(answerer, tiny_checkpoint, image_file):
    from transformers import pipeline

    ask = pipeline("clevr-visual-question-answering", model=str(tiny_checkpoint), device="cpu")
    answer = answerer.ask(image_file, QUESTION)
    result = ask(image=image_file, question=QUESTION, top_k=2)
    assert [item["answer"] for item in result] == [name for name, _ in answer.top_answers[:2]]
    assert result[0]["score"] == pytest.approx(answer.confidence, abs=1e-5)
    inputs = [{"image": image_file, "question": text} for text in ("How many balls?", QUESTION, "Is it big?")]
    batched = ask(inputs, batch_size=3)
    assert [len(item) for item in batched] == [5, 5, 5]
    assert batched[1][0]["score"] == pytest.approx(answer.confidence, abs=1e-5)
    with pytest.raises(InputError):
        ask(image=image_file, question="")
    with pytest.raises(ValueError, match="top_k"):
        ask(image=image_file, question=QUESTION, top_k=0)
