"""Accuracy with intervals, paired comparison, calibration and confusion of counts.

Questions about one image are not independent, so images are resampled, not questions: intervals come from the
percentile bootstrap over images (Efron and Tibshirani 1993, chapter 13; Field and Welsh 2007 for clusters), p-values
from flipping the sign of an image's difference (Fisher's randomization test). The same seed gives the same figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated

import numpy as np
from pydantic import Field

from vqa.utils.records import Change, Count, Number, Share

LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
_FEWEST_IMAGES = 10
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Estimate:
    """The accuracy on some questions with its 95 % interval, and how many questions and images it comes from."""

    value: Share
    low: Share
    high: Share
    questions: Count
    images: Annotated[Count, Field(alias="pictures")]


@dataclass(frozen=True, slots=True)
class Difference:
    """The accuracy of one model less that of another on the same questions, with 95 % interval and two-sided p.

    `only_first` and `only_second` count the questions that one of them alone answers correctly.
    """

    value: Change
    low: Change
    high: Change
    p: Share
    only_first: Count
    only_second: Count
    questions: Count


@dataclass(frozen=True, slots=True)
class Contrast:
    """A weighted sum of accuracies, such as a gap or a mean, with its 95 % interval."""

    value: Change
    low: Change
    high: Change


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well confidences match accuracy (Guo et al. 2017, section 2).

    `error` is the expected calibration error over equal-width bins, `brier` the mean squared difference between
    confidence and correctness (0 or 1), `bins` hold (questions, mean confidence, accuracy) from low to high confidence,
    empty ones left out.
    """

    error: Share
    brier: Share
    mean_confidence: Share
    bins: tuple[tuple[Annotated[Count, Field(gt=0)], Share, Share], ...]
    questions: Count


@dataclass(frozen=True, slots=True)
class CountConfusion:
    """Rows are the true counts 0..10, columns the answers 0..10 and, last, every other answer.

    `mean_error` is the mean absolute error of the answers that are counts, None where none is.
    """

    matrix: list[list[Count]]
    mean_error: Number | None


