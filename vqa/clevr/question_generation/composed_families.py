"""Question families that CLEVR lacks: its frames around other chains of relations, to train on for new compositions.

Whether a model composes is tested by CLOSURE (Bahdanau et al. 2019): referring expressions of equal meaning in each
other's places. The families made here put "left of ..." and "same color as ..." wherever the grammar admits them, up
to five reasoning steps, *except* in CLOSURE's seven forms, which thus stay a test of what was never trained on.

"And" that joins the two kinds ("left of ... and the same color as ...") takes five steps where each phrase has an
object of its own, which is CLOSURE's and_mat_spa and nothing else. So the sets of unlike pairs either speak twice of
one object, "it", or take a sixth step, after the pair or within one of its phrases.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vqa.clevr.programs import MAX_STEPS, Step
from vqa.clevr.question_generation.templates import Template, template_from_json
from vqa.clevr.split_protocols import closure_form
from vqa.clevr.vocabulary import ATTRIBUTES

Chain = tuple[str, ...]
"""Links from the first object named to the one that is meant: "relate", or "same_color" and the like."""

_LETTERS = dict(zip(ATTRIBUTES, "ZCMS", strict=True))
_INTEGERS = {
    "equal_integer": ("the same number of {} and {}", "the same as"),
    "less_than": ("fewer {} than {}", "less than"),
    "greater_than": ("more {} than {}", "greater than"),
}


def composed_templates(seed: int = 0) -> tuple[Template, ...]:
    """The families, about 150; `seed` decides which attributes the "same ... as" and query words of each are about."""
    return _templates("composition", _records(random.Random(seed)))


def unlike_templates(seed: int = 0) -> tuple[Template, ...]:
    """36 families, as many as there are of like pairs, in which "and" joins a relation and a "same ... as".

    Both hang on an object that is spoken of twice ("it"), so that five reasoning steps suffice; these are not trees: a
    step may read an earlier one than its predecessor.
    """
    return _templates("composition-2", _unlike_records(random.Random(seed), _IT))


def long_unlike_templates(seed: int = 0) -> tuple[Template, ...]:
    """36 families of six reasoning steps, in which the two phrases have an object each.

    A further link follows (12 families), or leads to the object of one phrase (24), so that the pair comes last.
    """
    return _templates("composition-long", _unlike_records(random.Random(seed), (*_TWO, *_FAR)))


COMPOSED: dict[str, Callable[[], tuple[Template, ...]]] = {
    "composition": composed_templates,
    "composition-2": lambda: (*composed_templates(), *unlike_templates()),
    "composition-long": long_unlike_templates,
}
"""The sets by name; a family's own name says in which it came up first, as in "composition.json:12"."""


def _templates(file: str, records: Iterator[dict[str, Any]]) -> tuple[Template, ...]:
    new = [record for record in records if not _known(record)]
    return tuple(template_from_json(record, (f"{file}.json", i)) for i, record in enumerate(new))


def _records(rng: random.Random) -> Iterator[dict[str, Any]]:
    """A record of the template format for each frame and each choice of chains that five reasoning steps can hold."""
    for chain in _chains(3):
        for ask in (_count, _exist, _query, _query):
            yield ask(_Words(), [_named(chain, rng)], rng)
    for pair in itertools.product(_chains(3), repeat=2):
        steps = sum(len(chain) + 1 for chain in pair)
        if steps <= MAX_STEPS:
            yield _equal(_Words(), [_named(chain, rng) for chain in pair], rng)
            yield _integers(_Words(), [_named(chain, rng) for chain in pair], rng)
        if steps < MAX_STEPS:
            yield _either(_Words(), [_named(chain, rng) for chain in pair], rng)
    for attributes in itertools.permutations(ATTRIBUTES, 2):
        for ask in (_count, _exist, _query):
            yield ask(_Words(), [(f"same_{attribute}",) for attribute in attributes], rng)


@dataclass(frozen=True)
class _Pair:
    """What two phrases joined by "and" lead to, each a link from an object of its own, or from what "it" leads to.

    links: of the phrases, in the order of the words.
    origins: how each phrase's object is found: "new", "it", a link from "it", or "new" and a link from there.
    last: the link that follows; "" for none.
    """

    links: tuple[str, str]
    origins: tuple[str, str]
    last: str = ""

    @property
    def given(self) -> set[str]:
        """The attributes that a "same ... as" gives away."""
        return {link.removeprefix("same_") for link in ((self.last,) if self.last else self.links)}


