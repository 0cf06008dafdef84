"""Split protocols: what belongs where, decided from scenes and programs alone."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_strategies import sampled_scenes

from vqa.clevr.annotations import (
    choose_splits,
    iter_questions,
    questions_path,
    read_questions,
    read_scenes,
    scenes_path,
)
from vqa.clevr.dataset.derived_splits import select_rows, write_selection
from vqa.clevr.dataset.validate import check_dataset
from vqa.clevr.programs import Program, Step, signature
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene, SceneObject, compute_relationships
from vqa.clevr.split_protocols import (
    CLOSURE_FORMS,
    HELD_OUT_PAIRS,
    SPLITS,
    attribute_of,
    attribute_pairs,
    closure_form,
    cogent_conditions,
    held_out_families,
    make_protocol,
    program_depth,
    referents,
    size_depth,
)
from vqa.clevr.vocabulary import COLORS, MATERIALS, SHAPES, SIZES
from vqa.cli import main
from vqa.errors import InputError

SHARED = Path(__file__).parents[3] / "shared"
BLENDER, GENUINE = SHARED / "clevr-blender", SHARED / "clevr-genuine-dev"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data beside the repository")


def scene_of(*words: str) -> Scene:
    """Objects from words such as "small red rubber cube", in a row from left to right."""
    objects = []
    for i, word in enumerate(words):
        size, color, material, shape = word.split()
        objects.append(SceneObject(shape, color, size, material, (0.66 * i, 0.75 * i, 0.35)))
    return Scene(tuple(objects), compute_relationships(objects))


def program_of(text: str) -> Program:
    """Steps separated by `;`: function, value, inputs, as in "scene; filter_color red 0; count 1"."""
    steps = []
    for item in text.split(";"):
        function, *rest = item.split()
        inputs = tuple(int(word) for word in rest if word.isdigit())
        steps.append(Step(function, inputs, next((word for word in rest if not word.isdigit()), None)))
    return tuple(steps)


ZERO_HOP = program_of("scene; filter_color red 0; filter_shape cube 1; unique 2; query_size 3")
ONE_HOP = program_of("scene; filter_color red 0; unique 1; relate left 2; filter_shape cube 3; count 4")
THREE_HOP = program_of(
    "scene; unique 0; relate left 1; unique 2; relate front 3; filter_size small 4; unique 5; relate right 6; exist 7"
)
SAME = program_of("scene; filter_color red 0; unique 1; same_size 2; exist 3")
AND = program_of(
    "scene; filter_color red 0; unique 1; relate left 2; scene; filter_color blue 4; unique 5; relate front 6;"
    "intersect 3 7; count 8"
)
OR = program_of("scene; filter_color red 0; scene; filter_shape cube 2; union 1 3; count 4")
COMPARE = program_of("scene; filter_color red 0; count 1; scene; filter_shape cube 3; count 4; less_than 2 5")


def ask(program: Program | None, **fields: Any) -> Question:
    return replace(Question("?", program=program), **fields)


WORDS = st.tuples(*map(st.sampled_from, (SIZES, COLORS, MATERIALS, SHAPES))).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=10))
def test_cogent_conditions_are_those_of_the_paper(words: list[str]) -> None:
    """Condition A binds cubes to one half of the colors and cylinders to the other; B the other way round."""
    first, second = {"gray", "blue", "brown", "yellow"}, {"red", "green", "purple", "cyan"}
    cubes = {word.split()[1] for word in words if word.endswith("cube")}
    cylinders = {word.split()[1] for word in words if word.endswith("cylinder")}
    expected = set()
    if cubes <= first and cylinders <= second:
        expected.add("cogent-a")
    if cubes <= second and cylinders <= first:
        expected.add("cogent-b")
    assert cogent_conditions(scene_of(*words)) == expected


@pytest.mark.parametrize("condition", ["cogent-a", "cogent-b"])
def test_cogent_selects_all_that_was_made_under_a_condition(condition: str) -> None:
    scenes = sampled_scenes(20, "val", condition)
    assert all(condition in cogent_conditions(scene) for scene in scenes)
    part = condition[-1].upper()
    assert all(SPLITS["cogent"].parts[part](scene, ask(None)) for scene in scenes)


@pytest.mark.parametrize(
    ("program", "depth"), [(ZERO_HOP, 1), (ONE_HOP, 2), (SAME, 2), (AND, 3), (OR, 2), (COMPARE, 1), (THREE_HOP, 4)]
)
def test_program_depth(program: Program, depth: int) -> None:
    assert program_depth(program) == depth


@given(st.integers(1, 10), st.sampled_from([ZERO_HOP, ONE_HOP, AND, THREE_HOP]), st.integers(2, 10), st.integers(2, 5))
def test_the_quadrants_are_a_partition(count: int, program: Program, objects: int, depth: int) -> None:
    protocol = size_depth(objects, depth)
    scene = scene_of(*["small red rubber cube"] * count)
    (part,) = [name for name, test in protocol.tests.items() if test(scene, ask(program))]
    few, shallow = part.split("-")
    assert (few == "few") == (count < objects)
    assert (shallow == "shallow") == (program_depth(program) < depth)
    assert protocol.train(scene, ask(program)) == (part == "few-shallow")


def test_held_out_pairs_are_absent_from_training_in_images_and_words() -> None:
    protocol = attribute_pairs([("red", "cube")])
    clean = scene_of("small red rubber sphere", "large blue metal cube")
    held = scene_of("small red rubber cube", "large blue metal cube", "small gray metal sphere")
    asks_cube = ask(program_of("scene; filter_color red 0; filter_shape cube 1; count 2"))
    asks_red = ask(program_of("scene; filter_color red 0; count 1"))
    asks_gray = ask(program_of("scene; filter_color gray 0; unique 1; query_shape 2"))

    def parts(scene: Scene, question: Question) -> set[str]:
        return {name for name in protocol.parts if protocol.parts[name](scene, question)}

    assert parts(clean, asks_red) == {"train", "seen"}
    assert parts(clean, asks_cube) == {"unseen"}, "the words are new though no such object is there"
    assert parts(held, asks_red) == {"unseen"}, "the red thing is a red cube"
    assert parts(held, asks_gray) == set(), "the image is new but the question is not about it"


def test_referents_are_what_the_phrases_end_in() -> None:
    scene = scene_of("small red rubber cube", "small blue rubber cube", "large blue metal sphere")
    blue_cube = program_of("scene; filter_color blue 0; filter_shape cube 1; unique 2; query_size 3")
    assert referents(blue_cube, scene) == {1}, "the blue sphere is passed over"
    left = program_of("scene; filter_shape sphere 0; unique 1; relate left 2; filter_color red 3; count 4")
    assert referents(left, scene) == {0, 2}
    assert referents(program_of("scene; count 0"), scene) == {0, 1, 2}
    assert referents(program_of("scene; unique 0; query_size 1"), scene) == frozenset(), "ill-posed"


def test_default_pairs_leave_every_value_to_be_seen() -> None:
    assert [attribute_of(a) for a, _ in HELD_OUT_PAIRS] == ["color"] * 3
    assert {b for _, b in HELD_OUT_PAIRS} == set(SHAPES)
    draw = random.Random(0)
    values = (SIZES, COLORS, MATERIALS, SHAPES)
    scenes = [scene_of(*(" ".join(map(draw.choice, values)) for _ in range(draw.randint(3, 10)))) for _ in range(1000)]
    held = SPLITS["attribute-pairs"]
    share = sum(held.train(scene, ask(program_of("scene; count 0"))) for scene in scenes) / len(scenes)
    assert 0.39 < share < 0.49, "44 % of scenes are expected to have no held-out object"


@given(st.sampled_from([ZERO_HOP, ONE_HOP, SAME, AND, OR, COMPARE, THREE_HOP]), st.integers(0, 5))
def test_families_are_seen_or_unseen(program: Program, seed: int) -> None:
    protocol, again = held_out_families(seed=seed), held_out_families(seed=seed)
    question = ask(program)
    seen, unseen = (protocol.parts[part](None, question) for part in ("seen", "unseen"))
    assert seen != unseen
    assert protocol.parts["train"](None, question) == seen == again.parts["seen"](None, question)


def test_a_share_of_the_families_is_drawn() -> None:
    families = [ask(None, template_filename=f"{i % 9}.json", question_family_index=i) for i in range(2000)]
    for seed in range(3):
        unseen = sum(held_out_families(share=0.3, seed=seed).parts["unseen"](None, family) for family in families)
        assert 520 < unseen < 680
    first, second = (
        [held_out_families(seed=seed).parts["unseen"](None, family) for family in families] for seed in (0, 1)
    )
    assert first != second


def test_named_families() -> None:
    a = ask(ZERO_HOP, template_filename="one.json", question_family_index=1)
    b = ask(ZERO_HOP, template_filename="one.json", question_family_index=2)
    c = ask(ZERO_HOP, template_filename="two.json", question_family_index=1)
    d = ask(ZERO_HOP, question_family_index=1)

    def unseen(*names: str) -> list[bool]:
        protocol = held_out_families(names)
        return [protocol.parts["unseen"](None, question) for question in (a, b, c, d)]

    assert unseen("one.json:1") == [True, False, False, False]
    assert unseen("one.json") == [True, True, False, False]
    assert unseen(signature(ZERO_HOP)) == [False, False, False, True], "an index alone is no family"


def test_signatures_ignore_filters_and_unused_steps_only() -> None:
    bare = program_of("scene; unique 0; query_size 1")
    assert signature(ZERO_HOP) == signature(bare) == "scene unique(0) query_size(1)"
    assert signature(program_of("scene; scene; filter_color red 1; unique 2; query_size 3")) == signature(bare)
    different = [ONE_HOP, SAME, AND, OR, COMPARE, THREE_HOP, bare, program_of("scene; unique 0; query_color 1")]
    assert len({signature(program) for program in different}) == len(different)


def test_a_signature_of_a_hostile_program_is_short() -> None:
    steps = [Step("scene"), *(Step("union", (i, i)) for i in range(200)), Step("count", (200,))]
    assert len(signature(tuple(steps))) < 10_000
    assert closure_form(tuple(steps)) is None


@pytest.mark.parametrize("program", [ZERO_HOP, ONE_HOP, SAME, AND, OR, COMPARE, THREE_HOP])
def test_clevr_programs_have_no_closure_form(program: Program) -> None:
    assert closure_form(program) is None


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (
            "and_mat_spa",
            "scene; unique 0; same_size 1; scene; filter_color red 3; unique 4; relate left 5; intersect 2 6; unique 7;"
            "query_color 8",
        ),
        ("embed_mat_spa", "scene; unique 0; same_size 1; filter_color red 2; unique 3; relate left 4; exist 5"),
        ("embed_spa_mat", "scene; unique 0; relate left 1; unique 2; same_size 3; exist 4"),
        ("or_mat", "scene; filter_color red 0; scene; unique 2; same_size 3; union 1 4; count 5"),
        ("or_mat", "scene; unique 0; same_size 1; scene; filter_color red 3; union 2 4; count 5"),
        ("or_mat_spa", "scene; unique 0; relate left 1; scene; unique 3; same_size 4; union 2 5; count 6"),
        (
            "compare_mat",
            "scene; unique 0; same_size 1; unique 2; query_color 3; scene; unique 5; query_color 6; equal_color 4 7",
        ),
        (
            "compare_mat_spa",
            "scene; unique 0; relate left 1; unique 2; query_color 3; scene; unique 5; same_size 6; unique 7;"
            "query_color 8; equal_color 4 9",
        ),
        (None, "scene; unique 0; same_size 1; count 2; scene; count 4; less_than 3 5"),
        (None, "scene; unique 0; same_size 1; unique 2; same_color 3; exist 4"),
    ],
)
def test_closure_forms(form: str | None, text: str) -> None:
    assert closure_form(program_of(text)) == form


@needs_shared
def test_closure_forms_of_the_shared_file() -> None:
    names = {
        "and_sim_loc.json": "and_mat_spa",
        "chain_loc_sim.json": "embed_spa_mat",
        "chain_sim_loc.json": "embed_mat_spa",
        "compare_sim.json": "compare_mat",
        "compare_sim_loc.json": "compare_mat_spa",
        "or_sim.json": "or_mat",
        "or_sim_loc.json": "or_mat_spa",
    }
    found: Counter[str | None] = Counter()
    for question in iter_questions(GENUINE / "closure_questions.json"):
        assert question.program is not None
        form = closure_form(question.program)
        assert form == names[question.template_filename or ""]
        found[form] += 1
    assert set(found) == set(CLOSURE_FORMS)
    assert found.total() == 1608


@needs_shared
def test_official_questions_have_90_families_78_signatures_and_no_closure_form() -> None:
    questions = read_questions(questions_path(BLENDER, "val"))
    programs = [question.program for question in questions if question.program]
    assert len({question.family for question in questions}) == 90
    shapes: dict[str, set[str]] = {}
    for question, program in zip(questions, programs, strict=True):
        shapes.setdefault(question.family or "", set()).add(signature(program))
    assert all(len(found) == 1 for found in shapes.values()), "a family has one signature"
    assert len(set.union(*shapes.values())) == 78
    assert not any(map(closure_form, programs))
    deep = {question.template_filename for question in questions if program_depth(question.program or ()) >= 4}
    assert deep == {"three_hop.json"}


@needs_shared
@pytest.mark.parametrize(("split", "part"), [("valA", "A"), ("valB", "B")])
def test_shared_cogent_splits(split: str, part: str) -> None:
    selected = {chosen.part: chosen for chosen in select_rows(BLENDER, SPLITS["cogent"], split)}
    assert len(selected[part].rows) == selected[part].total
    other = selected["B" if part == "A" else "A"]
    scenes = read_scenes(scenes_path(BLENDER, split))
    assert all({item.shape for item in scenes[name].objects} == {"sphere"} for name in other.images)


@pytest.mark.parametrize("name", list(SPLITS))
def test_every_protocol_says_what_it_is(name: str) -> None:
    protocol = SPLITS[name]
    assert protocol.name == name
    assert protocol.description
    assert "et al." in protocol.source
    assert next(iter(protocol.parts)) == "train"


@pytest.mark.parametrize("name", list(SPLITS))
def test_missing_scenes_and_programs_are_named(name: str) -> None:
    question = ask(None, image_filename="CLEVR_val_000007.png", question_index=3)
    with pytest.raises(InputError, match=r"question 3 on CLEVR_val_000007\.png has (no|neither)"):
        SPLITS[name].parts["train"](None, question)


def test_mistakes_in_settings() -> None:
    for call, words in [
        (lambda: make_protocol("cogen"), "known are cogent"),
        (lambda: make_protocol("closure", {"depth": 3}), "no setting 'depth'"),
        (lambda: make_protocol("attribute-pairs", {"pairs": ["red:blue"]}), "both are a color"),
        (lambda: make_protocol("attribute-pairs", {"pairs": ["red:house"]}), "'house' is not an attribute value"),
        (lambda: make_protocol("attribute-pairs", {"pairs": ["red"]}), "'' is not an attribute value"),
        (lambda: make_protocol("families", {"share": 1.5}), "between 0 and 1"),
        (lambda: make_protocol("families", {"families": []}), "at least one"),
    ]:
        with pytest.raises(InputError, match=words):
            call()
    assert make_protocol("size-depth", {"objects": 5, "depth": None}).description.startswith("train: fewer than 5")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten scenes with a shallow and a deep question each, no images but their folder."""
    from vqa.clevr.annotations import write_questions, write_scenes

    root = tmp_path_factory.mktemp("small")
    scenes = sampled_scenes(10, "val")
    (root / "images" / "val").mkdir(parents=True)
    write_scenes(scenes_path(root, "val"), scenes, {"split": "val", "license": "CC BY 4.0"})
    deep = program_of(
        "scene; count 0; scene; unique 2; relate left 3; unique 4; relate front 5; unique 6; relate left 7;"
        "count 8; less_than 1 9"
    )
    questions = [
        ask(program, image_filename=None if i == 0 else scene.image_filename, image_index=scene.image_index)
        for i, scene in enumerate(scenes)
        for program in (program_of("scene; count 0"), deep)
    ]
    write_questions(questions_path(root, "val"), questions, {"split": "val"})
    return root


