"""Splits that test generalization to new compositions, each a selection over (scene, question) rows.

A protocol has a part to train on and parts to test on. A part is a function of one row, so that any dataset with
scenes and programs can be filtered as it is read and no image is copied. The training part is for a training split's
rows, the test parts for those of a split with other images: some repeat the training condition, to measure the gap.
"""

import hashlib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vqa.clevr.programs import IllPosedError, Program, execute, reasoning_steps, signature
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene, SceneObject
from vqa.clevr.vocabulary import ATTRIBUTES, COGENT_COLORS, RELATIONS
from vqa.errors import InputError

Part = Callable[[Scene | None, Question], bool]
"""Whether a row belongs. Raises InputError where the scene or program it needs is missing."""


@dataclass(frozen=True)
class SplitProtocol:
    """What to train on and what to test on, decided row by row.

    `train_images` says whether training may show an image at all: of another, no question is in `train`.
    """

    name: str
    description: str
    source: str
    train: Part
    tests: Mapping[str, Part]
    train_images: Callable[[Scene], bool] = field(default=lambda scene: True)

    @property
    def parts(self) -> dict[str, Part]:
        """Part name -> selection, `train` first."""
        return {"train": self.train, **self.tests}


def cogent() -> SplitProtocol:
    """CoGenT: train on condition A, test on A and B. An image of spheres alone keeps both conditions.

    Source: Johnson et al. 2017, section 4.7. The published files were rendered under their conditions; here images
    that happen to keep one are selected, which also works on CLEVR itself (about one image in ten keeps A).
    """

    def keeps(condition: str) -> Part:
        return lambda scene, question: condition in cogent_conditions(_scene(scene, question))

    return SplitProtocol(
        "cogent",
        "train: gray, blue, brown, yellow cubes; red, green, purple, cyan cylinders; test: the same (A), swapped (B)",
        "Johnson et al. 2017, CLEVR, section 4.7",
        keeps("cogent-a"),
        {"A": keeps("cogent-a"), "B": keeps("cogent-b")},
        lambda scene: "cogent-a" in cogent_conditions(scene),
    )


def cogent_conditions(scene: Scene) -> frozenset[str]:
    """Which of the CoGenT conditions (`cogent-a`, `cogent-b`) all objects of a scene keep: none, one or both."""
    return frozenset(name for name in COGENT_COLORS if not cogent_offenders(scene, name))


def cogent_offenders(scene: Scene, condition: str) -> list[int]:
    """The objects whose color their shape may not have under `cogent-a` or `cogent-b`."""
    allowed = COGENT_COLORS[condition]
    return [i for i, item in enumerate(scene.objects) if item.color not in allowed[item.shape]]


def size_depth(objects: int = 6, depth: int = 4) -> SplitProtocol:
    """Train on small scenes and shallow programs, test on the four quadrants.

    objects: a scene is `few` with fewer objects than this, else `many`.
    depth: a program is `shallow` below this `program_depth`, else `deep`. At 4, three-hop questions are deep.

    Source: after Mao et al. 2019 (The Neuro-Symbolic Concept Learner), who vary the same two quantities. They count the
    depth in a language of their own, so that figures compare within this protocol only.
    """

    def quadrant(few: bool, shallow: bool) -> Part:
        return lambda scene, question: (
            (len(_scene(scene, question).objects) < objects) == few
            and (program_depth(_program(question)) < depth) == shallow
        )

    return SplitProtocol(
        "size-depth",
        f"train: fewer than {objects} objects and programs shallower than {depth}; test: the four quadrants",
        "after Mao et al. 2019, Neuro-Symbolic Concept Learner (combinatorial generalization)",
        quadrant(True, True),
        {
            f"{'few' if few else 'many'}-{'shallow' if shallow else 'deep'}": quadrant(few, shallow)
            for few in (True, False)
            for shallow in (True, False)
        },
        lambda scene: len(scene.objects) < objects,
    )


def program_depth(program: Program) -> int:
    """The greatest number of object sets on a path from a `scene` step to the answer.

    Each of scene, relate, same_*, union and intersect makes a new set and counts one. filter_* and unique only narrow a
    set, and count, exist, query_* and the comparisons read one: they count nothing. So zero-hop questions have depth 1,
    one-hop and same-relate 2, two-hop and "and" 3, three-hop 4, and a comparison that of its deeper side.
    """
    depths: list[int] = []
    for step in program:
        makes_set = step.function in ("scene", "relate", "union", "intersect") or step.function.startswith("same_")
        depths.append(makes_set + max((depths[j] for j in step.inputs), default=0))
    return depths[-1]


Pair = tuple[str, str]
"""Two values of two attributes, as in ("red", "cube")."""

