import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_strategies import SHARED, make_scene, needs_shared, random_scenes, scenes

from vqa.clevr.annotations import iter_questions, read_scenes
from vqa.clevr.programs import (
    ARITY,
    KINDS,
    IllPosedError,
    Step,
    answer_string,
    equivalent,
    execute,
    program_from_json,
    question_type,
    signature,
)
from vqa.clevr.scenes import SceneObject
from vqa.clevr.vocabulary import ANSWERS, ATTRIBUTES, QUESTION_TYPES, RELATIONS
from vqa.errors import InputError

ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.floats(allow_nan=False)
    | st.sampled_from([*ARITY, "red", "left"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["function", "type", "inputs", "value_inputs"]), inner)
    ),
    max_leaves=20,
)


def steps(*rows) -> tuple[Step, ...]:
    return tuple(Step(*row) for row in rows)


def last(scene, *rows):
    return execute(steps(*rows), scene)[-1]


THREE = make_scene(
    [
        SceneObject("cube", "red", "large", "metal", (0.0, 0.0, 0.7)),
        SceneObject("sphere", "red", "small", "rubber", (2.0, 2.0, 0.35)),
        SceneObject("sphere", "blue", "large", "rubber", (-2.0, -2.0, 0.7)),
    ]
)


@needs_shared
@pytest.mark.parametrize(
    ("scene_file", "question_file", "count"),
    [
        *(
            (
                f"clevr-blender/scenes/CLEVR_{split}_scenes.json",
                f"clevr-blender/questions/CLEVR_{split}_questions.json",
                count,
            )
            for split, count in (("train", 26540), ("val", 5000), ("trainA", 10000), ("valA", 3000), ("valB", 4000))
        ),
        (
            "clevr-genuine-dev/scenes/CLEVR_train_scenes.json",
            "clevr-genuine-dev/questions/CLEVR_train_questions.json",
            2680,
        ),
        ("clevr-genuine-dev/scenes/CLEVR_train_scenes.json", "clevr-genuine-dev/closure_questions.json", 1608),
    ],
)
def test_every_stored_question_executes_to_its_answer(scene_file, question_file, count):
    of_image = read_scenes(SHARED / scene_file)
    wrong, seen = [], 0
    for question in iter_questions(SHARED / question_file):
        seen += 1
        if answer_string(execute(question.program, of_image[question.image_filename])[-1]) != question.answer:
            wrong.append(question.question_index)
        assert question.answer in ANSWERS
        assert question.type in QUESTION_TYPES
    assert (seen, wrong) == (count, [])


def test_each_function_on_three_objects():
    red = (("scene",), ("filter_color", (0,), "red"))
    cube = (("scene",), ("filter_shape", (0,), "cube"), ("unique", (1,)))
    assert last(THREE, *red) == (0, 1)
    assert last(THREE, *cube) == 0
    assert last(THREE, *cube, ("relate", (2,), "right")) == (1,)
    assert last(THREE, *cube, ("relate", (2,), "left")) == (2,)
    assert last(THREE, *cube, ("same_size", (2,))) == (2,)
    assert last(THREE, *cube, ("query_material", (2,))) == "metal"
    both = (*red, ("filter_shape", (0,), "sphere"))
    assert last(THREE, *both, ("union", (1, 2))) == (0, 1, 2)
    assert last(THREE, *both, ("intersect", (1, 2))) == (1,)
    assert last(THREE, *red, ("count", (1,))) == 2
    assert last(THREE, *red, ("exist", (1,))) is True
    assert last(THREE, *red, ("count", (0,)), ("count", (1,)), ("greater_than", (2, 3))) is True
    assert last(THREE, *red, ("count", (0,)), ("count", (1,)), ("less_than", (2, 3))) is False
    assert last(THREE, *red, ("count", (0,)), ("count", (1,)), ("equal_integer", (2, 3))) is False
    colors = (*cube, ("filter_size", (0,), "small"), ("unique", (3,)), ("query_color", (2,)), ("query_color", (4,)))
    assert last(THREE, *colors, ("equal_color", (5, 6))) is True


