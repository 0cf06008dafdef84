import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_strategies import SHARED, needs_shared, random_scenes, scenes

from vqa.clevr.annotations import read_scenes
from vqa.clevr.scenes import DIRECTIONS, RELATION_MARGIN, Scene, compute_relationships
from vqa.clevr.vocabulary import RELATIONS
from vqa.errors import InputError

OPPOSITE = {"left": "right", "right": "left", "front": "behind", "behind": "front"}
RECORD = random_scenes(1, seed=3)[0].to_json()


@needs_shared
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("clevr-genuine-dev/scenes/CLEVR_train_scenes.json", 268),
        ("clevr-blender/scenes/CLEVR_val_scenes.json", 500),
        ("clevr-blender/scenes/CLEVR_valB_scenes.json", 400),
    ],
)
def test_relations_computed_from_coordinates_are_the_stored_ones(name, count):
    found = read_scenes(SHARED / name)
    assert len(found) == count
    for scene in found.values():
        stored = {relation: [sorted(row) for row in scene.relationships[relation]] for relation in RELATIONS}
        assert compute_relationships(scene.objects) == stored


@given(scenes)
def test_relations_are_irreflexive_opposed_and_keep_the_margin(scene):
    for relation in RELATIONS:
        for i, row in enumerate(scene.relationships[relation]):
            assert i not in row
            assert list(row) == sorted(row)
            for j in row:
                assert i in scene.relationships[OPPOSITE[relation]][j]
                step = [b - a for a, b in zip(scene.objects[i].coords, scene.objects[j].coords, strict=True)]
                assert math.fsum(map(math.prod, zip(step, DIRECTIONS[relation], strict=True))) > RELATION_MARGIN - 1e-9


@given(scenes)
def test_json_and_back_is_the_same_scene(scene):
    again = Scene.from_json(scene.to_json())
    assert again.objects == scene.objects
    assert again.relationships == scene.relationships
    assert again.to_json() == scene.to_json()


def test_relations_are_computed_where_a_file_has_none():
    record = {name: value for name, value in RECORD.items() if name != "relationships"}
    assert Scene.from_json(record).relationships == RECORD["relationships"]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ((), [], "scene"),
        (("objects",), None, "scene.objects"),
        (("objects",), "cube", "scene.objects"),
        (("objects", 0), 7, "scene.objects[0]"),
        (("objects", 0, "color"), "pink", "scene.objects[0].color"),
        (("objects", 0, "shape"), 3, "scene.objects[0].shape"),
        (("objects", 1, "3d_coords"), [0, 1], "scene.objects[1].3d_coords"),
        (("objects", 1, "3d_coords"), [0, 1, "2"], "scene.objects[1].3d_coords"),
        (("objects", 1, "3d_coords"), [0, 1, float("nan")], "scene.objects[1].3d_coords"),
        (("objects", 1, "pixel_coords"), [0, 1], "scene.objects[1].pixel_coords"),
        (("objects", 1, "rotation"), "half", "scene.objects[1].rotation"),
        (("relationships",), [], "scene.relationships"),
        (("relationships", "left"), [], "scene.relationships.left"),
        (("relationships", "left", 0), 3, "scene.relationships.left[0]"),
        (("relationships", "left", 0), [99], "scene.relationships.left[0]"),
        (("relationships", "left", 0), [True], "scene.relationships.left[0]"),
        (("relationships", "left", 0), [1, 1], "scene.relationships.left[0]"),
        (("relationships", "left", 0), [0], "scene.relationships.left[0]"),
        (("image_index",), "one", "scene.image_index"),
        (("image_filename",), 3, "scene.image_filename"),
        (("directions",), {"left": [1, 0, 0]}, "scene.directions"),
    ],
)
def test_a_broken_field_is_named(path, value, named):
    record = copy.deepcopy(RECORD)
    if path:
        place = record
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
    else:
        record = value
    with pytest.raises(InputError) as caught:
        Scene.from_json(record)
    assert str(caught.value).startswith(f"{named}:")


@pytest.mark.parametrize("field", ["shape", "color", "size", "material", "3d_coords"])
def test_a_missing_field_is_named(field):
    record = copy.deepcopy(RECORD)
    del record["objects"][0][field]
    with pytest.raises(InputError, match=rf"file: scenes\[4\].objects\[0\]: .*'{field}' is missing"):
        Scene.from_json(record, "file: scenes[4]")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*RECORD, *RECORD["objects"][0], *RELATIONS]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_reads_or_is_refused(record):
    try:
        scene = Scene.from_json(record)
    except InputError:
        return
    assert Scene.from_json(scene.to_json()).to_json() == scene.to_json()
