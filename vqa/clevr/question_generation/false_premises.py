"""Premises that fail: a phrase with "the" that names nothing in the scene ("absent"), or several objects ("ambiguous").

Such questions are ordinary ones about an altered scene, in which an object looks otherwise or some are missing. So
words and programs are as in any question, and what fails is often near to what is there: "the small red cube" where the
small cube is blue.
"""

import random
from dataclasses import replace
from typing import Any

from vqa.clevr.language.describe import describe
from vqa.clevr.programs import IllPosedError, Program, execute
from vqa.clevr.scenes import Scene
from vqa.clevr.vocabulary import ATTRIBUTES


def false_premise(program: Program, scene: Scene) -> tuple[str, str] | None:
    """Of the first "the" that a scene does not fit: "absent" or "ambiguous", and the phrase; None where all fit."""
    for i, step in enumerate(program):
        if step.function == "unique":
            try:
                execute(program[: i + 1], scene)
            except IllPosedError:
                found = execute(program[:i], scene)[step.inputs[0]]
                return "ambiguous" if found else "absent", describe(program, i)
    return None


def altered_scene(scene: Scene, kind: str, rng: random.Random) -> Scene:
    """A scene of which questions hold whose premise is likely to fail in the true one, which has an object or more.

    For "absent" one to all attributes of an object change; for "ambiguous" up to a third of the objects go.
    """
    number = len(scene.objects)
    if kind == "absent":
        i = rng.randrange(number)
        changed = rng.sample(list(ATTRIBUTES), rng.randint(1, len(ATTRIBUTES)))
        values: dict[str, Any] = {
            name: rng.choice([value for value in ATTRIBUTES[name] if value != getattr(scene.objects[i], name)])
            for name in changed
        }
        objects = [*scene.objects]
        objects[i] = replace(objects[i], **values)
        return replace(scene, objects=tuple(objects))
    kept = sorted(rng.sample(range(number), number - rng.randint(1, max(1, number // 3))))
    place = {j: new for new, j in enumerate(kept)}
    relationships = {
        name: [[place[j] for j in rows[i] if j in place] for i in kept] for name, rows in scene.relationships.items()
    }
    return replace(scene, objects=tuple(scene.objects[i] for i in kept), relationships=relationships)
