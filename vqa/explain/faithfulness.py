"""Do the channels with the largest weights matter most? Measured by removing them and asking again.

A ranking of channels is faithful where removing its top costs more answers than removing its bottom, and more than
removing channels of like activation at random (the deletion test of Samek et al. 2017, on channels). Channels are
ranked within each block and for each question, and removed from all blocks at once, in two ways: set to zero, and set
to their mean over the questions, which keeps the following layers closer to what they know. Beside the channels, the
gate itself is put to the test: how much accuracy is lost when its weights no longer follow the question?
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch

from vqa.evaluation.metrics import Contrast, ImageBootstrap
from vqa.explain.channel_weights import CHANNEL_WEIGHTS
from vqa.explain.interventions import Fill, Intervention, Scale, SetFilm, SetGate, Watch, intervene
from vqa.explain.probe_set import ProbeSet
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.processing import FilmSEProcessor
from vqa.utils.records import Count, Number

RANKINGS = {
    "weight": "channel gate",
    "deviation": "channel gate's distance from its mean",
    "product": "gate x activation",
}
"""Ranking -> what it ranks by. "product" is the mean of |gate x activation| over the image."""

REMOVALS = ("zero", "mean")
_NEAREST = 3
_QUIET = 1e-6


@dataclass(frozen=True, kw_only=True)
class GateTest:
    """The accuracy under a change, the accuracy that it costs, and the mean probability of the unedited answers."""

    test: str
    accuracy: Contrast
    loss: Contrast
    certainty: Number


@dataclass(frozen=True, kw_only=True)
class Removal:
    """The accuracy without the top, the bottom and random channels of every block.

    `extra_loss` is how much more accuracy the top ones cost than the random ones; `certainty` and `activation` (the
    mean of the removed channels) have an entry for each of the three.
    """

    ranking: str
    removal: str
    channels: Count
    top: Contrast
    bottom: Contrast
    random: Contrast
    certainty: dict[str, Number]
    extra_loss: Contrast
    activation: dict[str, Number]


@dataclass
class Outcome:
    """Of Q questions: `right` (Q,), whether answers are correct, 0 or 1, or a mean over draws; `certainty` (Q,), the
    probability of the unedited model's answer; `best` (Q,), the indices of the answers."""

    right: np.ndarray
    certainty: np.ndarray
    best: np.ndarray


@dataclass
class Behaviour(Outcome):
    """What the unedited model does on Q questions, K blocks of C channels.

    Attributes: `norms` (K, Q, C), mean |map|; `means` (K, C), mean map; `weights`, `gammas`, `betas` (K, Q, C) or
    None. The weights of an input gate are (K + 1, Q, 15), the head's last.
    """

    norms: np.ndarray
    means: np.ndarray
    weights: np.ndarray | None
    gammas: np.ndarray | None
    betas: np.ndarray | None

    def scores(self) -> dict[str, np.ndarray]:
        """For each of `RANKINGS` that this model has, the score (K, Q, C) of every channel."""
        found = {"product": self.norms}
        if self.weights is not None and self.weights.shape == self.norms.shape:
            deviation = np.abs(self.weights - self.weights.mean(1, keepdims=True))
            found = {"weight": self.weights, "deviation": deviation, **found}
        return found


