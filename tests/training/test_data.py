"""Which images and questions train a model, on data with less in it than usual, and what is said of it."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_trainer import MINI, TINY, options
from vqa.clevr.annotations import (
    questions_path,
    read_questions,
    read_scenes,
    scenes_path,
    write_questions,
    write_scenes,
)
from vqa.clevr.dataset.packed import PackedDataset
from vqa.clevr.question import Question
from vqa.errors import InputError
from vqa.training.data import TrainingData
from vqa.training.setup import build_trainer
from vqa.training.targets import step_target
from vqa.training.tensors import Images, Questions

SMALL = [*TINY, "image_size=32x48", "num_blocks=2"]
CPU = torch.device("cpu")


def variant(folder: Path, change: Callable[[Question], Question | None], scenes: bool = True) -> str:
    """clevr-mini with each question changed, or left out where it becomes None."""
    folder.mkdir()
    (folder / "images").symlink_to(Path(MINI, "images"))
    if scenes:
        (folder / "scenes").symlink_to(Path(MINI, "scenes"))
    changed = [change(question) for question in read_questions(questions_path(MINI, "train"))]
    write_questions(questions_path(folder, "train"), [question for question in changed if question is not None])
    return str(folder)


def data_of(tmp_path: Path, **changes: object) -> TrainingData:
    return build_trainer(options(tmp_path / "run", overrides=SMALL, **changes)).data


@pytest.mark.parametrize("images", [1, 2, 3, 5])
def test_a_image_is_left_to_train_on_whatever_is_held_out(tmp_path: Path, images: int) -> None:
    data = variant(tmp_path / "few", lambda question: question if (question.image_index or 0) < images else None)
    found = data_of(tmp_path, data=data, holdout=0.9)
    assert len(found.rows) >= 1
    assert len(found.rows) + len(found.held_out) == images


def test_few_images_are_among_more_and_never_held_out(tmp_path: Path) -> None:
    few, more, most = (data_of(tmp_path, training_images=number, holdout=0.25) for number in (3, 5, None))
    assert (len(few.rows), len(more.rows)) == (3, 5)
    assert set(few.rows) < set(more.rows) < set(most.rows)
    assert not set(most.rows) & set(few.held_out)
    assert np.array_equal(few.held_out, most.held_out), "all are measured on the same images"


def test_questions_without_answers_are_left_out_and_all_of_them_refused(tmp_path: Path) -> None:
    half = variant(tmp_path / "half", lambda item: replace(item, answer=None) if item.question_index % 2 else item)
    assert len(data_of(tmp_path, data=half).stored.labels) == 240
    none = variant(tmp_path / "none", lambda item: replace(item, answer=None))
    with pytest.raises(InputError, match="--split train: none of its questions has an answer"):
        data_of(tmp_path, data=none)


def test_answers_that_the_model_lacks_are_counted_and_all_of_them_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    some = variant(tmp_path / "some", lambda item: replace(item, answer="maybe") if item.answer == "yes" else item)
    found = data_of(tmp_path, data=some)
    unknown = int((found.stored.labels == -100).sum())
    assert found.unknown_answers == {"maybe": unknown}
    assert f"{unknown} of 480 questions" in (said := capsys.readouterr().err)
    assert "'maybe'" in said
    with pytest.raises(InputError, match="none of its answers is one that the model can give: 'maybe'"):
        data_of(tmp_path, data=variant(tmp_path / "all", lambda item: replace(item, answer="maybe")))


def test_held_out_batches_are_made_one_at_a_time(tmp_path: Path) -> None:
    found = data_of(tmp_path, holdout=0.5)
    batch, types = next(found.held_out_batches(4))
    assert len(batch.images) == 4
    assert len(types) == len(batch.labels)


def test_questions_are_not_made_without_scenes(tmp_path: Path) -> None:
    bare = variant(tmp_path / "bare", lambda item: item, scenes=False)
    with pytest.raises(InputError, match="--generated"):
        data_of(tmp_path, data=bare, generated=0.5)


def test_a_image_that_nothing_can_be_asked_about_counts_for_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    data = variant(folder, lambda item: item if (item.image_index or 0) < 4 else None, scenes=False)
    scenes = list(read_scenes(scenes_path(MINI, "train")).values())
    empty = {name: [] for name in scenes[0].relationships}
    write_scenes(
        scenes_path(folder, "train"),
        [scene if i < 4 else replace(scene, objects=(), relationships=empty) for i, scene in enumerate(scenes)],
    )
    found = data_of(tmp_path, data=data, generated=0.5, holdout=0)
    epoch = replace(found, online=None).epoch(0)
    for index, row in enumerate(epoch.order):
        batch = epoch.batch(index, 1, 4)
        assert (batch.labels >= 0).sum() == (4 if row < 4 else 0)
        assert (batch.scenes.number >= 0).all() == batch.steps.known.any() == (row < 4)
    found.close()


def test_the_online_of_questions_outlives_ctrl_c_and_makes_an_epoch_once(tmp_path: Path) -> None:
    found = data_of(tmp_path, generated=1.0)
    rows, online = found.rows, found.online
    assert online is not None

    def tokens(epoch: int) -> list[list[int]]:
        return [source.tokens_of(number) for source, numbers in online.about(epoch, rows) for number in numbers]

    first = tokens(0)
    (process,) = online.pool._processes.values()
    os.kill(process.pid, signal.SIGINT)  # as the terminal sends it to every process of the command
    future = online.begun[0, 0]
    assert tokens(0) == first
    assert online.begun[0, 0] is future
    assert tokens(1) != first
    assert (0, 0) not in online.begun
    found.close()


def test_images_that_would_need_a_border_are_refused(tmp_path: Path) -> None:
    square = [*TINY, "image_size=48x48", "num_blocks=2"]
    with pytest.raises(InputError, match=r"160 high and 240 wide .* keep_aspect_ratio=false"):
        build_trainer(options(tmp_path, overrides=square))
    assert build_trainer(options(tmp_path, overrides=[*square, "keep_aspect_ratio=false"])).data.pack.images.shape[
        1:3
    ] == (48, 48)


def test_images_that_fit_the_device_are_uploaded_once_and_the_same(tmp_path: Path) -> None:
    data = data_of(tmp_path)
    size = data.pack.images.nbytes
    read, resident = (Images(data.pack, CPU, free=free) for free in (2 * size - 1, 2 * size))
    assert read.resident is None
    assert resident.resident is not None
    rows = np.array([40, 3, 17])
    expected = torch.from_numpy(data.pack.images[rows]).permute(0, 3, 1, 2)
    assert torch.equal(read.at(rows), expected)
    assert torch.equal(resident.at(rows), expected)


def test_a_pack_that_is_cut_short_meanwhile_is_named(tmp_path: Path) -> None:
    shutil.copy(data_of(tmp_path).pack.path, tmp_path / "some.pack")
    pack = PackedDataset(tmp_path / "some.pack")
    images = Images(pack, CPU)
    os.truncate(pack.path, pack.images_offset + 5 * pack.images[0].nbytes + 1)
    assert len(images.at(np.arange(5))) == 5
    with pytest.raises(InputError, match=r"some\.pack: cut short"):
        images.at(np.array([5]))


def test_questions_are_joined_padded_and_of_the_smallest_type() -> None:
    def some(*tokens: list[int]) -> Questions:
        target = step_target(None, None, 2)
        count = len(tokens)
        return Questions.of(tokens, range(count), [target] * count, [3] * count, [-1] * count)

    small, large = some([1, 2, 3], [4]), some([300], [5, 6])
    assert small.tokens.dtype == torch.uint8
    joined = Questions.join([small, large])
    assert [joined.tokens_of(number) for number in range(4)] == [[1, 2, 3], [4], [300], [5, 6]]
    ids, mask = joined.padded(np.array([2, 0, 3]))
    assert ids.tolist() == [[300, 0, 0], [1, 2, 3], [5, 6, 0]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]
    assert joined.labels.tolist() == [0, 1, 0, 1]
    assert joined.steps.tolist() == [0] * 4
    some = joined.take(np.array([3, 0]))
    assert [some.tokens_of(number) for number in range(2)] == [[5, 6], [1, 2, 3]]
    assert some.labels.tolist() == [1, 0]


def test_a_curriculum_admits_longer_questions_as_the_run_goes_on(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path, overrides=SMALL, holdout=0, curriculum=0.5, training_questions=1000))
    data = trainer.data
    epoch = data.epoch(0)
    assert set(data.stored.steps[data.stored.targets.known]) == {1, 2}
    for place in range(len(data.rows)):
        (stored,), (admitted,) = (epoch.asked(data.rows[place : place + 1], 99, longest) for longest in (None, 1))
        everything, short = data.stored.steps[stored[0][1]], data.stored.steps[admitted[0][1]]
        assert len(everything) == 10
        assert sorted(short) == sorted(everything[everything <= max(1, everything.min())])
    longest = []
    for presentations in (0, 249, 250, 499, 500):
        trainer.progress.questions_seen = presentations
        longest.append(trainer.schedule.longest())
    assert longest == [1, 1, 2, 2, None]