HELD_OUT_PAIRS: tuple[Pair, ...] = (("red", "cube"), ("yellow", "cylinder"), ("cyan", "sphere"))
"""One color for each shape: 44 % of CLEVR's images have none of them, and all six values are seen elsewhere."""


def attribute_pairs(pairs: Sequence[Pair] = HELD_OUT_PAIRS) -> SplitProtocol:
    """Hold out objects with given pairs of attribute values from training, in images and in words.

    train, seen: no object of the image has a held-out pair, and the question names none.
    unseen: the question names a held-out pair, or an object with one is among those it is about (`referents`).
    Questions about other objects of such images belong nowhere.

    Source: the held-out pairs of CLEVR-HOPE (Berlot-Attwell et al. 2024), on CLEVR's own questions.
    """
    wanted = [(attribute_of(a), a, attribute_of(b), b) for a, b in pairs]
    for first, a, second, b in wanted:
        if first == second:
            raise InputError(f"pair {a}:{b}: both are a {first}; give values of two attributes, as in red:cube")

    def held_out(item: SceneObject) -> bool:
        return any(getattr(item, first) == a and getattr(item, second) == b for first, a, second, b in wanted)

    def names(program: Program) -> bool:
        chains = [step.filters for step in reasoning_steps(program)[0]]
        return any(
            chain.get(first) == a and chain.get(second) == b for chain in chains for first, a, second, b in wanted
        )

    def seen(scene: Scene | None, question: Question) -> bool:
        return not any(map(held_out, _scene(scene, question).objects)) and not names(_program(question))

    def unseen(scene: Scene | None, question: Question) -> bool:
        scene, program = _scene(scene, question), _program(question)
        return names(program) or any(held_out(scene.objects[i]) for i in referents(program, scene))

    words = ", ".join(f"{a} {b}" for a, b in pairs)
    return SplitProtocol(
        "attribute-pairs",
        f"train: no {words} in image or question; test: seen (the same), unseen (about such objects)",
        "after Berlot-Attwell et al. 2024, Attribute Diversity Determines the Systematicity Gap in VQA (CLEVR-HOPE)",
        seen,
        {"seen": seen, "unseen": unseen},
        lambda scene: not any(map(held_out, scene.objects)),
    )


def attribute_of(value: str) -> str:
    """The attribute that has this value. Raises InputError for a word that is none of CLEVR's values."""
    owners = {known: name for name, values in ATTRIBUTES.items() for known in values}
    if value not in owners:
        raise InputError(f"{value!r:.80} is not an attribute value; known are {', '.join(owners)}")
    return owners[value]


def referents(program: Program, scene: Scene) -> frozenset[int]:
    """The objects a question is about: members of the sets that its phrases end in, after their filters.

    The whole scene counts only where the question asks about it ("How many things are there?"). An ill-posed program is
    about nothing.
    """
    try:
        outputs = execute(program, scene)
    except IllPosedError:
        return frozenset()
    read = [j for step in program if not step.function.startswith("filter_") for j in step.inputs]
    sets = (outputs[j] for j in (*read, -1))
    return frozenset(i for found in sets if isinstance(found, tuple) for i in found)


def held_out_families(families: Collection[str] | None = None, share: float = 0.2, seed: int = 0) -> SplitProtocol:
    """Hold out question families.

    families: those to hold out, by `Question.family`: "one_hop.json:3", a whole template file ("one_hop.json") or a
        program's signature.
    share, seed: without `families`, each is held out with this probability, decided by the seed and its program's
        signature alone, which is the same in every file; its name, which is not, serves where there is no program.

    Source: families as in Johnson et al. 2017, section 3; holding whole ones out is how CLOSURE (Bahdanau et al. 2019)
    differs from CLEVR.
    """
    chosen = None if families is None else frozenset(families)
    if chosen is not None and not chosen:
        raise InputError("held-out families: name at least one, as in one_hop.json:3")
    if not 0 < share < 1:
        raise InputError(f"share {share}: expected a number between 0 and 1")

    def unseen(scene: Scene | None, question: Question) -> bool:
        family = question.family
        if family is None:
            raise InputError(f"{_name(question)} has neither a template nor a program: its family is unknown")
        if chosen is not None:
            return family in chosen or question.template_filename in chosen
        kind = signature(question.program) if question.program else family
        digest = hashlib.sha256(f"{seed}/{kind}".encode()).digest()
        return int.from_bytes(digest[:8]) < share * 2**64

    def seen(scene: Scene | None, question: Question) -> bool:
        return not unseen(scene, question)

    what = f"families drawn with seed {seed} (share {share:g})" if chosen is None else ", ".join(sorted(chosen))
    return SplitProtocol(
        "families",
        f"held out: {what}; train: the others; test: seen, unseen",
        "families: Johnson et al. 2017, CLEVR, section 3",
        seen,
        {"seen": seen, "unseen": unseen},
    )


