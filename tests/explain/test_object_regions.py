"""Objects' regions lie where the objects are."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.clevr.annotations import read_scenes
from vqa.clevr.image_generation.camera import object_disc, object_map, recover_location
from vqa.explain.object_regions import contains, coverage, discs_of, grid_points, overlap
from vqa.explain.pointing_game import peak_inside
from vqa.utils.resources import shipped


@pytest.fixture(scope="module")
def scenes():
    return list(read_scenes(shipped("data/clevr-mini/scenes/CLEVR_val_scenes.json")).values())


def test_discs_cover_what_the_camera_sees_of_objects(scenes):
    """The disc of an object in full sight holds most of its pixels, and mostly its pixels."""
    checked = 0
    for scene in scenes[:4]:
        shown = object_map(scene.objects, recover_location(scene.objects))
        discs = discs_of(scene)
        alone = ~(overlap(discs, discs) & ~np.eye(len(discs), dtype=bool)).any(1)
        y, x = np.mgrid[:320, :480] + 0.5
        inside = contains(discs, x / 480, y / 320)
        for i in np.flatnonzero(alone):
            both = (inside[i] & (shown == i)).sum()
            assert both > 0.4 * (shown == i).sum()  # a cube reaches beyond its disc
            assert both > 0.75 * inside[i].sum()
            checked += 1
    assert checked >= 5


def test_an_object_without_pixels_is_projected(scenes):
    item = scenes[0].objects[0]
    x, y, radius = object_disc(item)
    other_x, other_y, other_radius = object_disc(dataclasses.replace(item, pixel_coords=None))
    assert abs(x - other_x) < 40  # the camera's jitter
    assert abs(y - other_y) < 40
    assert other_radius == pytest.approx(radius, rel=0.2)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.2), st.floats(5, 15)), min_size=1, max_size=6
    )
)
def test_coverage_is_a_share_and_no_point_belongs_to_two(rows):
    cells = coverage(np.array(rows), 8, 12)
    assert cells.shape == (len(rows), 8, 12)
    assert cells.min() >= 0
    assert cells.sum(0).max() <= 1


def test_the_nearer_object_hides_the_farther():
    near, far = (0.5, 0.5, 0.2, 8.0), (0.5, 0.5, 0.1, 12.0)
    cells = coverage(np.array([far, near]), 16, 24)
    assert cells[0].sum() == 0
    assert cells[1].sum() > 0


def test_the_peak_of_a_map_is_found_in_its_object():
    discs = np.array([[0.25, 0.5, 0.05, 10.0], [0.75, 0.5, 0.05, 10.0]])
    spatial = np.zeros((16, 24))
    spatial[8, 18] = 1
    assert peak_inside(spatial, discs, [1])
    assert not peak_inside(spatial, discs, [0])
    assert peak_inside(spatial, discs, [0, 1])


def test_a_border_shifts_the_grid():
    x, _ = grid_points(4, 6, (1 / 6, 0, 5 / 6, 1))
    assert x[0, 0] < 0
    assert x[0, 1] == pytest.approx(0.125)