_KINDS = ("relate", "same")
_IT = (
    *((origins, "") for link in _KINDS for origins in (("it", link), (link, "it"))),
    *((("it", "it"), link) for link in _KINDS),
)
_TWO = tuple((("new", "new"), link) for link in _KINDS)
_FAR = tuple((origins, "") for link in _KINDS for origins in (("new", f"new {link}"), (f"new {link}", "new")))


def _unlike_records(rng: random.Random, forms: Sequence[tuple[tuple[str, str], str]]) -> Iterator[dict[str, Any]]:
    for origins, last in forms:
        for links in (_KINDS, _KINDS[::-1]):
            for ask in (_count, _exist, _query):
                # another attribute each time: "the same size as what is the same size as it" says nothing new
                attributes = iter(rng.sample(list(ATTRIBUTES), len(ATTRIBUTES)))
                chain = (*links, *origins, last)
                named = [f"{link}_{next(attributes)}" if link.endswith("same") else link for link in chain]
                yield ask(_Words(), _Pair((named[0], named[1]), (named[2], named[3]), named[4]), rng)


def _chains(longest: int) -> list[Chain]:
    return [chain for n in range(longest + 1) for chain in itertools.product(("relate", "same"), repeat=n)]


def _named(chain: Chain, rng: random.Random) -> Chain:
    return tuple(f"same_{rng.choice(list(ATTRIBUTES))}" if link == "same" else link for link in chain)


def _known(record: dict[str, Any]) -> bool:
    """Whether CLEVR has the family's composition (relations only, or one "same" link alone), or CLOSURE tests it."""
    steps: list[Step] = []
    for node in record["nodes"]:
        operation = node["type"].partition("_filter")[0]
        if operation.startswith("filter"):
            operation = "unique"
        steps.append(Step(operation, tuple(node["inputs"]), "left" if operation == "relate" else None))
    same, relations, sets = (
        sum(step.function.startswith(name) for step in steps) for name in ("same", "relate", "scene")
    )
    return not same or (same, relations, sets) == (1, 0, 1) or closure_form(tuple(steps)) is not None


