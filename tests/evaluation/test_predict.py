"""A whole set at once gives what one question at a time gives, and nothing is refused."""

import numpy as np
import pytest
import torch

from tests.training.test_trainer import launch
from vqa.clevr.dataset.loading import open_data, pack_data
from vqa.errors import InputError
from vqa.evaluation import predict as predicting
from vqa.evaluation.predict import predict
from vqa.inference.checkpoints import load_checkpoint


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return load_checkpoint(tiny_checkpoint, "cpu")


def one_by_one(model, data):
    network, processor = model
    answers, confidence = [], []
    for row in range(len(data)):
        for question in data.questions(row):
            inputs = processor(images=data.image_file(row), text=question.question, return_tensors="pt")
            with torch.inference_mode():
                best = network(**inputs).logits[0].softmax(-1).max(-1)
            answers.append(network.config.id2label[int(best.indices)])
            confidence.append(float(best.values))
    return answers, confidence


@pytest.mark.parametrize("split", ["val", "human", "test"])
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_batches_change_nothing(model, clevr_folder, split, batch_size):
    data = open_data(clevr_folder, split)
    answers, confidence = one_by_one(model, data)
    found = predict(*model, data, batch_size=batch_size)
    assert found.confidence == pytest.approx(confidence, abs=1e-5)
    assert list(found.answers) == answers


_BOTH_COMMANDS = """
import sys
from vqa.cli import main
folder, data, checkpoint = sys.argv[1:]
model = ["--data", data, "--checkpoint", checkpoint, "--batch-size", "2"]
report = ["--perturb", "typo", "--resamples", "200", "--json", folder + "/report.json"]
assert main(["evaluate", *model, "--split", "val", "human", *report]) == 0
assert main(["predict", *model, "--split", "val", "--out", folder + "/answers.jsonl"]) == 0
"""


def test_two_processes_give_the_report_of_one_to_the_digit(clevr_folder, tiny_checkpoint, tmp_path):
    (tmp_path / "both.py").write_text(_BOTH_COMMANDS)
    for processes in ("1", "2"):
        script = (tmp_path / "both.py", tmp_path / processes, clevr_folder, tiny_checkpoint)
        launch(int(processes), *map(str, script))
    for name in ("report.json", "answers.jsonl"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert len((tmp_path / "2" / "answers.jsonl").read_text().splitlines()) == 20


@pytest.mark.parametrize("world", [3, 7])
def test_shares_of_a_set_have_every_question_once(model, clevr_folder, world):
    data = open_data(clevr_folder, "val")
    shares = [
        [
            number
            for numbers, _ in predicting.answer_questions(*model, data, batch_size=1, share=(k, world))
            for number in numbers
        ]
        for k in range(world)
    ]
    assert len({*map(len, shares)}) > 1, "uneven"
    assert sorted(number for share in shares for number in share) == list(range(20))


def test_the_stem_runs_once_for_each_image(model, clevr_folder, monkeypatch):
    seen, on_progress = [], []
    network = model[0]
    encode = type(network).encode_images
    monkeypatch.setattr(type(network), "encode_images", lambda self, x: seen.append(len(x)) or encode(self, x))
    predict(*model, open_data(clevr_folder, "val"), batch_size=2, on_questions=on_progress.append)
    assert sum(seen) == 4
    assert sum(on_progress) == 20
    assert max(on_progress) <= 2


def test_packed_images_give_the_same(model, clevr_folder, tmp_path):
    size = model[1].image_processor.size
    packed = pack_data(clevr_folder, tmp_path / "val.pack", (size["height"], size["width"]), "val")
    from_folder = predict(*model, open_data(clevr_folder, "val"))
    assert predict(*model, packed).confidence == pytest.approx(from_folder.confidence, abs=1e-6)


def test_bf16_is_close_and_only_where_asked(model, clevr_folder):
    data = open_data(clevr_folder, "val")
    exact, close = predict(*model, data), predict(*model, data, bf16=True)
    assert close.confidence == pytest.approx(exact.confidence, abs=0.05)
    assert not np.array_equal(close.confidence, exact.confidence)
    assert np.array_equal(predict(*model, data).confidence, exact.confidence)


def test_a_broken_image_is_named(model, clevr_folder, tmp_path):
    import shutil

    root = shutil.copytree(clevr_folder, tmp_path / "copy")
    broken = root / "images/val/CLEVR_val_000002.png"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(InputError, match=r"CLEVR_val_000002\.png"):
        predict(*model, open_data(root, "val"), batch_size=1)


def test_outputs_that_are_no_numbers_are_a_fault_of_the_checkpoint(tiny_checkpoint, clevr_folder):
    network, processor = load_checkpoint(tiny_checkpoint, "cpu")
    with torch.no_grad():
        network.head.classifier.bias.fill_(torch.nan)
    with pytest.raises(InputError, match="finite"):
        predict(network, processor, open_data(clevr_folder, "val"))


def test_chunks_hold_every_row_with_questions_once(clevr_folder):
    data = open_data(clevr_folder, "human")
    for questions in (1, 2, 3, 100):
        chunks = list(predicting._rows(data, questions, None))
        assert np.concatenate(chunks).tolist() == [0, 1, 2, 3]
        assert all(len(chunk) for chunk in chunks)