def test_unique_without_exactly_one_object_is_ill_posed():
    for value in ("red", "gray"):
        with pytest.raises(IllPosedError):
            last(THREE, ("scene",), ("filter_color", (0,), value), ("unique", (1,)))


@given(scenes, st.data())
def test_laws_of_sets_hold(scene, data):
    first, second = data.draw(st.tuples(*[st.sampled_from(sorted(ATTRIBUTES))] * 2))
    one, other = (data.draw(st.sampled_from(ATTRIBUTES[name])) for name in (first, second))
    outputs = execute(
        steps(
            ("scene",),
            (f"filter_{first}", (0,), one),
            (f"filter_{second}", (0,), other),
            ("union", (1, 2)),
            ("intersect", (1, 2)),
            (f"filter_{second}", (1,), other),
            ("count", (3,)),
            ("exist", (4,)),
        ),
        scene,
    )
    everything, a, b, either, both, chained, count, exist = outputs
    assert everything == tuple(range(len(scene.objects)))
    assert all(getattr(scene.objects[i], first) == one for i in a)
    assert len(either) == len(a) + len(b) - len(both)
    assert chained == both
    assert count == len(either)
    assert exist == bool(both)


@given(scenes.filter(lambda scene: scene.objects), st.sampled_from(sorted(ATTRIBUTES)), st.data())
def test_same_leaves_out_the_object_itself(scene, name, data):
    item = data.draw(st.integers(0, len(scene.objects) - 1))
    values = {attribute: getattr(scene.objects[item], attribute) for attribute in ATTRIBUTES}
    described = [("scene",), *((f"filter_{key}", (i,), value) for i, (key, value) in enumerate(values.items()))]
    try:
        found = last(scene, *described, ("unique", (4,)), (f"same_{name}", (5,)))
    except IllPosedError:
        return
    assert item not in found
    assert set(found) == {
        i for i, other in enumerate(scene.objects) if i != item and getattr(other, name) == values[name]
    }


@pytest.mark.parametrize(
    ("record", "where"),
    [
        ({}, "program"),
        ([], "program"),
        ("scene", "program"),
        ([None], "program[0]"),
        ([{"function": "scene"}, {"function": "fly", "inputs": [0]}], "program[1].function"),
        ([{"function": ["scene"]}], "program[0].function"),
        ([{"inputs": []}], "program[0].function"),
        ([{"function": "scene", "inputs": [0]}], "program[0].inputs"),
        ([{"function": "count", "inputs": [0]}], "program[0].inputs"),
        ([{"function": "scene"}, {"function": "count", "inputs": [1]}], "program[1].inputs"),
        ([{"function": "scene"}, {"function": "count", "inputs": [-1]}], "program[1].inputs"),
        ([{"function": "scene"}, {"function": "count", "inputs": [True]}], "program[1].inputs"),
        ([{"function": "scene"}, {"function": "count", "inputs": "0"}], "program[1].inputs"),
        ([{"function": "scene"}, {"function": "union", "inputs": [0]}], "program[1].inputs"),
        ([{"function": "scene"}, {"function": "query_color", "inputs": [0]}], "program[1].inputs"),
        ([{"function": "scene"}, {"function": "filter_color", "inputs": [0]}], "program[1].value_inputs"),
        (
            [{"function": "scene"}, {"function": "filter_color", "inputs": [0], "value_inputs": ["pink"]}],
            "program[1].value_inputs",
        ),
        (
            [{"function": "scene"}, {"function": "filter_color", "inputs": [0], "value_inputs": [["red"]]}],
            "program[1].value_inputs",
        ),
        ([{"function": "scene", "value_inputs": ["red"]}], "program[0].value_inputs"),
        ([{"function": "scene"}], "program"),
        ([{"function": "scene"}, {"function": "unique", "inputs": [0]}], "program"),
    ],
)
def test_a_malformed_program_is_refused_with_its_place(record, where):
    with pytest.raises(InputError) as caught:
        program_from_json(record)
    assert str(caught.value).startswith(f"{where}:")