class _Words:
    """The nodes and parameters of a family as they come to be, and what is said before the question."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.parameters: list[dict[str, str]] = []
        self.unsaid: list[str] = []
        self.nouns = 0
        self.opening = ""

    def node(self, kind: str, inputs: Sequence[int], side: Sequence[str] = ()) -> int:
        self.nodes.append({"type": kind, "inputs": list(inputs), "side_inputs": list(side)})
        return len(self.nodes) - 1

    def noun(self) -> dict[str, str]:
        """Parameters of a new noun phrase, attribute -> name."""
        self.nouns += 1
        names = {attribute: f"<{letter}{self.nouns}>" for attribute, letter in _LETTERS.items()}
        self.parameters += [{"type": attribute.capitalize(), "name": name} for attribute, name in names.items()]
        return names

    def phrase(self, chain: Chain, terminal: str, hidden: str = "") -> tuple[int, str, str, dict[str, str]]:
        """Add a chain's nodes; returns the last node, the noun's words, what follows them, and the noun's parameters.

        The words hold "{s}" and the rest "{are}" and "{have}" where the number decides; `hidden` stays unsaid.
        """
        noun = self.noun()
        at, tail = self.node("scene", []), ""
        for i, link in enumerate((*chain, "")):
            kind = f"filter_{'unique' if link else terminal}".removesuffix("_")
            before = "relate_" if i and chain[i - 1] == "relate" else ""
            side = [f"<R{self.nouns}>"] * bool(before) + list(noun.values())
            at = self.node(before + kind, [at], side)
            if not link:
                break
            words = f"the {' '.join(noun.values())}{tail.format(s='', are='is', have='has')}"
            earlier, noun = noun, self.noun()
            if link == "relate":
                self.parameters.append({"type": "Relation", "name": f"<R{self.nouns}>"})
                tail = f" [that {{are}}] <R{self.nouns}> {words}"
            else:
                attribute = link.removeprefix("same_")
                at = self.node(link, [at])
                self.unsaid += [earlier[attribute], noun[attribute]]
                tail = f" that {{are}} {_same_as(attribute, words)}"
        if hidden:
            self.unsaid.append(noun[hidden])
        return at, " ".join(noun.values()) + "{s}", tail, noun

    def link(self, link: str, at: int, origin: dict[str, str], said: str) -> tuple[int, str]:
        """Add the node of a link from the object of node `at`, said so; returns it and its words."""
        if link == "relate":
            name = f"<R{len(self.parameters)}>"
            self.parameters.append({"type": "Relation", "name": name})
            return self.node(link, [at], [name]), f"{name} {said}"
        attribute = link.removeprefix("same_")
        self.unsaid.append(origin[attribute])
        return self.node(link, [at]), _same_as(attribute, said)

    def described(self, at: int, terminal: str, links: Sequence[str], hidden: str = "") -> tuple[int, dict[str, str]]:
        """Add a noun phrase for what a node found, which says nothing that the links to it say; its node and noun."""
        noun = self.noun()
        self.unsaid += [noun[link.removeprefix("same_")] for link in links if link.startswith("same")]
        self.unsaid += [noun[hidden]] if hidden else []
        return self.node(f"filter_{terminal}", [at], list(noun.values())), noun

    def record(self, texts: Sequence[str], unequal: Sequence[int] = ()) -> dict[str, Any]:
        constraints: list[dict[str, Any]] = [{"type": "NULL", "params": [name]} for name in dict.fromkeys(self.unsaid)]
        if unequal:
            constraints.append({"type": "OUT_NEQ", "params": list(unequal)})
        if self.opening:
            texts = [f"{self.opening} {text[0].lower()}{text[1:]}" for text in texts if not text.startswith("There")]
        return {"text": list(texts), "nodes": self.nodes, "params": self.parameters, "constraints": constraints}


def _same_as(attribute: str, said: str) -> str:
    return f"{'[made of] ' * (attribute == 'material')}the same {attribute} as {said}"


def _said(noun: str, tail: str, number: str = "singular") -> str:
    many = number == "plural"
    return (noun + tail).format(s="s" * many, are="are" if many else "is", have="have" if many else "has")


def _objects(words: _Words, chains: Sequence[Chain] | _Pair, terminal: str, hidden: str = "") -> tuple[int, str, str]:
    """A node that yields what the chain, or both of two, lead to; and its words."""
    if isinstance(chains, _Pair):
        return _pair_objects(words, chains, terminal, hidden)
    if len(chains) == 1:
        at, noun, tail, _ = words.phrase(chains[0], terminal, hidden)
        return at, noun, tail
    ends, tails = [], []
    for chain in chains:
        # the origin of a last link, without the noun it leads to: both links share one
        origin, noun, tail, _ = words.phrase(chain[:-1], "unique")
        attribute = chain[-1].removeprefix("same_")
        ends.append(words.node(chain[-1], [origin]))
        tails.append(f"the same {attribute} as the {_said(noun, tail)}")
    links = [chain[-1] for chain in chains]
    at, shared = words.described(words.node("intersect", ends), terminal, links, hidden)
    return at, " ".join(shared.values()) + "{s}", f" that {{are}} {tails[0]} and {{are}} {tails[1]}"


def _pair_objects(words: _Words, pair: _Pair, terminal: str, hidden: str) -> tuple[int, str, str]:
    """As `_objects`, for a pair; its second phrase comes first in the program, as in CLEVR's own "and"."""
    it: tuple[int, dict[str, str]] | None = None
    ends: list[tuple[int, str]] = []
    for link, origin in zip(pair.links[::-1], pair.origins[::-1], strict=True):
        new, _, from_new = origin.partition(" ")
        if it is None or new == "new":
            it = words.described(words.node("scene", []), "unique", ())
            if new != "new":
                words.opening = f"There is a {' '.join(it[1].values())};"
        at, noun = it
        said = f"the {' '.join(noun.values())}" if new == "new" else "it"
        if before := from_new or (origin if new not in ("new", "it") else ""):
            found, tail = words.link(before, at, noun, said)
            at, noun = words.described(found, "unique", (before,))
            said = f"the {' '.join(noun.values())} that is {tail}"
        ends.append(words.link(link, at, noun, said))
    (second, tail), (first, head) = ends
    both = "both" if pair.last or pair.origins[0] not in ("new", "it") else "[both]"
    tail = f" that {{are}} {both} {head} and {{are}} {tail}"
    found = words.node("intersect", [second, first])
    if pair.last:
        at, noun = words.described(found, "unique", pair.links)
        said = f"the {' '.join(noun.values())}{tail.format(are='is')}"
        found, tail = words.link(pair.last, at, noun, said)
        tail = f" that {{are}} {tail}"
    at, noun = words.described(found, terminal, (pair.last,) if pair.last else pair.links, hidden)
    return at, " ".join(noun.values()) + "{s}", tail