CLOSURE_SHAPES: dict[str, tuple[str, ...]] = {
    "and_mat_spa": ("same(scene)&relate(scene)",),
    "embed_spa_mat": ("same(relate(scene))",),
    "embed_mat_spa": ("relate(same(scene))",),
    "compare_mat": ("same(scene)", "scene"),
    "compare_mat_spa": ("same(scene)", "relate(scene)"),
    "or_mat": ("same(scene)|scene",),
    "or_mat_spa": ("same(scene)|relate(scene)",),
}
"""Form -> how the object sets that its answer reads are made, as `closure_form` writes them.

In the order in which question families are loaded: what a seed makes depends on it.
"""

CLOSURE_FORMS = tuple(sorted(CLOSURE_SHAPES))
"""The seven forms, by the names of the published files."""

_CLOSURE_FORM_OF = {shapes: form for form, shapes in CLOSURE_SHAPES.items()}


def closure() -> SplitProtocol:
    """CLOSURE: train on CLEVR's questions, test on seven forms that combine "same ... as" phrases in new ways.

    The form is read from the program (`closure_form`), so that files of any naming work.
    Source: Bahdanau et al. 2019, CLOSURE, section 3 and table 1.
    """

    def has_form(form: str | None) -> Part:
        return lambda scene, question: closure_form(_program(question)) == form

    return SplitProtocol(
        "closure",
        "train: CLEVR's questions; test: the same (clevr) and CLOSURE's seven forms",
        "Bahdanau et al. 2019, CLOSURE: Assessing Systematic Generalization of CLEVR Models",
        has_form(None),
        {"clevr": has_form(None), **{form: has_form(form) for form in CLOSURE_FORMS}},
    )


def closure_form(program: Program) -> str | None:
    """Which of `CLOSURE_FORMS` a program has, or None for those of CLEVR itself and any other."""
    steps, readers = reasoning_steps(program)
    if len(steps) > 6:
        return None
    shapes: list[str] = []
    for step in steps:
        inputs = sorted((shapes[j] for j in step.inputs), key=_same_first)
        if step.operation == "scene":
            shapes.append("scene")
        elif step.operation in ("union", "intersect"):
            shapes.append(("|" if step.operation == "union" else "&").join(inputs))
        else:
            shapes.append(f"{'relate' if step.operation in RELATIONS else 'same'}({inputs[0]})")
    read = tuple(sorted((shapes[j] for j in readers), key=_same_first))
    form = _CLOSURE_FORM_OF.get(read)
    if form and form.startswith("compare") and program[-1].function.removeprefix("equal_") not in ATTRIBUTES:
        return None
    return form


def _same_first(shape: str) -> tuple[bool, str]:
    return (not shape.startswith("same"), shape)


_MAKERS: dict[str, Callable[..., SplitProtocol]] = {
    "cogent": cogent,
    "size-depth": size_depth,
    "attribute-pairs": attribute_pairs,
    "families": held_out_families,
    "closure": closure,
}
SPLITS = {name: make() for name, make in _MAKERS.items()}
"""The protocols with their usual settings, by name."""

TRAINING_PARTS: dict[str, SplitProtocol] = {
    "cogent-a": SPLITS["cogent"],
    **{name: SPLITS[name] for name in ("size-depth", "attribute-pairs", "families")},
}
"""The protocols by what training on them is called; closure's is CLEVR itself."""


def make_protocol(name: str, settings: Mapping[str, Any] | None = None) -> SplitProtocol:
    """A protocol by its name in `SPLITS`, with settings of its function instead of the usual ones; None is not given.

    Pairs may be written "red:cube". Raises InputError for an unknown name, and for a setting it does not have.
    """
    maker = _MAKERS.get(name)
    if maker is None:
        raise InputError(f"{name!r:.80} is not a split protocol; known are {', '.join(SPLITS)}")
    given = {key: value for key, value in (settings or {}).items() if value is not None}
    if unknown := sorted(given.keys() - inspect.signature(maker).parameters.keys()):
        raise InputError(f"{name} has no setting {unknown[0]!r}")
    if "pairs" in given:
        given["pairs"] = [_pair(pair) for pair in given["pairs"]]
    return maker(**given)


def _pair(pair: str | Pair) -> Pair:
    first, _, second = pair.partition(":") if isinstance(pair, str) else (pair[0], "", pair[1])
    return first, second


def _scene(scene: Scene | None, question: Question) -> Scene:
    if scene is None:
        raise InputError(f"{_name(question)} has no scene, which this split is decided from: give a scene file")
    return scene


def _program(question: Question) -> Program:
    if question.program is None:
        raise InputError(f"{_name(question)} has no program, which this split is decided from")
    return question.program


def _name(question: Question) -> str:
    return f"question {question.question_index} on {question.image_filename or question.image_index}"