class Experiment:
    """One model on one sample of questions."""

    def __init__(
        self,
        model: FilmSEForVisualQuestionAnswering,
        processor: FilmSEProcessor,
        probes: ProbeSet,
        on_progress: Callable[[int], object] = lambda answers: None,
    ) -> None:
        self.model, self.processor, self.probes, self.on_progress = model, processor, probes, on_progress

    @cached_property
    def labels(self) -> np.ndarray:
        """The indices of the correct answers (Q,), -1 for those that the model does not have."""
        indices = {answer: i for i, answer in enumerate(self.model.config.answers)}
        return np.array([indices.get(question.answer or "", -1) for question in self.probes.questions])

    @cached_property
    def bootstrap(self) -> ImageBootstrap:
        """The bootstrap over the images."""
        return ImageBootstrap(self.probes.images)

    def on(self, probes: ProbeSet) -> "Experiment":
        """The same model on other questions."""
        return Experiment(self.model, self.processor, probes, self.on_progress)

    @cached_property
    @torch.inference_mode()
    def plain(self) -> Behaviour:
        """What the unedited model does, measured when it is first needed."""
        blocks, width, total = self.model.config.num_blocks, self.model.config.trunk_width, len(self.labels)
        watch = Watch(self.model)
        norms, means = np.zeros((blocks, total, width), np.float32), np.zeros((blocks, width))
        kinds: dict[str, np.ndarray] = {}
        best, certainty = np.zeros(total, np.int64), np.zeros(total, np.float32)
        for numbers, inputs in self.probes.batches(self.processor):
            output = watch(**inputs)
            assert output.logits is not None
            certainty[numbers], best[numbers] = (x.cpu().numpy() for x in output.logits.float().softmax(-1).max(-1))
            for k, y in enumerate(watch.maps):
                norms[k, numbers] = y.float().abs().mean((2, 3)).cpu().numpy()
                means[k] += y.float().mean((2, 3)).sum(0).cpu().numpy() / total
            for kind in CHANNEL_WEIGHTS:
                values = getattr(output, kind)
                if values is not None:
                    if kind == "channel_weights" and output.head_channel_weights is not None:
                        values = (*values, output.head_channel_weights)
                    stacked = torch.stack(values).float().cpu().numpy()
                    room = np.zeros((len(stacked), total, stacked.shape[-1]), np.float32)
                    kinds.setdefault(kind, room)[:, numbers] = stacked
            self.on_progress(len(numbers))
        gate, gamma, beta = (kinds.get(kind) for kind in ("channel_weights", "film_gamma", "film_beta"))
        return Behaviour(best == self.labels, certainty, best, norms, means, gate, gamma, beta)

    def run(self, edits: Callable[[np.ndarray], Sequence[Intervention]]) -> Outcome:
        """Ask everything again under interventions; `edits` makes those of a batch from its questions' numbers."""
        return self.ask(lambda numbers: intervene(self.model, edits(numbers)))

    @torch.inference_mode()
    def ask(self, model_for: Callable[[np.ndarray], FilmSEForVisualQuestionAnswering]) -> Outcome:
        """Ask everything again; `model_for` gives the model of a batch from its questions' numbers."""
        certainty, best = np.zeros(len(self.labels), np.float32), np.zeros(len(self.labels), np.int64)
        for numbers, inputs in self.probes.batches(self.processor):
            logits = model_for(numbers)(**inputs).logits
            assert logits is not None
            probabilities = logits.float().softmax(-1).cpu().numpy()
            best[numbers] = probabilities.argmax(-1)
            certainty[numbers] = probabilities[np.arange(len(numbers)), self.plain.best[numbers]]
            self.on_progress(len(numbers))
        return Outcome(best == self.labels, certainty, best)

    def remove(self, chosen: np.ndarray, how: str) -> Outcome:
        """Remove the channels `chosen`, a boolean mask (K, Q, C), by "zero" or by "mean"."""

        def edits(numbers: np.ndarray) -> Iterator[Intervention]:
            for k in range(len(chosen)):
                mask = torch.from_numpy(chosen[k, numbers])
                yield Scale(k + 1, mask, 0.0) if how == "zero" else Fill(k + 1, mask, self.plain.means[k])

        return self.run(lambda numbers: list(edits(numbers)))

    def fix_gates(self, weights: np.ndarray, block: int | None = None) -> Outcome:
        """Give the gates of all blocks, or of one (from 1), these weights: (K, Q, C) or what broadcasts to it."""
        assert self.plain.weights is not None
        full = np.broadcast_to(weights, self.plain.weights.shape)
        blocks = range(1, len(full) + 1) if block is None else [block]
        return self.run(lambda numbers: [SetGate(k, None, full[k - 1, numbers]) for k in blocks])

    def mean_film(self) -> Outcome:
        """Give every block the mean gamma and beta of all questions."""
        gammas, betas = self.plain.gammas, self.plain.betas
        assert gammas is not None
        assert betas is not None
        edits = [SetFilm(k + 1, None, gammas[k].mean(0), betas[k].mean(0)) for k in range(len(gammas))]
        return self.run(lambda numbers: edits)

    def estimate(self, values: np.ndarray, chosen: np.ndarray | None = None) -> Contrast:
        """The mean of values (Q,) with its 95 % interval, by bootstrap over images; over the questions `chosen`."""
        if chosen is None:
            return mean_estimate(values, self.bootstrap)
        return mean_estimate(values[chosen], self.bootstrap.of(chosen))


def mean_estimate(values: np.ndarray, bootstrap: ImageBootstrap) -> Contrast:
    """The mean of questions' values (Q,) with its 95 % interval."""
    drawn = bootstrap.sums(bootstrap.per_image(np.stack([values.astype(float), np.ones(len(values))], 1)))
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    return Contrast(float(values.astype(float).mean()), float(low), float(high))


