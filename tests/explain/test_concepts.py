"""Areas under the ROC curve, their baselines, and the analysis of variance, against what is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from vqa.clevr.annotations import read_scenes
from vqa.explain.anova import SOURCES, variance_shares
from vqa.explain.concepts import CONCEPTS, Regions, RocAreas, Units, concept_areas, find_regions
from vqa.explain.object_regions import WHOLE
from vqa.utils.resources import shipped

columns = arrays(np.float32, (24, 3), elements=st.integers(0, 6).map(float))


@settings(max_examples=40)
@given(columns, arrays(bool, (24, 2)), arrays(bool, (24, 3)))
def test_areas_are_scikit_learns(values, labels, counted):
    found = RocAreas(values, counted).of(labels)
    for c in range(3):
        for k in range(2):
            mask = counted[:, c]
            sides = np.unique(labels[mask, k])
            expected = roc_auc_score(labels[mask, k], values[mask, c]) if len(sides) == 2 else 0.5
            assert found[c, k] == pytest.approx(expected, abs=1e-5)


def planted(rng, strength):
    """300 objects, one a question; channel 0 follows the first concept, channel 1 nothing, channel 2 never speaks."""
    number = 300
    labels = rng.random((number, len(CONCEPTS) - 2)) < 0.4
    values = rng.normal(size=(2 * number, 3))
    values[:number, 0] += strength * labels[:, 0]
    active = np.ones((number, 3), bool)
    active[:, 2] = False
    question = np.concatenate([np.arange(number)] * 2)
    units = Units(values, question, active, np.arange(number), rng.integers(-1, 2, number))
    return units, Regions([], [], np.arange(number + 1), labels)


def test_a_planted_concept_is_found_and_noise_is_not():
    found = []
    for seed in range(4):
        units, regions = planted(np.random.default_rng(seed), 2.0)
        areas, by_chance = concept_areas(units, regions, permutations=60, seed=seed)
        assert areas.shape == (3, len(CONCEPTS))
        assert areas[0].argmax() == 0
        baseline = np.percentile(by_chance, 99, axis=0)
        assert areas[0, 0] > baseline[0] + 0.1
        assert (areas[2] == 0.5).all()
        found.append(areas[1].max() > baseline[1])
    assert sum(found) <= 1


def test_the_same_seed_gives_the_same_baseline():
    units, regions = planted(np.random.default_rng(0), 1.0)
    one, other = (concept_areas(units, regions, permutations=5, seed=3)[1] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_regions_have_weights_that_sum_to_one_and_labels_of_their_objects():
    scenes = list(read_scenes(shipped("data/clevr-mini/scenes/CLEVR_val_scenes.json")).values())
    regions = find_regions(scenes, [WHOLE] * len(scenes), 16, 24)
    assert regions.first[-1] == len(regions.labels)
    for i, (mask, seen) in enumerate(zip(regions.masks, regions.objects, strict=True)):
        np.testing.assert_allclose(mask.sum(1), 1, rtol=1e-5)
        assert len(mask) >= len(seen)
        for j, row in zip(seen, regions.labels[regions.first[i] :], strict=False):
            item = scenes[i].objects[j]
            named = {CONCEPTS[k] for k in np.flatnonzero(row)}
            assert {item.color, item.shape, item.size, item.material} < named
            assert len(named & {"left half", "right half"}) == len(named & {"back half", "front half"}) == 1


def test_shares_of_variance_say_where_it_comes_from():
    rng = np.random.default_rng(0)
    types = np.repeat([0, 1, 2], 4)
    of_type, of_question, of_image = rng.normal(size=(3, 5))[types], rng.normal(size=(12, 5)), rng.normal(size=(7, 5))
    for values, source in (
        (np.broadcast_to(of_type, (7, 12, 5)), "type"),
        (np.broadcast_to(of_image[:, None], (7, 12, 5)), "picture"),
    ):
        assert variance_shares(values, types)[source] == pytest.approx(1)
    mixed = variance_shares(of_type + of_question + of_image[:, None], types)
    assert sum(mixed.values()) == pytest.approx(1)
    assert mixed["both"] == pytest.approx(0, abs=1e-9)
    assert min(mixed["question"], mixed["picture"]) > 0.05


def test_what_never_varies_has_no_shares():
    assert variance_shares(np.ones((3, 4, 2)), np.zeros(4)) == dict.fromkeys(SOURCES, 0.0)