def _free_attribute(chains: Sequence[Chain] | _Pair, rng: random.Random) -> str:
    """One to ask for: none that a last "same ... as" gives away."""
    given = chains.given if isinstance(chains, _Pair) else {c[-1].removeprefix("same_") for c in chains if c}
    return rng.choice([name for name in ATTRIBUTES if name not in given])


def _count(words: _Words, chains: Sequence[Chain] | _Pair, rng: random.Random) -> dict[str, Any]:
    _, noun, tail = _objects(words, chains, "count")
    many = _said(noun, tail, "plural")
    return words.record([f"How many {many} are there?", f"What number of {many} are there?"])


def _exist(words: _Words, chains: Sequence[Chain] | _Pair, rng: random.Random) -> dict[str, Any]:
    _, noun, tail = _objects(words, chains, "exist")
    one, many = _said(noun, tail), _said(noun, tail, "plural")
    return words.record([f"Are there any {many}?", f"Is there a {one}?", f"Is there any {one}?"])


def _query(words: _Words, chains: Sequence[Chain] | _Pair, rng: random.Random) -> dict[str, Any]:
    attribute = _free_attribute(chains, rng)
    at, noun, tail = _objects(words, chains, "unique", attribute)
    words.node(f"query_{attribute}", [at])
    one = _said(noun, tail)
    return words.record(
        [
            f"What {attribute} is the {one}?",
            f"What is the {attribute} of the {one}?",
            f"The {one} is what {attribute}?",
            f"There is a {one}; what {attribute} is it?",
            f"There is a {one}; what is its {attribute}?",
        ]
    )


def _equal(words: _Words, chains: Sequence[Chain], rng: random.Random) -> dict[str, Any]:
    attribute = _free_attribute(chains, rng)
    one, other = (words.phrase(chain, "unique", attribute) for chain in chains)
    asked = [words.node(f"query_{attribute}", [at]) for at in (one[0], other[0])]
    words.node(f"equal_{attribute}", asked)
    first, second = _said(*one[1:3]), _said(*other[1:3])
    texts = [
        f"Does the {first} have the same {attribute} as the {second}?",
        f"Is the {attribute} of the {first} the same as the {second}?",
        f"Is the {first} the same {attribute} as the {second}?",
        f"There is a {first}; does it have the same {attribute} as the {second}?",
        f"There is a {first}; is its {attribute} the same as the {second}?",
        f"There is a {first}; is it the same {attribute} as the {second}?",
    ]
    return words.record(texts, (one[0], other[0]))


def _integers(words: _Words, chains: Sequence[Chain], rng: random.Random) -> dict[str, Any]:
    comparison = rng.choice(list(_INTEGERS))
    one, other = (words.phrase(chain, "count") for chain in chains)
    words.node(comparison, [one[0], other[0]])
    first, second = (_said(*phrase[1:3], "plural") for phrase in (one, other))
    frame, compared = _INTEGERS[comparison]
    return words.record(
        [
            f"Are there {frame.format(first, second)}?",
            f"Is the number of {first} {compared} the number of {second}?",
        ]
    )


def _either(words: _Words, chains: Sequence[Chain], rng: random.Random) -> dict[str, Any]:
    one, other = (words.phrase(chain, "") for chain in chains)
    words.node("count", [words.node("union", [one[0], other[0]])])
    first, second = (_said(*phrase[1:3], "plural") for phrase in (one, other))
    frames = ("How many", "What number of")
    texts = [
        f"{many} {things} are [either] {first} or {second}?" for many in frames for things in ("things", "objects")
    ]
    return words.record(texts)  # unlike CLEVR's, both may be empty