def test_a_selection_is_a_split_of_its_own_without_copied_images(small: Path, tmp_path: Path) -> None:
    protocol = SPLITS["size-depth"]
    scenes = read_scenes(scenes_path(small, "val"))
    few = {name for name, scene in scenes.items() if len(scene.objects) < 6}
    assert 0 < len(few) < 10
    selected = {chosen.part: chosen for chosen in select_rows(small, protocol, "val")}
    assert {part: len(chosen.rows) for part, chosen in selected.items()} == {
        "few-shallow": len(few),
        "few-deep": len(few),
        "many-shallow": 10 - len(few),
        "many-deep": 10 - len(few),
    }
    out = tmp_path / "out"
    path = write_selection(small, out, protocol, selected["few-deep"])
    assert path == questions_path(out, "val-few-deep")
    written = read_questions(path)
    assert [question.image_filename for question in written] == [name for name in scenes if name in few]
    assert all(program_depth(question.program or ()) == 4 for question in written)
    assert {question.split for question in written} == {"val-few-deep"}
    assert read_scenes(scenes_path(out, "val-few-deep")).keys() == few
    link = out / "images" / "val-few-deep"
    assert link.is_symlink()
    assert link.resolve() == (small / "images" / "val").resolve()
    info = json.loads(path.read_bytes())["info"]
    assert info["part"] == "few-deep of val"
    assert info["protocol_source"] == protocol.source

    write_selection(small, out, protocol, selected["few-deep"])  # again: the same link is no clash
    (out / "images" / "val-many-deep").mkdir()
    with pytest.raises(InputError, match="already exists"):
        write_selection(small, out, protocol, selected["many-deep"])