def measure_removal(
    experiment: Experiment, sizes: Sequence[int], draws: int, rng: np.random.Generator
) -> list[Removal]:
    """Accuracy without the top k, the bottom k and k random channels of every block, for each ranking, removal, k."""
    plain, rows = experiment.plain, []
    for ranking, scores in plain.scores().items():
        order = np.argsort(-scores, axis=2, kind="stable")
        for k in sizes:
            top, bottom = _members(order[..., :k], scores.shape), _members(order[..., -k:], scores.shape)
            drawn = [matched_channels(plain.norms, top, rng) for _ in range(draws)]
            activation = {
                "top": float(plain.norms[top].mean()),
                "bottom": float(plain.norms[bottom].mean()),
                "random": float(np.mean([plain.norms[chosen].mean() for chosen in drawn])),
            }
            for how in REMOVALS:
                outcomes = {"top": experiment.remove(top, how), "bottom": experiment.remove(bottom, how)}
                random = [experiment.remove(chosen, how) for chosen in drawn]
                right, certainty = (np.mean([getattr(item, name) for item in random], 0) for name in _MEANS)
                outcomes["random"] = Outcome(right, certainty, random[0].best)
                rows.append(
                    Removal(
                        ranking=ranking,
                        removal=how,
                        channels=k,
                        **{name: experiment.estimate(item.right) for name, item in outcomes.items()},
                        certainty={name: float(item.certainty.mean()) for name, item in outcomes.items()},
                        extra_loss=experiment.estimate(right - outcomes["top"].right),
                        activation=activation,
                    )
                )
    return rows


_MEANS = ("right", "certainty")


def measure_gates(experiment: Experiment, rng: np.random.Generator) -> list[GateTest]:
    """Accuracy as gates stop following the question, all at once and block by block, and as FiLM does."""
    plain = experiment.plain
    tests: dict[str, Callable[[], Outcome]] = {}
    if plain.weights is not None:
        mean = plain.weights.mean(1, keepdims=True)
        shuffled = plain.weights[:, rng.permutation(plain.weights.shape[1])]
        tests = {
            "each gate at its mean weight": partial(experiment.fix_gates, mean),
            "gates of another question": partial(experiment.fix_gates, shuffled),
            "all gates of a block at their common mean": partial(experiment.fix_gates, mean.mean(2, keepdims=True)),
            "all gates open (weight 1)": partial(experiment.fix_gates, np.ones(1, np.float32)),
        }
        for k in range(1, len(plain.weights) + 1):
            tests[f"each gate at its mean weight, block {k} only"] = partial(experiment.fix_gates, mean, k)
    if plain.gammas is not None:
        tests["FiLM's gamma and beta at their means"] = experiment.mean_film
    tests["nothing added to the skip connections"] = partial(experiment.remove, np.ones_like(plain.norms, bool), "zero")
    rows = []
    for name, test in tests.items():
        found = test()
        loss = experiment.estimate(plain.right.astype(float) - found.right)
        accuracy, certainty = experiment.estimate(found.right), float(found.certainty.mean())
        rows.append(GateTest(test=name, accuracy=accuracy, loss=loss, certainty=certainty))
    return rows


def matched_channels(norms: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A boolean mask (..., C) of as many other channels as are `chosen` (..., C), of similar `norms` (..., C).

    Channels drawn uniformly would mostly be quiet ones, whose removal costs nothing whatever the ranking is worth. So
    each chosen channel gets a match: one of the three nearest in log norm that are left, at random.
    """
    flat = np.log(norms.reshape(-1, norms.shape[-1]) + _QUIET)
    picked = chosen.reshape(flat.shape)
    rows = np.arange(len(flat))
    number = int(picked[0].sum())
    number = min(number, norms.shape[-1] - number)  # beyond half of the channels there are not enough others
    # The loudest come first: loud channels are few, and quieter ones would use up their matches.
    wanted = np.sort(np.where(picked, flat, -np.inf), 1)[:, ::-1][:, :number]
    free = ~picked
    out = np.zeros_like(picked)
    for j in range(number):
        distance = np.where(free, np.abs(flat - wanted[:, j : j + 1]), np.inf)
        distance += rng.random(distance.shape) * 1e-9  # silent channels tie; without it the first would always win
        near = np.argsort(distance, 1)[:, :_NEAREST]
        left = np.minimum(free.sum(1), _NEAREST)
        one = near[rows, (rng.random(len(flat)) * left).astype(int)]
        out[rows, one], free[rows, one] = True, False
    return out.reshape(chosen.shape)


def _members(order: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    chosen = np.zeros(shape, bool)
    np.put_along_axis(chosen, order, True, axis=2)
    return chosen
