"""Targets against a scene and programs worked out by hand."""

import numpy as np
import pytest
import torch

from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import OPERATIONS, program_from_json
from vqa.clevr.scenes import Scene, SceneObject, compute_relationships
from vqa.clevr.vocabulary import COLORS, SHAPES
from vqa.model.modeling import FilmSEOutput
from vqa.model.scene import STEP_SIZES, SceneMaps
from vqa.training.losses import numbers, object_cells, program_losses, scene_losses, step_losses
from vqa.training.targets import SceneTargets, StepTargets, scene_target, step_target


@pytest.fixture
def scene() -> Scene:
    objects = (
        SceneObject("cube", "red", "large", "rubber", (0.0, 0.0, 0.7), pixel_coords=(240, 160, 11.0)),
        SceneObject("sphere", "blue", "small", "metal", (-2.0, -2.0, 0.35), pixel_coords=(120, 80, 11.0)),
        SceneObject("sphere", "red", "small", "metal", (2.0, 2.0, 0.35), pixel_coords=(479, 319, 11.0)),
    )
    return Scene(objects, compute_relationships(objects))


def test_scene_target(scene: Scene) -> None:
    target = scene_target(scene)
    assert target.number == 3
    np.testing.assert_allclose(target.centre[:2], [[0.5, 0.5], [0.25, 0.25]])
    assert target.attributes[2].tolist() == [1, COLORS.index("red"), 1, SHAPES.index("sphere")]
    right, front = target.position[1]
    assert right == pytest.approx(-2 * (0.6563112735748291 + 0.7544902563095093) / 3)
    assert front == pytest.approx(-2 * (0.754490315914154 - 0.6563112735748291) / 3)
    assert scene_target(None).number == -1


def test_steps_are_aligned_from_the_last_block(scene: Scene) -> None:
    program = parse_question("How many metal things are right of the red cube?")
    target = step_target(program, scene, blocks=5)
    assert target.known
    assert [OPERATIONS[i] for i in target.operation] == ["none", "none", "none", "scene", "right"]
    assert target.filters[3].tolist() == [0, 1 + COLORS.index("red"), 0, 1 + SHAPES.index("cube")]
    assert (target.members[:3] == -1).all()
    assert target.members[3].tolist() == [1, 0, 0] + [-1] * 7
    assert target.members[4].tolist() == [0, 0, 1] + [-1] * 7
    assert target.pointers.tolist() == [0] * 6


def test_two_branches_are_pointed_at(scene: Scene) -> None:
    compared = step_target(parse_question("Are there more spheres than cubes?"), scene, blocks=5)
    assert compared.pointers.tolist() == [0, 0, 0, 0, 0, 4]
    joined = step_target(parse_question("How many things are cubes or blue things?"), scene, blocks=5)
    assert [OPERATIONS[i] for i in joined.operation[2:]] == ["scene", "scene", "union"]
    assert joined.pointers.tolist() == [0, 0, 0, 0, 3, 0]
    assert joined.members[4, :3].tolist() == [1, 1, 0]


def test_the_head_points_at_the_earlier_branch_whichever_is_named_first(scene: Scene) -> None:
    steps = [("scene",), ("filter_shape", 0, "sphere"), ("count", 1)]
    steps += [("scene",), ("filter_shape", 3, "cube"), ("count", 4)]
    program = [{"function": name, "inputs": list(rest[:1]), "value_inputs": list(rest[1:])} for name, *rest in steps]
    for inputs in ([2, 5], [5, 2]):
        compared = program_from_json([*program, {"function": "less_than", "inputs": inputs, "value_inputs": []}])
        assert step_target(compared, scene, blocks=5).pointers.tolist() == [0, 0, 0, 0, 0, 4]


def test_what_cannot_be_taught_is_unknown(scene: Scene) -> None:
    assert not step_target(None, scene, 5).known
    assert not step_target(parse_question("What color is the sphere?"), scene, 5).known, "two spheres: ill-posed"
    assert not step_target(parse_question("How many metal things are right of the red cube?"), scene, 1).known


def test_cells() -> None:
    centre = torch.tensor([[[0.0, 0.0], [0.999, 0.999], [0.5, 0.25], [-0.1, 1.2]]])
    assert object_cells(centre, 4, 6).tolist() == [[0, 23, 9, 18]]


def _batch(scene: Scene, question: str) -> tuple[SceneTargets, StepTargets]:
    device = torch.device("cpu")
    return (
        SceneTargets.of([scene_target(scene)], device),
        StepTargets.of([step_target(parse_question(question), scene, 2)], device),
    )


def test_right_readings_cost_nothing_and_wrong_ones_do(scene: Scene) -> None:
    scenes, steps = _batch(scene, "How many metal things are right of the red cube?")
    cells = object_cells(scenes.centre, 4, 6)[0, :3]
    objectness = torch.full((1, 24), -20.0)
    objectness[0, cells] = 20.0
    attributes, position = torch.zeros(1, 15, 24), torch.zeros(1, 2, 24)
    for cell, values, place in zip(cells, scenes.attributes[0], scenes.position[0], strict=False):
        for start, value in zip((0, 2, 10, 12), values, strict=True):
            attributes[0, start + value, cell] = 30.0
        position[0, :, cell] = place
    evidence = torch.full((2, 1, 24), -20.0)
    evidence[0, 0, cells[0]] = evidence[1, 0, cells[2]] = 20.0
    maps = SceneMaps(objectness.view(1, 4, 6), attributes.view(1, 15, 4, 6), position.view(1, 2, 4, 6))
    output = FilmSEOutput(
        scene=maps,
        evidence_logits=tuple(evidence.view(2, 1, 4, 6)),
        step_logits=torch.zeros(1, 2, sum(STEP_SIZES)),
        pointer_logits=torch.tensor([[[30.0, 0, 0]] * 3]),
    )
    found = scene_losses(output, scenes) | program_losses(output, steps, scenes, torch.tensor([0]))
    counted = numbers(torch.tensor([3]), scenes, steps, torch.tensor([0]))
    assert counted["evidence"] == 6, "two steps with three objects each"
    assert (counted["answer"], counted["attributes"], counted["steps"]) == (1, 3, 1)
    for name in ("objectness", "attributes", "position", "evidence", "pointers"):
        assert found[name].item() == pytest.approx(0, abs=1e-4), name
    output.evidence_logits = output.evidence_logits[::-1]
    assert program_losses(output, steps, scenes, torch.tensor([0]))["evidence"] > 10


def test_unknown_images_and_programs_count_for_nothing(scene: Scene) -> None:
    scenes, steps = _batch(scene, "How many metal things are right of the red cube?")
    scenes.number.fill_(-1)
    steps.known.fill_(False)
    output = FilmSEOutput(
        scene=SceneMaps(torch.randn(1, 4, 6), torch.randn(1, 15, 4, 6), torch.randn(1, 2, 4, 6)),
        evidence_logits=tuple(torch.randn(2, 1, 4, 6)),
        step_logits=torch.randn(1, 2, sum(STEP_SIZES)),
        pointer_logits=torch.randn(1, 3, 3),
    )
    found = scene_losses(output, scenes) | step_losses(output, steps)
    found |= program_losses(output, steps, scenes, torch.tensor([0]))
    counted = numbers(torch.tensor([-100]), scenes, steps, torch.tensor([0]))
    for name, loss in found.items():
        assert loss == 0, name
        assert counted[name] == 0, name
