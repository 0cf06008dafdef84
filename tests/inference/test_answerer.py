"""`vqa.load(...).ask(...)`, as a user of the library meets it."""

import copy
import json
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image, features

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
    forms += [torch.from_numpy(np.array(image)), image_file.open("rb"), BytesIO(image_file.read_bytes())]
    answers = [answerer.ask(form, QUESTION).to_json() for form in forms]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif(answerer, image_file, tmp_path):
    Image.open(image_file).convert("RGB").save(tmp_path / "image.avif", quality=100, subsampling="4:4:4")
    assert answerer.ask(tmp_path / "image.avif", QUESTION).answer in ANSWERS


def test_an_address_is_refused(answerer):
    with pytest.raises(InputError, match=r"https://x\.org/a\.png: is a URL; download it first"):
        answerer.ask("https://x.org/a.png", QUESTION)


QUESTIONS = [QUESTION, "How many balls are there?", "Is there a cube?"]


@pytest.fixture(scope="module")
def images():
    return [Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 48, 3), np.uint8)) for i in range(3)]


def same(found, expected):
    assert [answer.answer for answer in found] == [answer.answer for answer in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.question == other.question
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
        np.testing.assert_allclose(one.blocks[1].object_attention, other.blocks[1].object_attention, atol=1e-4)
        np.testing.assert_allclose(one.readings.objectness, other.readings.objectness, atol=1e-4)


def test_many_images_and_questions_in_every_form(answerer, images):
    ask = answerer.ask
    arrays = np.stack([np.asarray(image) for image in images])
    same(ask(images[0], QUESTIONS), [ask(images[0], question) for question in QUESTIONS])
    about_all = [ask(image, QUESTION) for image in images]
    for many in (images, tuple(images), arrays, torch.from_numpy(arrays)):
        same(ask(many, QUESTION), about_all)
    pairs = list(zip(images, QUESTIONS, strict=True))
    each = [ask(*pair) for pair in pairs]
    rows = [{"image": image, "question": question, "answer": "yes"} for image, question in pairs]
    for given in ((images, QUESTIONS), (pairs,), (rows,), (Dataset.from_list(rows),)):
        same(ask(*given), each)
        same(ask(*given, batch_size=2), each)
    same([ask(pairs[0]), ask(rows[1])], each[:2])
    assert ask([]) == []


def test_a_batch_is_one_call_and_the_stem_runs_once_for_an_image(answerer, images, monkeypatch):
    fresh = vqa.VisualQuestionAnswerer(answerer.model, answerer.processor)
    stems, trunks = [], []
    encode, forward = fresh.model.encode_images, fresh.model.forward
    monkeypatch.setattr(fresh.model, "encode_images", lambda pixels: stems.append(len(pixels)) or encode(pixels))
    monkeypatch.setattr(fresh.model, "forward", lambda **inputs: trunks.append(1) or forward(**inputs))
    fresh.ask([(image, question) for image in images for question in QUESTIONS])
    assert (stems, len(trunks)) == ([3], 1)


def test_a_generator_is_answered_as_it_comes(answerer, images):
    taken = []

    def pairs():
        for image in images:
            taken.append(1)
            yield image, QUESTION

    answers = answerer.ask(pairs())
    assert taken == []
    same([next(answers)], [answerer.ask(images[0], QUESTION)])
    assert taken == [1]
    assert len(list(answers)) == 2
    assert next(answerer.ask((image for image in images), QUESTION)).answer in ANSWERS


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_generator_may_use_one_array_for_all_images(answerer, images, batch_size):
    array = np.zeros((32, 48, 3), np.uint8)

    def frames():
        for image in images:
            array[:] = np.asarray(image)
            yield array

    same(list(answerer.ask(frames(), QUESTION, batch_size=batch_size)), answerer.ask(images, QUESTION))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (([1, 2], ["a?"]), "1 questions about 2 images"),
        ((["a.png"],), "expected pairs of image and question"),
        (("a.png",), "none is given"),
    ],
)
def test_pairs_that_are_none(answerer, given, says):
    with pytest.raises(InputError, match=says):
        answerer.ask(*given)


def test_what_is_wrong_with_one_of_many_is_named(answerer, images):
    with pytest.raises(InputError, match="pair 2: question: it has no words"):
        answerer.ask(images, [QUESTION, QUESTION, "?"])
    with pytest.raises(InputError, match=r"pair 1: /no/such\.png"):
        answerer.ask([images[0], "/no/such.png"], QUESTION)


def in_another_process(answerer, image):
    return answerer.ask(image, QUESTION)


def test_it_is_copied_saved_and_sent_to_other_processes(answerer, images):
    expected = answerer.ask(images[0], QUESTION)
    saved = BytesIO()
    torch.save(answerer, saved)
    saved.seek(0)
    copies = [pickle.loads(pickle.dumps(answerer)), copy.deepcopy(answerer), torch.load(saved, weights_only=False)]
    same([other.ask(images[0], QUESTION) for other in copies], [expected] * 3)
    assert copy.copy(answerer)._features is answerer._features
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        same([pool.submit(in_another_process, answerer, images[0]).result()], [expected])


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
