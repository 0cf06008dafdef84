"""Intervals, comparisons, calibration and confusion against values counted by hand or known in closed form."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.evaluation.metrics import (
    ImageBootstrap,
    accuracies,
    calibration,
    count_confusion,
    paired_difference,
    wilson_interval,
)


def one_accuracy(correct, images, samples=1000, seed=0):
    correct = np.array(correct, bool)
    bootstrap = ImageBootstrap(np.array(images), samples, seed)
    return accuracies(correct[:, None], np.ones((len(correct), 1), bool), bootstrap)[0][0]


def test_accuracy_of_overlapping_groups_by_hand():
    correct = np.array([[1, 0], [1, 1], [0, 1], [1, 0]], bool)
    groups = np.array([[1, 1], [1, 0], [1, 0], [1, 1]], bool)
    first, second = accuracies(correct, groups, ImageBootstrap(np.array([7, 7, 9, 9])))
    assert [(e.value, e.questions, e.images) for e in first] == [(0.75, 4, 2), (1.0, 2, 2)]
    assert [(e.value, e.questions, e.images) for e in second] == [(0.5, 4, 2), (0.0, 2, 2)]


def test_interval_of_independent_questions_is_the_binomial_one():
    rng = np.random.default_rng(1)
    correct = rng.random(2000) < 0.7
    found = one_accuracy(correct, np.arange(2000), samples=4000)
    half = 1.96 * math.sqrt(found.value * (1 - found.value) / 2000)
    assert found.low == pytest.approx(found.value - half, abs=0.002)
    assert found.high == pytest.approx(found.value + half, abs=0.002)


def test_questions_of_one_image_do_not_narrow_the_interval():
    rng = np.random.default_rng(2)
    images = rng.random(300) < 0.6
    alone = one_accuracy(images, np.arange(300))
    repeated = one_accuracy(np.repeat(images, 10), np.repeat(np.arange(300), 10))
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))
    independent = one_accuracy(np.repeat(images, 10), np.arange(3000))
    assert independent.high - independent.low < (alone.high - alone.low) / 2.5


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(200):
        ease = rng.normal(0, 0.2, 80)
        correct = rng.random((80, 6)) < np.clip(0.5 + ease, 0, 1)[:, None]
        found = one_accuracy(correct.ravel(), np.repeat(np.arange(80), 6), samples=300, seed=trial)
        covered += found.low <= 0.5 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_degenerate_groups_get_an_interval_that_admits_ignorance():
    right = one_accuracy([True] * 50, np.arange(50))
    assert (right.low, right.high) == pytest.approx((50 / (50 + 1.96**2), 1.0), abs=1e-4)
    few = one_accuracy([True, False] * 3, [0, 0, 1, 1, 2, 2])
    assert (few.low, few.high) == wilson_interval(0.5, 3)
    assert few.high - few.low > 0.5


def test_wilson_interval_of_known_values():
    assert wilson_interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert wilson_interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(0.3, 0) == (0.0, 1.0)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 12)), min_size=1, max_size=80), st.integers(0, 99)
)
def test_estimates_are_sound_and_repeatable(rows, seed):
    correct, group, images = (np.array(column) for column in zip(*rows, strict=True))
    group[0] = True
    groups = np.stack([np.ones(len(rows), bool), group], 1)
    found = [
        accuracies(correct[:, None], groups, ImageBootstrap(places, 100, seed))[0]
        for places in (images, images, 100 - images[:, None].sum(1))
    ]
    assert found[0] == found[1]
    for e, renamed in zip(found[0], found[2], strict=True):
        assert 0 <= e.low <= e.high <= 1
        assert (e.value, e.questions, e.images) == (renamed.value, renamed.questions, renamed.images)
        if e.images == 1 or e.value in (0, 1):
            assert e.low <= e.value <= e.high
    assert found[0][0].value == np.mean(correct)
    assert found[0][1].questions == group.sum()


def test_paired_difference_by_hand_and_by_enumeration():
    first = np.array([1, 1, 1, 0, 1, 1, 0, 1], bool)
    second = np.array([0, 0, 1, 1, 0, 1, 0, 0], bool)
    images = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    found = paired_difference(first, second, ImageBootstrap(images, 500), flips=20_000)
    assert (found.value, found.only_first, found.only_second, found.questions) == (3 / 8, 4, 1, 8)
    per_image = [2, -1, 1, 1]
    flipped = [abs(sum(s * d for s, d in zip(signs, per_image, strict=True))) for signs in product((1, -1), repeat=4)]
    assert found.p == pytest.approx(np.mean([total >= 3 for total in flipped]), abs=0.01)
    reverse = paired_difference(second, first, ImageBootstrap(images, 500), flips=20_000)
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_equal_models_do_not_differ():
    right = np.random.default_rng(0).random(200) < 0.5
    found = paired_difference(right, right, ImageBootstrap(np.arange(200) // 4))
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_pairing_sees_what_separate_intervals_hide():
    rng = np.random.default_rng(4)
    worse = rng.random(600) < 0.6
    better = worse | (rng.random(600) < 0.06)
    images = np.arange(600) // 3
    low, high = (one_accuracy(right, images) for right in (worse, better))
    assert low.high > high.low
    found = paired_difference(better, worse, ImageBootstrap(images))
    assert found.low > 0
    assert found.p < 0.005


def test_p_is_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(5)
    small = 0
    for trial in range(200):
        first, second = rng.random((2, 120)) < 0.5
        small += paired_difference(first, second, ImageBootstrap(np.arange(120) // 4, 10, trial), flips=400).p <= 0.1
    assert 0.04 <= small / 200 <= 0.17


def test_calibration_by_hand():
    found = calibration(np.array([0.95, 0.85, 0.55, 0.15, 1.0]), np.array([1, 0, 1, 0, 1], bool), bins=10)
    assert found.bins == (
        (1, pytest.approx(0.15), 0.0),
        (1, pytest.approx(0.55), 1.0),
        (1, pytest.approx(0.85), 0.0),
        (2, pytest.approx(0.975), 1.0),
    )
    assert found.error == pytest.approx((0.15 + 0.45 + 0.85 + 2 * 0.025) / 5)
    assert found.brier == pytest.approx((0.05**2 + 0.85**2 + 0.45**2 + 0.15**2) / 5)
    assert found.mean_confidence == pytest.approx(0.7)
    assert calibration(np.zeros(0), np.zeros(0, bool)) is None


def test_honest_confidences_are_calibrated_and_boasting_ones_are_not():
    rng = np.random.default_rng(6)
    confidence = rng.random(20_000)
    correct = rng.random(20_000) < confidence
    assert calibration(confidence, correct).error < 0.02
    assert calibration(np.ones(20_000), correct).error == pytest.approx(0.5, abs=0.02)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1), st.integers(1, 20))
def test_calibration_bins_hold_every_question(pairs, bins):
    confidence, correct = (np.array(column) for column in zip(*pairs, strict=True))
    found = calibration(confidence, correct, bins)
    assert sum(n for n, _, _ in found.bins) == len(pairs)
    assert sum(n * a for n, _, a in found.bins) == pytest.approx(correct.sum())
    assert sum(n * p for n, p, _ in found.bins) == pytest.approx(confidence.sum())
    assert 0 <= found.error <= 1


def test_count_confusion_by_hand():
    found = count_confusion(np.array([0, 3, 3, 10, 2]), np.array([0, 4, 3, -1, 77]))
    matrix = np.array(found.matrix)
    assert matrix.shape == (11, 12)
    assert {tuple(place): int(matrix[tuple(place)]) for place in np.argwhere(matrix)} == {
        (0, 0): 1,
        (2, 11): 1,
        (3, 3): 1,
        (3, 4): 1,
        (10, 11): 1,
    }
    assert found.mean_error == pytest.approx(1 / 3)
    assert count_confusion(np.array([1]), np.array([-1])).mean_error is None