@settings(deadline=None, max_examples=5)
@given(st.sampled_from([["train"], ["few-deep", "train"], None]))
def test_parts_can_be_chosen(small: Path, parts: list[str] | None) -> None:
    chosen = select_rows(small, SPLITS["size-depth"], "val", parts)
    assert [selection.part for selection in chosen] == (parts or list(SPLITS["size-depth"].tests))


def test_splits_are_chosen(small: Path, tmp_path: Path) -> None:
    assert choose_splits(small, ["val"], None, "") == choose_splits(small, ["val"], ["val"], "") == ["val"]
    with pytest.raises(InputError, match="it has val"):
        choose_splits(small, ["val"], ["train"], "")
    with pytest.raises(InputError, match="CLEVR's layout"):
        choose_splits(tmp_path, [], None, "no questions")
    with pytest.raises(InputError, match="no part 'small'"):
        select_rows(small, SPLITS["closure"], "val", ["small"])


def test_the_command(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["data", "split", str(small), "--protocol", "size-depth"]
    assert main([*command, "--objects", "11", "--depth", "5"]) == 0
    text = capsys.readouterr().out
    assert "fewer than 11 objects" in text
    assert ["val-few-shallow", "10", "20", "100.0%"] in [line.split() for line in text.splitlines()]
    assert not out.exists()

    assert main([*command, "--part", "few-shallow", "many-shallow", "--out", str(out)]) == 0
    report = check_dataset(out, images=False)
    assert [facts.name for facts in report.splits] == ["val-few-shallow", "val-many-shallow"]
    assert report.splits[0].questions + report.splits[1].questions == 10

    capsys.readouterr()
    assert main(["data", "split", str(small), "--protocol", "none"]) == 2
    assert main([*command, "--seed", "3"]) == 2
    assert "no setting 'seed'" in capsys.readouterr().err
