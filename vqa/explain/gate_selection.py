"""Do gates select by the question, and do they mean what they open?

Four measures: what an input gate opens, and which concept the opened channels track; how much of a gate's variance the
question explains; whether an attribute can be read through the gates of a question about another one; and whether
answers follow an attribute that the question has nothing to do with.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import Program, asked_attribute, reasoning_steps
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene, SceneObject
from vqa.clevr.vocabulary import ATTRIBUTES, SYNONYMS
from vqa.evaluation.metrics import Contrast
from vqa.explain.anova import variance_shares
from vqa.explain.concepts import CONCEPTS, KINDS, PERCENTILE, PERMUTATIONS, Units, concept_areas, find_regions
from vqa.explain.faithfulness import Experiment
from vqa.explain.interventions import twin_of
from vqa.explain.probe_set import ProbeSet
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.scene import ATTRIBUTE_SIZES, SceneMaps
from vqa.utils.records import Count, Number, Share

PAIRS = 500
_STARTS = np.cumsum([0, *ATTRIBUTE_SIZES])


@dataclass(frozen=True, kw_only=True)
class Openings:
    """What an input gate opens.

    `share` is the open share of the channels of a question's blocks and its head; `by_attribute` how often the head
    opens each group of channels, by the attribute asked; `shut` how many questions open no channel of a group at all.
    """

    share: Share
    by_attribute: dict[str, dict[str, Share]]
    shut: dict[str, Share] | None = None


@dataclass(frozen=True, kw_only=True)
class OpenConcepts:
    """Which concepts the open channels track, by the attribute that a block's step names or compares, or is asked.

    `tracked` has for each channel its concept and ROC area, and the best area with permuted labels; None for one that
    does not exceed it. `table` counts open channels, attribute needed ("nothing" too) -> kind of concept; `diagonal` is
    the share of the open channels whose concept is needed, `opened` the share of needed attributes that are open.
    """

    tracked: list[tuple[str | None, Number, Number]]
    table: dict[str, dict[str, Number]]
    diagonal: Share
    opened: Share


@dataclass(frozen=True, kw_only=True)
class SwappedGates:
    """Questions for an attribute: accuracy with their own gates, with those of the question about another attribute of
    the same object, and of always giving the most common answer."""

    questions: Count
    own: Contrast
    swapped: Contrast
    majority: Share


@dataclass(frozen=True, kw_only=True)
class Swap(SwappedGates):
    """Pairs of questions about one object that differ in the attribute asked, each with the gates of the other.

    `same_answer` is how often the answer stays under the gates of a paraphrase.
    """

    pairs: Count
    same_answer: Contrast
    by_attribute: dict[str, SwappedGates]


@dataclass(frozen=True)
class Reliance(Contrast):
    """The share of answers that change as every object's value of an attribute is exchanged, or opened to the model."""

    questions: Count


def measure_openings(experiment: Experiment) -> Openings:
    """Which attribute channels an input gate opens."""
    weights = experiment.plain.weights
    assert weights is not None
    groups = dict(zip(ATTRIBUTES, np.split(weights, _STARTS[1:-1], axis=2), strict=True))
    asked = np.array([asked_attribute(question.program or ()) or "" for question in experiment.probes.questions])
    rows = {
        name: {other: float(group[-1, asked == name].mean()) for other, group in groups.items()}
        for name in ATTRIBUTES
        if (asked == name).any()
    }
    shut = {name: float((group.max((0, 2)) == 0).mean()) for name, group in groups.items()}
    return Openings(share=float(weights.mean()), by_attribute=rows, shut=shut)


