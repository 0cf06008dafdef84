"""Which objects a question is about, step by step."""

from dataclasses import dataclass

from vqa.clevr.programs import IllPosedError, Program, execute
from vqa.clevr.scenes import Scene
from vqa.clevr.steps import reasoning_steps, step_objects


@dataclass(frozen=True)
class Referents:
    """Numbers of a scene's objects.

    Attributes: `blocks`, for each block the objects that its reasoning step leaves, None for one without a step;
    `answer`, those that the answer is read from.
    """

    blocks: tuple[tuple[int, ...] | None, ...]
    answer: tuple[int, ...]


def find_referents(program: Program, scene: Scene, blocks: int) -> Referents | None:
    """The objects that a question refers to, its last reasoning step at the last block, as training aligns them.

    None where the question has no answer on the scene, or more steps than there are blocks.
    """
    steps, readers = reasoning_steps(program)
    if len(steps) > blocks:
        return None
    try:
        sets = step_objects(steps, execute(program, scene))
    except IllPosedError:
        return None
    unused: list[tuple[int, ...] | None] = [None] * (blocks - len(steps))
    read = sorted({item for reader in readers for item in sets[reader]})
    return Referents((*unused, *sets), tuple(read))