@given(ANY_JSON | st.lists(ANY_JSON, max_size=6))
def test_any_json_reads_or_is_refused(record):
    try:
        program = program_from_json(record)
    except InputError:
        return
    assert program_from_json(json.loads(json.dumps([step.to_json() for step in program]))) == program


def test_execute_refuses_a_step_that_reads_the_wrong_kind():
    for rows in (
        [("scene",), ("query_color", (0,))],
        [("scene",), ("count", (0,)), ("relate", (1,), "left")],
        [("scene",), ("unique", (0,)), ("unique", (0,)), ("less_than", (1, 2))],
    ):
        with pytest.raises(InputError, match=r"program\[\d\]"):
            execute(steps(*rows), make_scene([THREE.objects[0]]))


def test_an_older_file_may_say_type_for_function():
    assert program_from_json([{"type": "scene", "inputs": []}, {"type": "count", "inputs": [0]}]) == steps(
        ("scene",), ("count", (0,))
    )


def test_kinds_cover_every_function():
    assert KINDS.keys() == ARITY.keys()


def test_equivalent_sees_through_order_but_not_through_meaning():
    def compare(first, second, function="equal_color", swapped=False):
        chain = [
            ("scene",),
            *[(f"filter_{name}", (i,), value) for i, (name, value) in enumerate(first)],
            ("unique", (2,)),
            ("query_color", (3,)),
            ("scene",),
            *[(f"filter_{name}", (i + 5,), value) for i, (name, value) in enumerate(second)],
            ("unique", (7,)),
            ("query_color", (8,)),
        ]
        return steps(*chain, (function, (9, 4) if swapped else (4, 9)))

    a, b = [("size", "large"), ("shape", "cube")], [("shape", "sphere"), ("material", "metal")]
    base = compare(a, b)
    assert equivalent(base, compare(a[::-1], b[::-1]))
    assert equivalent(base, compare(a, b, swapped=True))
    assert equivalent(base, compare(b, a))
    assert not equivalent(base, compare(a, a))
    assert not equivalent(base, compare(a, [("shape", "sphere"), ("material", "rubber")]))
    count = [("scene",), ("filter_color", (0,), "red"), ("count", (0,)), ("count", (1,))]
    more = steps(*count, ("greater_than", (2, 3)))
    assert equivalent(more, steps(*count, ("less_than", (3, 2))))
    assert not equivalent(more, steps(*count, ("less_than", (2, 3))))


@pytest.mark.parametrize("relation", RELATIONS)
def test_equivalent_tells_relations_apart(relation):
    def program(value):
        return steps(("scene",), ("unique", (0,)), ("relate", (1,), value), ("count", (2,)))

    assert [equivalent(program(relation), program(other)) for other in RELATIONS].count(True) == 1


def test_equivalent_is_fast_on_a_program_that_doubles():
    rows = [("scene",)]
    for i in range(60):
        rows.append(("union", (i, i)))
    program = steps(*rows, ("count", (60,)))
    assert equivalent(program, program)


def test_signature_and_type():
    program = steps(("scene",), ("filter_color", (0,), "red"), ("unique", (1,)), ("query_shape", (2,)))
    assert question_type(program) == "query attribute"
    assert signature(program) == signature(steps(("scene",), ("unique", (0,)), ("query_shape", (1,))))
    assert signature(program) != signature(steps(("scene",), ("unique", (0,)), ("query_size", (1,))))


def test_steps_give_the_objects_they_find():
    scene = random_scenes(1)[0]
    outputs = execute(steps(("scene",), ("filter_size", (0,), "large"), ("count", (1,))), scene)
    assert len(outputs) == 3
    assert [scene.objects[i].size for i in outputs[1]] == ["large"] * outputs[2]