def measure_variance(experiment: Experiment, seed: int) -> dict[str, float]:
    """Shares of the variance of all gates' weights that question and image explain, where all are asked about all."""
    crossing = experiment.probes.crossing(seed)
    weights = experiment.on(crossing).plain.weights
    assert weights is not None
    images = len(np.unique(crossing.images))
    table = weights.transpose(1, 0, 2).reshape(images, len(crossing.questions) // images, -1)
    return variance_shares(table, crossing.types[: table.shape[1]])


def measure_concepts(experiment: Experiment, seed: int) -> OpenConcepts:
    """Which concepts the channels that an input gate opens track on objects, beside what the questions need."""
    model, probes, weights = experiment.model, experiment.probes, experiment.plain.weights
    assert weights is not None
    areas, baseline = attribute_areas(model, probes, seed)
    best = areas.argmax(1)
    tracked = [CONCEPTS[i] if areas[c, i] > baseline[c] else None for c, i in enumerate(best)]
    kinds = ["nothing" if name is None else KINDS[name] for name in tracked]
    names = [*ATTRIBUTES, "nothing"]
    table = {name: dict.fromkeys([*ATTRIBUTES, *sorted(set(kinds) - set(ATTRIBUTES))], 0.0) for name in names}
    needed_and_open = []
    for number, question in enumerate(probes.questions):
        for needed, opened in zip(needs(question.program or (), len(weights) - 1), weights[:, number], strict=True):
            if needed is None:
                continue
            seen = [kinds[c] for c in np.flatnonzero(opened)]
            needed_and_open += [name in seen for name in needed]
            for kind in seen:
                rows = [kind] if kind in needed else needed or ["nothing"]
                for name in rows:
                    table[name][kind] += 1 / len(rows)
    total = sum(sum(row.values()) for row in table.values())
    return OpenConcepts(
        tracked=list(zip(tracked, areas.max(1).tolist(), baseline.tolist(), strict=True)),
        table=table,
        diagonal=sum(table[name][name] for name in ATTRIBUTES) / max(total, 1),
        opened=float(np.mean(needed_and_open)) if needed_and_open else 0.0,
    )


def needs(program: Program, blocks: int) -> list[list[str] | None]:
    """The attributes that each block's step names or compares, and last those that are asked; None without a step."""
    steps, _ = reasoning_steps(program)
    named: list[set[str | None]] = [{*step.filters, step.operation.removeprefix("same_")} for step in steps]
    found = [[name for name in ATTRIBUTES if name in names] for names in (*named, {asked_attribute(program)})]
    unused: list[list[str] | None] = [None] * (blocks - len(steps))
    return [*unused, *found][-blocks - 1 :]


@torch.inference_mode()
def attribute_areas(
    model: FilmSEForVisualQuestionAnswering, probes: ProbeSet, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """ROC areas (15, concepts) of the attribute channels on objects, and the best ones by chance (15,)."""
    regions = find_regions(probes.scenes, probes.boxes, *probes.features.shape[2:])
    maps = model.scene(probes.features).per_question(None).maps[:, 3:].flatten(2).transpose(1, 2).float().cpu().numpy()
    parts = [np.split(m @ x, [n]) for m, x, n in zip(regions.masks, maps, np.diff(regions.first), strict=True)]
    values = [value for side in zip(*parts, strict=True) for value in side]
    owner = np.arange(len(regions.labels))
    units = Units(
        values=np.concatenate(values),
        question=np.repeat(np.tile(np.arange(len(maps)), 2), [len(value) for value in values]),
        active=np.ones((len(maps), maps.shape[2]), bool),
        owner=owner,
        asked=np.full(len(owner), -1),
    )
    areas, by_chance = concept_areas(units, regions, permutations=PERMUTATIONS, seed=seed)
    return areas, np.percentile(by_chance, PERCENTILE, axis=0)


@dataclass
class AttributePairs:
    """Pairs of simple questions: for each the image, the object, its description, and two attributes to ask it for."""

    experiment: Experiment
    pairs: list[tuple[int, SceneObject, list[str], str, str]]

    @classmethod
    def sample(cls, experiment: Experiment, seed: int, most: int = PAIRS) -> "AttributePairs":
        """Up to `most` about the images of an experiment."""
        found = [(image, *pair) for image, scene in enumerate(experiment.probes.scenes) for pair in _pairs(scene)]
        chosen = np.random.default_rng((seed, 2)).permutation(len(found))[:most]
        return cls(experiment, [found[i] for i in chosen])

    def ask(self, text: str, words: Mapping[str, str], sides: Sequence[int]) -> Experiment:
        """All pairs' questions about one attribute, 0 or 1, after another, in other `words`."""
        listed = []
        for side in sides:
            for _, item, described, *names in self.pairs:
                said = " ".join(words.get(word, word) for word in described)
                question = text.format(attribute=names[side], described=said)
                listed.append(Question(question, getattr(item, names[side]), parse_question(question)))
        return self.about(listed, np.tile([image for image, *_ in self.pairs], len(sides)))

    def about(self, listed: list[Question], images: np.ndarray) -> Experiment:
        """Questions about these images of the experiment."""
        tokens = self.experiment.processor.encode_questions([question.question for question in listed])
        return self.experiment.on(replace(self.experiment.probes, questions=listed, tokens=tokens, images=images))

    @cached_property
    def counts(self) -> tuple[Experiment, np.ndarray]:
        """How many objects of one object's size, color, material and shape there are, in each image of the pairs, and
        the attribute that each question names."""
        listed, images = [], sorted({image for image, *_ in self.pairs})
        for image in images:
            objects = self.experiment.probes.scenes[image].objects
            for name in ATTRIBUTES:
                value = getattr(objects[image % len(objects)], name)
                question = f"How many {value}s are there?" if name == "shape" else f"How many {value} things are there?"
                answer = str(sum(getattr(item, name) == value for item in objects))
                listed.append(Question(question, answer, parse_question(question)))
        return self.about(listed, np.repeat(images, len(ATTRIBUTES))), np.tile(list(ATTRIBUTES), len(images))

    @cached_property
    def plain(self) -> Experiment:
        """The questions about the first attributes, then those about the second."""
        return self.ask("What {attribute} is the {described}?", {}, (0, 1))

    @cached_property
    def asked(self) -> np.ndarray:
        """The attributes that `plain` asks for."""
        return np.array([asked_attribute(question.program or ()) for question in self.plain.probes.questions])


def measure_swap(pairs: AttributePairs) -> Swap:
    """Whether an attribute can be read through the gates of the question about another one."""
    own, asked = pairs.plain, pairs.asked
    half = len(asked) // 2
    reworded = pairs.ask("What is the {attribute} of the {described}?", _OTHER_WORDS, (0, 1)).plain.weights
    assert own.plain.weights is not None
    assert reworded is not None
    swapped, same = own.fix_gates(np.roll(own.plain.weights, half, axis=1)), own.fix_gates(reworded)

    def accuracies(chosen: np.ndarray) -> dict[str, Any]:
        labels = own.labels[chosen]
        return {
            "questions": len(labels),
            "own": own.estimate(own.plain.right, chosen),
            "swapped": own.estimate(swapped.right, chosen),
            "majority": sum(np.bincount(labels[asked[chosen] == name]).max() for name in set(asked[chosen]))
            / len(labels),
        }

    return Swap(
        **accuracies(np.ones(len(asked), bool)),
        pairs=half,
        same_answer=own.estimate(same.best == own.plain.best),
        by_attribute={name: SwappedGates(**accuracies(asked == name)) for name in ATTRIBUTES if (asked == name).any()},
    )


_OTHER_WORDS = {"thing": "object"} | {value: words[-1] for value, words in SYNONYMS.items() if value != words[-1]}


def _pairs(scene: Scene) -> Iterator[tuple[SceneObject, list[str], str, str]]:
    """Objects that can be asked for two attributes: the object, its description by others, and the two."""
    for one, other in combinations(ATTRIBUTES, 2):
        rest = [name for name in ATTRIBUTES if name not in (one, other)]
        for names in (rest[:1], rest[1:], rest):
            of = [tuple(getattr(item, name) for name in names) for item in scene.objects]
            for item, values in zip(scene.objects, of, strict=True):
                if of.count(values) == 1:
                    yield item, [*values, *([] if "shape" in names else ["thing"])], one, other


def measure_reliance(pairs: AttributePairs) -> dict[str, dict[str, dict[str, Reliance]]]:
    """How many answers change with an attribute that a question has nothing to do with.

    "exchanged": every object's value of it is exchanged for the next one where the model reads it (what the blocks of
    a model with `trunk_features` read otherwise is not). "opened", of an input gate: all blocks and the head may read
    it. Change -> kind of question -> attribute changed. The questions ask for one attribute ("asks for color"), or
    count the objects of one value ("counts by color"), and do not name the changed one; where it is theirs, answers
    must follow its exchange.
    """
    tables: dict[str, dict[str, dict[str, Reliance]]] = {}
    for kind, experiment, about in (("asks for", pairs.plain, pairs.asked), ("counts by", *pairs.counts)):
        plain, questions = experiment.plain, experiment.probes.questions
        named = [{step.function.partition("_")[2] for step in (question.program or ())} for question in questions]
        for k, changed in enumerate(ATTRIBUTES):
            part = slice(_STARTS[k], _STARTS[k + 1])
            twin = twin_of(experiment.model)
            twin.scene = _Exchanged(experiment.model.scene, part)
            outcomes = {"exchanged": experiment.ask(lambda numbers, twin=twin: twin)}  # type: ignore[misc]
            if experiment.model.input_gate is not None and plain.weights is not None:
                opened = plain.weights.copy()
                opened[..., part] = 1
                outcomes["opened"] = experiment.fix_gates(opened)
            for change, outcome in outcomes.items():
                for name in ATTRIBUTES:
                    chosen = (about == name) & np.array([name == changed or changed not in names for names in named])
                    if chosen.any():
                        differ = asdict(experiment.estimate(outcome.best != plain.best, chosen))
                        row = tables.setdefault(change, {}).setdefault(f"{kind} {name}", {})
                        row[changed] = Reliance(**differ, questions=int(chosen.sum()))
    return tables


class _Exchanged(nn.Module):
    """A scene head that reads each value of an attribute as the next one."""

    def __init__(self, head: nn.Module, part: slice) -> None:
        super().__init__()
        self.head, self.part = head, part

    def forward(self, features: Tensor) -> SceneMaps:
        maps = self.head(features)
        attributes = maps.attributes.clone()
        attributes[:, self.part] = attributes[:, self.part].roll(1, 1)
        return replace(maps, attributes=attributes)
