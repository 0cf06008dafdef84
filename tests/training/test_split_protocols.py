"""Training on the training part of a split protocol: nothing of the other parts is shown, asked or made."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.test_data import SMALL, data_of, variant
from tests.training.test_trainer import MINI, options
from vqa.clevr.dataset.loading import open_images
from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.language.parser import parse_question
from vqa.clevr.question import Question
from vqa.clevr.split_protocols import TRAINING_PARTS
from vqa.clevr.vocabulary import ANSWERS, COGENT_COLORS
from vqa.cli import main
from vqa.errors import InputError
from vqa.training.data import TrainingData, load_training_data
from vqa.training.online_questions import QuestionMaker
from vqa.training.setup import build_trainer


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return open_images(MINI, (32, 48), cache=tmp_path_factory.mktemp("pack"))


def training_data(pack: PackedDataset, protocol: str | None, generated: float = 0.5) -> TrainingData:
    answers = {answer: label for label, answer in enumerate(ANSWERS)}
    return load_training_data(pack, encode, answers, 2, holdout=0.1, seed=0, generated=generated, protocol=protocol)


def encode(texts: Sequence[str]) -> list[list[int]]:
    return [list(text.encode()) for text in texts]


@pytest.mark.parametrize("name", TRAINING_PARTS)
def test_only_the_training_part_is_trained_on(pack: PackedDataset, name: str) -> None:
    everything, data = (training_data(pack, part) for part in (None, name))
    train = TRAINING_PARTS[name].train
    rows = sorted([*data.rows, *data.held_out])
    expected = [
        (row, question.question)
        for row in range(len(data.pack))
        for question in data.pack.questions(row)
        if train(data.pack.scene(row), question)
    ]
    assert 0 < len(expected) < len(everything.stored.rows)
    assert [row for row, _ in expected] == data.stored.rows.tolist()
    tokens = [data.stored.tokens_of(number) for number in range(len(data.stored))]
    assert tokens == encode([text for _, text in expected])
    if name != "families":
        assert len(rows) < len(data.pack)
    made_rows, texts, *_ = QuestionMaker(data.pack.path, 8, 0.0, 2, name)(data.rows, (0, 0))
    unhindered = QuestionMaker(data.pack.path, 8, 0.0, 2)(data.rows, (0, 0)).texts
    assert set(made_rows) <= set(data.rows.tolist())
    for row, text in zip(made_rows, texts, strict=True):
        assert train(data.pack.scene(row), Question(text, program=parse_question(text))), text
    assert len(texts) < len(unhindered) or name in ("cogent-a", "attribute-pairs"), "which are about images"


def test_cogent_a_shows_no_object_of_b(pack: PackedDataset) -> None:
    data = training_data(pack, "cogent-a", generated=1.0)
    for row in [*data.rows, *data.held_out]:
        for item in data.pack.scene(row).objects:  # type: ignore[union-attr]
            assert item.color in COGENT_COLORS["cogent-a"][item.shape]


def test_the_protocol_is_on_record_and_part_of_the_run(tmp_path: Path) -> None:
    first = build_trainer(options(tmp_path / "run", overrides=SMALL, epochs=1, split_protocol="size-depth"))
    first.run()
    assert first.record["split_protocol"] == "size-depth"
    assert "training part of size-depth" in (tmp_path / "run/README.md").read_text()
    with pytest.raises(InputError, match="--split-protocol differs from the run"):
        build_trainer(options(tmp_path / "run", overrides=SMALL, resume=True))


@pytest.mark.parametrize(
    ("name", "change", "scenes", "said"),
    [
        ("size-depth", lambda item: item, False, "has no scene"),
        ("attribute-pairs", lambda item: replace(item, program=None), True, "has no program"),
        (
            "families",
            lambda item: replace(item, program=None, template_filename=None),
            True,
            "neither a template nor a program",
        ),
    ],
)
def test_rows_that_cannot_be_decided_are_named(
    tmp_path: Path, name: str, change: Callable[[Question], Question], scenes: bool, said: str
) -> None:
    data = variant(tmp_path / "data", change, scenes)
    with pytest.raises(InputError, match=f"--split-protocol {name}: question .* {said}"):
        data_of(tmp_path, data=data, split_protocol=name)


def test_a_split_without_a_training_part_is_refused(tmp_path: Path) -> None:
    program = parse_question("What color is the cube left of the cube left of the cube left of the red cube?")
    data = variant(tmp_path / "data", lambda item: replace(item, program=program))
    with pytest.raises(InputError, match=r"none of the .* questions of split train is in its training part"):
        data_of(tmp_path, data=data, split_protocol="size-depth")


def test_unknown_protocols_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(InputError, match="must be one of cogent-a, size-depth, attribute-pairs, families"):
        options(tmp_path, split_protocol="closure")
    with pytest.raises(SystemExit):
        main(["train", "--data", MINI, "--split-protocol", "closure"])
    assert "cogent-a" in capsys.readouterr().err
