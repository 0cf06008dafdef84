"""CLEVR's JSON files, read as a stream and written whole or not at all."""

import errno
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.clevr.annotations import (
    image_path,
    iter_questions,
    list_splits,
    questions_path,
    read_info,
    read_questions,
    read_scenes,
    scenes_path,
    write_questions,
    write_scenes,
)
from vqa.clevr.programs import IllPosedError, answer_string, execute, program_from_json
from vqa.clevr.question import Question, normalize_answer, safe_filename
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.utils.files import atomic_write
from vqa.utils.resources import shipped

MINI = shipped("data/clevr-mini")
SHARED = Path(__file__).parents[3] / "shared"

INDEX = st.none() | st.integers(0, 2**31 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PROGRAM = st.sampled_from([None, *(question.program for question in read_questions(questions_path(MINI, "val"))[:40])])


def questions(**fixed):
    parts = {
        "question": TEXT,
        "answer": st.none() | TEXT,
        "program": PROGRAM,
        "image_filename": st.none() | st.sampled_from(["a.png", "b.jpg", "folder/c.png"]),
        "image_index": INDEX,
        "split": st.none() | TEXT,
        "question_index": INDEX,
        "question_family_index": INDEX,
        "template_filename": st.none() | TEXT,
    }
    return st.builds(Question, **(parts | fixed))


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@given(st.lists(questions(), min_size=1, max_size=5))
def test_questions_survive_writing_and_reading(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("questions") / "q.json"
    assert write_questions(path, written, {"split": "train"}) == len(written)
    assert read_questions(path) == [replace(item, answer=normalize_answer(item.answer)) for item in written]
    assert read_info(path) == {"split": "train"}
    assert json.loads(path.read_bytes())["questions"][0]["question"] == written[0].question


def test_mini_is_what_it_says(tmp_path):
    assert list_splits(MINI) == ["train", "val"]
    for split, images, count in (("train", 48, 480), ("val", 12, 120)):
        scenes, asked = read_scenes(scenes_path(MINI, split)), read_questions(questions_path(MINI, split))
        assert (len(scenes), len(asked)) == (images, count)
        assert [question.question_index for question in asked] == list(range(count))
        for question in asked:
            scene = scenes[question.image_filename]
            assert (question.split, scene.split, question.image_index) == (split, split, scene.image_index)
            assert image_path(MINI, split, question.image_filename).is_file()
            assert answer_string(execute(question.program, scene)[-1]) == question.answer
            assert question.type in QUESTION_TYPES
            assert question.family.endswith(f":{question.question_family_index}")
        write_scenes(tmp_path / "s.json", scenes.values())
        assert read_scenes(tmp_path / "s.json") == scenes


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_mini_images_are_validation_images_unchanged():
    source = sorted((SHARED / "clevr-blender/images/val").iterdir())[:480:8]
    train = [path for i, path in enumerate(source) if i % 5 != 4]
    for split, paths in (("train", train), ("val", source[4::5])):
        for i, path in enumerate(paths):
            assert image_path(MINI, split, f"CLEVR_{split}_{i:06d}.jpg").read_bytes() == path.read_bytes()


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
@pytest.mark.parametrize(
    ("name", "count", "full"),
    [
        ("clevr-genuine-dev/closure_questions.json", 1608, True),
        ("clevr-language/CLEVR-Humans-val.json", 7202, False),
        ("clevr-language/CLEVR_test_questions_15k.json", 15000, False),
    ],
)
def test_the_kinds_of_question_files_in_use(name, count, full):
    asked = read_questions(SHARED / name)
    assert len(asked) == count
    assert all((question.program is not None) == full for question in asked)


def test_family_without_template_is_the_programs_shape():
    asked = read_questions(questions_path(MINI, "val"))
    bare = [Question(question.question, program=question.program) for question in asked]
    assert all(question.family == bare[0].family for question in bare if question.program == bare[0].program)
    assert 10 < len({question.family for question in bare}) < len(asked)
    assert Question("What?").family is None
    assert Question("What?").type is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "q.json: is empty"),
        ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("not JSON", "q.json: cut short or not JSON"),
        ('{"questions": [{"question": "Is it?"}, {"ques', "q.json: cut short or not JSON after questions[1]"),
        ('{"questions": [{"question": "Is it?"}]', "q.json: cut short"),
        ("[1, 2]", "q.json: questions[0]: expected an object"),
        ({"info": {}}, "holds no questions"),
        ({"questions": []}, "holds no questions"),
        ({"questions": {"question": "Is it?"}}, "holds no questions"),
        ({"questions": ["Is it?"]}, "q.json: questions[0]: expected an object"),
        ({"questions": [{"question": "Is it?"}, {"answer": "yes"}]}, "q.json: questions[1].question"),
        ({"questions": [{"question": None}]}, "q.json: questions[0].question"),
        ({"questions": [{"question": "?", "answer": [3]}]}, "questions[0].answer: expected text such as"),
        ({"questions": [{"question": "?", "image_index": -1}]}, "questions[0].image_index"),
        ({"questions": [{"question": "?", "image_index": 1.5}]}, "questions[0].image_index"),
        ({"questions": [{"question": "?", "question_index": True}]}, "questions[0].question_index"),
        ({"questions": [{"question": "?", "question_index": 10**12}]}, "questions[0].question_index"),
        ({"questions": [{"question": "?", "question_index": 10**30}]}, "q.json"),
        ({"questions": [{"question": "?", "image_filename": "../../etc/passwd"}]}, "questions[0].image_filename"),
        ({"questions": [{"question": "?", "program": [{"function": "jump"}]}]}, "questions[0].program[0].function"),
        ({"questions": [{"question": "?", "program": "scene"}]}, "questions[0].program"),
        ('{"questions": ' + "[" * 100_000, "q.json: nested deeper"),
        ('{"questions": [{"question": "?"}, ' + '{"a": ["]]]"], "b":' * 20_000, "q.json: nested deeper"),
    ],
)
def test_broken_question_files_are_named(tmp_path, content, says):
    with pytest.raises(InputError) as caught:
        read_questions(write(tmp_path / "q.json", content))
    assert says in str(caught.value)


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "q.json").write_bytes(b'{"questions": [{"question": "\xff\xfe"}]}')
    with pytest.raises(InputError, match=r"q\.json"):
        read_questions(tmp_path / "q.json")


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(InputError, match="surrogate"):
        Question.from_json({"question": "\ud800"})


