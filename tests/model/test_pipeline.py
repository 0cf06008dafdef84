"""The transformers pipeline answers as `vqa.load` does, in every form of call."""

import subprocess
import sys

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image
from transformers import pipeline

import vqa
from vqa.errors import InputError

QUESTIONS = ["What color is the big cube left of the ball?", "How many balls?", "Is it big?"]


@pytest.fixture(scope="module")
def ask(tiny_checkpoint):
    return pipeline("clevr-visual-question-answering", model=str(tiny_checkpoint), device="cpu")


@pytest.fixture(scope="module")
def images():
    return [Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 48, 3), np.uint8)) for i in range(3)]


def scores(results):
    return [result[0]["score"] for result in results]


def test_it_answers_as_the_library_does(ask, images, tiny_checkpoint):
    answers = vqa.load(tiny_checkpoint, device="cpu").ask(images, QUESTIONS)
    expected = pytest.approx([answer.confidence for answer in answers], abs=1e-5)
    pairs = list(zip(images, QUESTIONS, strict=True))
    rows = [{"image": image, "question": question} for image, question in pairs]
    for given in ((images, QUESTIONS), (pairs,), (rows,), (Dataset.from_list(rows),)):
        assert scores(ask(*given)) == expected
        assert scores(ask(*given, batch_size=2)) == expected
    assert scores([ask(*pairs[0]), ask(image=images[1], question=QUESTIONS[1]), ask(rows[2])]) == expected
    found = ask(images[0], QUESTIONS[0], top_k=2)
    assert [item["answer"] for item in found] == [name for name, _ in answers[0].top_answers[:2]]
    assert [len(result) for result in ask(images[0], QUESTIONS)] == [5, 5, 2]  # "Is it big?": yes or no


def test_the_stem_runs_once_for_an_image_of_a_batch(ask, images, monkeypatch):
    stems, encode = [], ask.model.encode_images
    monkeypatch.setattr(ask.model, "encode_images", lambda pixels: stems.append(len(pixels)) or encode(pixels))
    ask([(image, question) for image in images for question in QUESTIONS])
    assert stems == [3]


def test_a_generator_is_answered_as_it_comes(ask, images):
    taken = []

    def pairs():
        for image in images:
            taken.append(1)
            yield image, QUESTIONS[0]

    answers = ask(pairs())
    assert len(next(iter(answers))) == 5
    assert len(taken) < 3
    array = np.zeros((32, 48, 3), np.uint8)

    def frames():  # all in one array
        for image in images:
            array[:] = np.asarray(image)
            yield array

    assert scores(ask(frames(), QUESTIONS[0])) == pytest.approx(scores(ask(images, QUESTIONS[0])), abs=1e-5)


def test_what_cannot_be_asked(ask, images):
    with pytest.raises(InputError, match="question"):
        ask(images[0], "")
    with pytest.raises(ValueError, match="top_k"):
        ask(images[0], QUESTIONS[0], top_k=0)


@pytest.mark.parametrize("first", ["vqa", "transformers"])
def test_importing_vqa_makes_model_and_task_known(first, tiny_checkpoint):
    second = "transformers" if first == "vqa" else "vqa"
    program = f"""
import sys, {first}, {second}
assert "torch" not in sys.modules or {first!r} == "transformers"
from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor, pipeline
model = AutoModelForVisualQuestionAnswering.from_pretrained({str(tiny_checkpoint)!r})
AutoProcessor.from_pretrained({str(tiny_checkpoint)!r})
ask = pipeline("clevr-visual-question-answering", model={str(tiny_checkpoint)!r})
print(type(model).__name__, type(ask).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "FilmSEForVisualQuestionAnswering ClevrVisualQuestionAnsweringPipeline\n", done.stderr
