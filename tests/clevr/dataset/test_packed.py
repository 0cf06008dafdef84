"""Packed files: the same rows as the folder, read with little, and never trusted."""

import pickle
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqa.clevr.annotations import image_path, questions_path, read_questions, read_scenes, scenes_path
from vqa.clevr.dataset.loading import pack_data
from vqa.clevr.dataset.packed import PackedDataset, write_pack
from vqa.clevr.language.parser import words_of
from vqa.clevr.question import Question
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.cli import main
from vqa.errors import InputError
from vqa.utils.images import load_image, resize_image
from vqa.utils.resources import shipped

MINI = shipped("data/clevr-mini")
SCENES = list(read_scenes(scenes_path(MINI, "val")).values())
QUESTIONS = read_questions(questions_path(MINI, "val"))


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "val.pack"
    return pack_data(MINI, path, (80, 120), "val", cache=path.parent)


def test_rows_are_those_of_the_folder(pack):
    assert len(pack) == 12
    assert pack.split == "val"
    assert pack.images.shape == (12, 80, 120, 3)
    assert pack.filenames == [scene.image_filename for scene in SCENES]
    assert pack.indices.tolist() == list(range(12))
    for row, scene in enumerate(SCENES):
        asked = [question for question in QUESTIONS if question.image_filename == scene.image_filename]
        assert pack.scene(row) == scene
        assert pack.questions(row) == asked
        image = load_image(image_path(MINI, "val", scene.image_filename))
        assert np.array_equal(pack.image(row), resize_image(image, (80, 120)))
        for number, question in zip(pack.question_numbers(row), asked, strict=True):
            assert pack.answer_names[pack.answers[number]] == question.answer
            assert pack.family_names[pack.families[number]] == question.family
            assert QUESTION_TYPES[pack.types[number]] == question.type
            assert pack.lengths[number] == len(question.program)
            assert [pack.words[token] for token in pack.tokens(number)] == words_of(question.question)


def test_images_are_mapped_not_loaded(pack):
    assert isinstance(pack.images.base, np.memmap) or isinstance(pack.images.base.base, np.memmap)
    assert not pack.images.flags.writeable
    assert pack.image(0).base is not None
    assert pack.image(0, (40, 60)).shape == (40, 60, 3)


def test_workers_get_a_small_copy(pack):
    text = pickle.dumps(pack)
    assert len(text) < 1000
    assert pickle.loads(text).questions(3) == pack.questions(3)


def test_safetensors_reads_it_too(pack):
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(pack.path, "numpy") as file:
        assert np.array_equal(file.get_tensor("images"), pack.images)


def test_reading_needs_little(pack):
    code = f"""
import sys
for name in ("datasets", "gradio", "torch", "tqdm", "pyarrow", "PIL", "transformers"):
    sys.modules[name] = None
from vqa.clevr.dataset.packed import PackedDataset
pack = PackedDataset({str(pack.path)!r})
assert pack.image(2).shape == (80, 120, 3) and len(pack.questions(2)) == 10 and pack.scene(2).objects
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_data_gives_the_same_bytes(pack, tmp_path):
    assert pack_data(MINI, tmp_path / "again", (80, 120), "val").path.read_bytes() == pack.path.read_bytes()


@settings(max_examples=40)
@given(st.permutations(QUESTIONS), st.integers(0, 12), st.integers(0, 120))
def test_unsorted_questions_find_their_image(tmp_path_factory, shuffled, scenes, questions):
    path = tmp_path_factory.mktemp("unsorted") / "p"
    shuffled = shuffled[:questions]
    if not scenes and not questions:
        with pytest.raises(InputError, match="nothing to pack"):
            write_pack(path, [], [], "val")
        return
    write_pack(path, SCENES[:scenes], shuffled, "val", folder=MINI)
    pack = PackedDataset(path)
    assert set(pack.filenames) >= {question.image_filename for question in shuffled}
    assert sum(len(pack.questions(row)) for row in range(len(pack))) == len(shuffled)
    for row, name in enumerate(pack.filenames):
        assert pack.questions(row) == [question for question in shuffled if question.image_filename == name]
        assert pack.scene(row) == (SCENES[row] if row < scenes else None)
        assert pack.image_file(row) == image_path(MINI, "val", name)


def test_what_a_question_lacks_stays_lacking(tmp_path):
    bare = Question("Überall?", image_filename="a.png")
    write_pack(tmp_path / "p", [], [bare, replace(bare, answer="nine hundred")], "test")
    pack = PackedDataset(tmp_path / "p")
    assert pack.questions(0) == [bare, replace(bare, answer="nine hundred")]
    assert (pack.answers.tolist(), pack.answer_names) == ([-1, 0], ["nine hundred"])
    assert (pack.families.tolist(), pack.types.tolist(), pack.lengths.tolist()) == ([-1, -1], [-1, -1], [0, 0])
    assert pack.scene(0) is None
    with pytest.raises(InputError, match="holds its images itself"):
        pack.image_file(0)


@settings(max_examples=100)
@given(st.data())
def test_damaged_packs_never_end_in_a_traceback(pack, tmp_path_factory, data):
    content = bytearray(pack.path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        texts = len(content) - pack.images.nbytes
        for _ in range(data.draw(st.integers(1, 20))):
            content[data.draw(st.integers(0, 800) | st.integers(0, texts - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "p"
    path.write_bytes(content)
    with suppress(InputError):
        damaged = PackedDataset(path)
        for row in range(len(damaged)):
            damaged.image(row)
            with suppress(InputError):
                damaged.scene(row)
            for number in damaged.question_numbers(row):
                assert all(damaged.words[token] for token in damaged.tokens(number))
                with suppress(InputError):
                    damaged.question(number)


def test_other_files_are_refused(tmp_path):
    for content in (b"", b"PK\3\4", b"\xff" * 100, b'\x10\0\0\0\0\0\0\0{"a": 1}        ', b"\2\0\0\0\0\0\0\0[]"):
        (tmp_path / "p").write_bytes(content)
        with pytest.raises(InputError, match=r"p: not a packed dataset, or damaged .*vqa data pack"):
            PackedDataset(tmp_path / "p")
    with pytest.raises(InputError, match="No such file"):
        PackedDataset(tmp_path / "nowhere")


def test_command_line(tmp_path, capsys):
    out = tmp_path / "mini.pack"
    assert main(["data", "pack", str(MINI), "--out", str(out), "--size", "32x48", "--split", "val"]) == 0
    assert "12 images, 120 questions, 32x48" in capsys.readouterr().out
    assert PackedDataset(out).images.shape == (12, 32, 48, 3)
    for arguments, says in (
        (["--size", "32"], "height x width"),
        (["--split", "test"], "try --split train or val"),
        (["--questions", "nowhere.json"], "nowhere.json"),
    ):
        assert main(["data", "pack", str(MINI), "--out", str(tmp_path / "other"), *arguments]) == 2
        assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [out]


def test_a_full_disk_leaves_nothing(tmp_path):
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
from vqa.cli import main
sys.exit(main(["data", "pack", {str(MINI)!r}, "--out", {str(tmp_path / "mini.pack")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "mini.pack: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