class ImageBootstrap:
    """Sums over resampled images. Every column sees the same resamples, so that ratios and differences are paired.

    Args:
        images: (Q,) the image of every question, any whole numbers.
        samples: number of resamples.
        seed: of the resampling.
    """

    def __init__(self, images: np.ndarray, samples: int = 1000, seed: int = 0) -> None:
        self.rows = np.unique(images, return_inverse=True)[1] if len(images) else np.zeros(0, np.int64)
        self.size = int(self.rows.max(initial=-1)) + 1
        self.samples, self.seed = samples, seed

    def of(self, chosen: np.ndarray) -> "ImageBootstrap":
        """The same bootstrap for some of the questions, a boolean mask (Q,), and their images."""
        return ImageBootstrap(self.rows[chosen], self.samples, self.seed)

    def per_image(self, columns: np.ndarray) -> np.ndarray:
        """The sums (N, K) of values (Q, K) over each image's questions."""
        return np.stack([np.bincount(self.rows, column, self.size) for column in columns.T], 1)

    def sums(self, per_image: np.ndarray) -> np.ndarray:
        """The sums (samples, K) of values (N, K) over N images drawn with replacement."""
        generator = np.random.default_rng(self.seed)
        out = np.empty((self.samples, per_image.shape[1]))
        step = max(1, _CHUNK // max(1, self.size))
        for start in range(0, self.samples, step):
            drawn = [
                np.bincount(generator.integers(0, self.size, self.size), minlength=self.size)
                for _ in range(min(step, self.samples - start))
            ]
            out[start : start + step] = np.stack(drawn).astype(np.float64) @ per_image
        return out


def accuracies(correct: np.ndarray, groups: np.ndarray, bootstrap: ImageBootstrap) -> list[list[Estimate]]:
    """The accuracy of each of M models in each of G groups of questions.

    Args:
        correct: boolean mask (Q, M).
        groups: boolean mask (Q, G); groups may overlap, but none is empty.

    Groups of fewer than ten images, and those with all answers correct or none, get Wilson's interval (1927) with an
    image as one trial: resampling what never varies would give an interval of no width.
    """
    totals = bootstrap.per_image(groups)
    drawn_totals = bootstrap.sums(totals)
    images, questions = (totals > 0).sum(0).tolist(), totals.sum(0).astype(int).tolist()
    table = []
    for column in correct.T:
        hits = bootstrap.per_image(groups & column[:, None])
        values = (hits.sum(0) / questions).tolist()
        bounds = np.stack(_percentiles(bootstrap.sums(hits), drawn_totals), 1).tolist()
        for g, value in enumerate(values):
            if images[g] < _FEWEST_IMAGES or value in (0, 1):
                bounds[g] = wilson_interval(value, images[g])
        columns = zip(values, bounds, questions, images, strict=True)
        table.append([Estimate(value, low, high, asked, shown) for value, (low, high), asked, shown in columns])
    return table


def paired_difference(
    first: np.ndarray, second: np.ndarray, bootstrap: ImageBootstrap, flips: int = 10_000
) -> Difference:
    """Compare two models by which of the same Q > 0 questions they answer correctly, two boolean masks (Q,).

    p is the share of `flips` random exchanges of the two models' answers, image by image, that differ as much.
    """
    difference = first.astype(np.int64) - second
    per_image = bootstrap.per_image(np.stack([difference, np.ones_like(difference)], 1))
    drawn = bootstrap.sums(per_image)
    low, high = _percentiles(drawn[:, :1], drawn[:, 1:])
    generator = np.random.default_rng(bootstrap.seed)
    moved = per_image[per_image[:, 0] != 0, 0].astype(np.float32)
    extreme, step = 0, max(1, _CHUNK // max(1, len(moved)))
    for start in range(0, flips, step):
        kept = generator.integers(0, 2, (min(step, flips - start), len(moved)), dtype=np.int8)
        # an image's difference counts as +d where kept and -d where exchanged: 2 * kept sum - whole sum
        extreme += int((np.abs(2 * (kept @ moved) - moved.sum()) >= abs(moved.sum())).sum())
    return Difference(
        float(difference.mean()),
        float(low[0]),
        float(high[0]),
        (1 + extreme) / (1 + flips),
        int((difference > 0).sum()),
        int((difference < 0).sum()),
        len(difference),
    )


def wilson_interval(share: float, trials: int) -> tuple[float, float]:
    """Wilson's score interval of 95 % for a share of independent trials; (0, 1) without any.

    Not `scipy.stats.binomtest(...).proportion_ci`: that takes whole successes, and an image with several questions
    can be a fraction of one.
    """
    if not trials:
        return 0.0, 1.0
    spread = _Z**2 / trials
    middle = (share + spread / 2) / (1 + spread)
    half = (share * (1 - share) * spread + spread**2 / 4) ** 0.5 / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def contrast(estimates: Sequence[Estimate], weights: Sequence[float]) -> Contrast:
    """A weighted sum of accuracies with its 95 % interval.

    The interval is put together from those of the parts (Zou and Donner 2008, section 2), which need not be symmetric;
    it takes them as independent, and so is a little wide where they are about the same images.
    """
    value = sum(weight * item.value for weight, item in zip(weights, estimates, strict=True))
    below = above = 0.0
    for weight, item in zip(weights, estimates, strict=True):
        down, up = sorted((weight * (item.value - item.low), weight * (item.value - item.high)), reverse=True)
        below, above = below + max(0.0, down) ** 2, above + min(0.0, up) ** 2
    return Contrast(value, value - below**0.5, value + above**0.5)


def calibration(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> Calibration | None:
    """Compare confidences (Q,) in 0..1 with correctness, a boolean mask (Q,); None without any question."""
    if not len(confidence):
        return None
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = (np.bincount(places, values, bins) for values in (confidence, correct))
    means = [np.divide(total, counts, out=np.zeros(bins), where=counts > 0) for total in sums]
    return Calibration(
        float(np.abs(means[0] - means[1]) @ counts / len(confidence)),
        float(np.mean((confidence - correct) ** 2)),
        float(np.mean(confidence)),
        tuple((int(n), float(p), float(a)) for n, p, a in zip(counts, *means, strict=True) if n),
        len(confidence),
    )


def count_confusion(true: np.ndarray, answered: np.ndarray, largest: int = 10) -> CountConfusion:
    """Compare true counts (Q,) in 0..largest with the answers (Q,), -1 for an answer that is not such a count."""
    columns = np.where((answered >= 0) & (answered <= largest), answered, largest + 1)
    matrix = np.zeros((largest + 1, largest + 2), np.int64)
    np.add.at(matrix, (true, columns), 1)
    counted = columns <= largest
    error = float(np.abs(true[counted] - columns[counted]).mean()) if counted.any() else None
    return CountConfusion(matrix.tolist(), error)


def _percentiles(hits: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95 % of the ratios of (samples, K) sums; a resample that misses a column's images does not count."""
    ratios = np.divide(hits, totals, out=np.full(hits.shape, np.nan), where=totals > 0)
    ratios[:, np.isnan(ratios).all(0)] = 0
    low, high = np.nanpercentile(ratios, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
    return low, high