def test_brackets_in_strings_are_not_nesting(tmp_path):
    asked = [Question("[" * 50 + '"\\' * 30)] * 200
    write_questions(tmp_path / "q.json", asked)
    assert read_questions(tmp_path / "q.json") == asked


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json: No such file"):
        read_questions(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match="directory"):
        read_scenes(tmp_path)


@given(st.data())
def test_a_question_file_cut_anywhere_is_an_error(tmp_path_factory, data):
    whole = b'{"questions": [{"question": "Is it?", "answer": "yes"}, {"question": "How many?"}]}'
    path = tmp_path_factory.mktemp("cut") / "q.json"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError, match=r"q\.json"):
        read_questions(path)


def scene_record(**changes):
    thing = {"shape": "cube", "size": "small", "color": "red", "material": "metal", "3d_coords": [0.0, 1.0, 0.35]}
    return {
        "image_filename": "a.png",
        "image_index": 0,
        "split": "val",
        "objects": [thing | changes.pop("thing", {})],
    } | (changes)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"objects": []}, "scenes[0].image_filename"),
        (scene_record(image_filename="/a.png"), "scenes[0].image_filename"),
        (scene_record(image_filename=7), "scenes[0].image_filename"),
        (scene_record(image_index="1"), "scenes[0].image_index"),
        (scene_record(image_index=-1), "scenes[0].image_index"),
        (scene_record(split=None), "scenes[0].split"),
        (scene_record(objects=None), "scenes[0].objects"),
        (scene_record(thing={"color": "pink"}), "scenes[0].objects[0].color: 'pink'"),
        (scene_record(thing={"3d_coords": [1, 2]}), "scenes[0].objects[0].3d_coords"),
        (scene_record(thing={"3d_coords": [1, 2, "x"]}), "scenes[0].objects[0].3d_coords"),
        (scene_record(thing={"rotation": "ninety"}), "scenes[0].objects[0].rotation"),
        (scene_record(directions=[1]), "scenes[0].directions"),
        (scene_record(directions={"left": [1, 0, 0]}), "scenes[0].directions"),
        (scene_record(relationships={"left": [[0, 1]]}), "scenes[0].relationships"),
    ],
)
def test_broken_scenes_are_named(tmp_path, record, says):
    with pytest.raises(InputError) as caught:
        read_scenes(write(tmp_path / "s.json", {"scenes": [record]}))
    assert f"s.json: {says}" in str(caught.value)


def test_two_scenes_for_one_image_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"scenes\[1\]\.image_filename: a\.png has a scene already"):
        read_scenes(write(tmp_path / "s.json", {"scenes": [scene_record(), scene_record()]}))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a.png", "a/../../b.png", "/a.png", "C:\\a.png", "a\\..\\b.png", "a\0.png", "a\n.png"]
)
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(InputError, match="image_filename"):
        safe_filename(name)


@given(st.text(max_size=30))
def test_accepted_names_stay_in_the_folder(name):
    try:
        path = image_path("/data", "train", name)
    except InputError:
        return
    assert path.resolve().is_relative_to("/data/images/train")
    assert path.resolve() != Path("/data/images/train")


@pytest.mark.parametrize("split", ["", "..", "../val", "a/b", "a b", ".hidden"])
def test_split_names_cannot_lead_elsewhere(split):
    for place in (questions_path, scenes_path):
        with pytest.raises(InputError, match="split"):
            place("/data", split)


def test_nothing_is_left_of_a_file_that_fails_half_way(tmp_path):
    def failing():
        yield Question("Is it?")
        raise InputError("no more")

    path = tmp_path / "new" / "q.json"
    with pytest.raises(InputError, match="no more"):
        write_questions(path, failing())
    assert list(path.parent.iterdir()) == []
    write_questions(path, [Question("Is it?")])
    before = path.read_bytes()
    with pytest.raises(InputError, match="no more"):
        write_questions(path, failing())
    assert path.read_bytes() == before


def test_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_to_full_disk():
        with atomic_write(path) as file:
            file.write(b"new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="cannot be written: No space"):
        write_to_full_disk()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_reading_does_not_hold_the_file_in_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "q.json"
    record = read_questions(questions_path(MINI, "val"))
    write_questions(path, (question for _ in range(20) for question in record))
    tracemalloc.start()
    try:
        assert sum(1 for _ in iter_questions(path)) == 20 * len(record)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000 < path.stat().st_size
    finally:
        tracemalloc.stop()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["scene", "left", ""]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["function", "inputs", "value_inputs", "type"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_no_program_json_ends_in_a_traceback(record):
    try:
        program = program_from_json(record)
    except InputError:
        return
    scene = next(iter(read_scenes(scenes_path(MINI, "val")).values()))
    with suppress(InputError, IllPosedError):
        execute(program, scene)
