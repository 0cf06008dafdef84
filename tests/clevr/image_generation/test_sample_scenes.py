"""Sampled scenes keep CLEVR's rules, and the camera sees what an annotation says."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_strategies import SHARED, needs_shared

from vqa.clevr.image_generation.camera import (
    CAMERA_LOCATION,
    RADIUS,
    look_at_origin,
    object_map,
    pixel_coords,
    project,
    recover_location,
    visible_pixels,
)
from vqa.clevr.image_generation.sample_scenes import (
    CONDITIONS,
    LAMP_LOCATIONS,
    Layout,
    annotate,
    sample_layout,
)
from vqa.clevr.scenes import DIRECTIONS, Scene, SceneObject, compute_relationships
from vqa.clevr.vocabulary import COGENT_COLORS, COLORS, RELATIONS, SHAPES, SIZES

GENUINE = SHARED / "clevr-genuine-dev" / "scenes" / "CLEVR_train_scenes.json"


def check_rules(layout: Layout, condition: str) -> None:
    objects = layout.scene.objects
    assert 3 <= len(objects) <= 10
    for i, one in enumerate(objects):
        assert max(map(abs, one.coords[:2])) <= 3
        assert one.coords[2] == np.float32(RADIUS[one.size])
        assert 0 <= one.rotation <= 360
        assert one.color in (COLORS if condition == "none" else COGENT_COLORS[condition][one.shape])
        assert one.pixel_coords == pixel_coords(one.coords, layout.camera)
        for other in objects[:i]:
            gap = math.dist(one.coords[:2], other.coords[:2]) - RADIUS[one.size] - RADIUS[other.size]
            assert gap >= 0.25
            for name in ("right", "behind"):
                along = sum(
                    (a - b) * d for a, b, d in zip(one.coords[:2], other.coords[:2], DIRECTIONS[name][:2], strict=True)
                )
                assert abs(along) >= 0.4 - 1e-12
    assert min(visible_pixels(objects, layout.camera)) >= 200
    assert layout.scene.relationships == compute_relationships(objects)
    assert np.abs(np.subtract(layout.camera, CAMERA_LOCATION)).max() <= 0.5
    for name, location in LAMP_LOCATIONS.items():
        assert np.abs(np.subtract(layout.lamps[name], location)).max() <= 1


@pytest.mark.parametrize("condition", CONDITIONS)
def test_rules_of_placement_and_condition(condition):
    for index in range(40):
        check_rules(sample_layout(3, "val", index, condition), condition)


@pytest.mark.slow
def test_statistics_of_many_scenes():
    layouts = [sample_layout(0, "train", index) for index in range(1500)]
    for layout in layouts:
        check_rules(layout, "none")
    objects = [item for layout in layouts for item in layout.scene.objects]
    for values, number in ((SHAPES, "shape"), (COLORS, "color"), (("rubber", "metal"), "material")):
        for value in values:
            share = sum(getattr(item, number) == value for item in objects) / len(objects)
            assert share == pytest.approx(1 / len(values), abs=0.02)
    counts = np.bincount([len(layout.scene.objects) for layout in layouts], minlength=11)[3:]
    assert np.abs(counts - 1500 / 8).max() < 4 * math.sqrt(1500 / 8)


def test_an_image_depends_on_seed_split_and_index_alone():
    alone = sample_layout(7, "train", 5)
    assert [sample_layout(7, "train", index) for index in range(4, 7)][1] == alone
    for other in (sample_layout(8, "train", 5), sample_layout(7, "val", 5), sample_layout(7, "train", 6)):
        assert other.scene.objects != alone.scene.objects
        assert other.render_seed != alone.render_seed


def test_number_of_objects_and_half_hidden_ones():
    for index in range(6):
        layout = sample_layout(7, "crowded", index, objects=(8, 10), half_hidden=True)
        check_rules(layout, "none")
        objects = layout.scene.objects
        assert len(objects) >= 8
        whole = [visible_pixels([item], layout.camera)[0] for item in objects]
        seen = visible_pixels(objects, layout.camera)
        assert any(2 * part < all_of_it for part, all_of_it in zip(seen, whole, strict=True))
    assert len(sample_layout(7, "train", 0, objects=(2, 2), half_hidden=True).scene.objects) == 2


def test_a_written_scene_reads_back_the_same():
    scene = sample_layout(1, "valA", 2, "cogent-a").scene
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene
    assert scene.image_filename == "CLEVR_valA_000002.png"


def test_projection_of_a_genuine_annotation():
    """Figures of a genuine scene: the camera and two centres with their published pixel_coords."""
    camera = (7.604033248539604, -6.265852895688001, 5.638858688551537)
    for center, expected in (
        ((2.2106728553771973, -0.7154524922370911, 0.3499999940395355), (288, 203, 9.303019523620605)),
        ((1.0676054954528809, -0.972618818283081, 0.3499999940395355), (236, 182, 9.92672061920166)),
    ):
        assert pixel_coords(center, camera) == pytest.approx(expected, abs=2e-6)


@given(st.tuples(*[st.floats(-0.5, 0.5)] * 3), st.integers(0, 50))
@settings(max_examples=30)
def test_the_camera_is_recovered_from_an_annotation(jitter, index):
    objects = sample_layout(0, "train", index).scene.objects
    camera = tuple(np.add(CAMERA_LOCATION, jitter).tolist())
    assert recover_location(annotate(objects, camera).objects) == pytest.approx(camera, abs=1e-4)


def test_a_scene_without_annotation_is_seen_by_the_unjittered_camera():
    plain = SceneObject("cube", "red", "large", "metal", (0.0, 0.0, 0.7))
    assert recover_location([plain]) == CAMERA_LOCATION
    assert Layout.of_scene(Scene((), {name: [] for name in RELATIONS})).camera == CAMERA_LOCATION


@given(st.sampled_from(SHAPES), st.sampled_from(SIZES), st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 360))
@settings(max_examples=25)
def test_object_map_agrees_with_points_inside_the_shape(shape, size, x, y, rotation):
    radius, frame = RADIUS[size], (96, 64)
    item = SceneObject(shape, "red", size, "rubber", (x, y, radius), rotation)
    shown = object_map([item], frame=frame) == 0
    width, height = frame
    right, up = np.meshgrid(
        (np.arange(width) + 0.5 - width / 2) / (width * 35 / 32),
        (height / 2 - np.arange(height) - 0.5) / (width * 35 / 32),
    )
    rays = np.stack([right, up, -np.ones_like(right)], -1) @ look_at_origin(CAMERA_LOCATION)
    depth = project(np.asarray([item.coords]), CAMERA_LOCATION, frame)[0, 2]
    along = np.linspace(depth - 2 * radius, depth + 2 * radius, 160)
    local = np.asarray(CAMERA_LOCATION) + rays[:, :, None] * along[:, None] - item.coords
    cos, sin = math.cos(rotation), math.sin(rotation)
    if shape == "cube":
        turned = [local[..., 0] * cos + local[..., 1] * sin, local[..., 1] * cos - local[..., 0] * sin, local[..., 2]]
        inside = np.abs(turned).max(0) <= radius
    elif shape == "sphere":
        inside = np.linalg.norm(local, axis=-1) <= radius
    else:
        inside = (np.hypot(local[..., 0], local[..., 1]) <= radius) & (np.abs(local[..., 2]) <= radius)
    found = inside.any(-1)
    assert not (found & ~shown).any()
    assert (shown & ~found).sum() <= 3 + 0.05 * shown.sum()  # rays that graze an edge between two points


def test_the_nearer_object_hides_the_farther():
    toward = np.asarray(CAMERA_LOCATION) / np.linalg.norm(CAMERA_LOCATION)
    near = SceneObject("sphere", "red", "large", "rubber", tuple(toward * 2))
    far = SceneObject("cube", "blue", "small", "rubber", (0.0, 0.0, 0.0))
    assert visible_pixels([far]) > [200]
    assert visible_pixels([far, near])[0] == 0
    assert visible_pixels([near, far])[1] == 0
    assert visible_pixels([]) == []


@needs_shared
def test_genuine_annotations_follow_from_the_recovered_camera():
    for record in json.loads(GENUINE.read_text())["scenes"]:
        genuine = Scene.from_json(record)
        camera = recover_location(genuine.objects)
        assert np.abs(np.subtract(camera, CAMERA_LOCATION)).max() <= 0.5
        ours = annotate(genuine.objects, camera)
        assert ours.relationships == genuine.relationships
        for one, other in zip(ours.objects, genuine.objects, strict=True):
            assert one.pixel_coords == pytest.approx(other.pixel_coords, abs=2e-6)
