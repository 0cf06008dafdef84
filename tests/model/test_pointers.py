"""The stack of sets against pointers worked out from programs, and a learned pointer's part beside it."""

import pytest
import torch
import torch.nn.functional as F

from vqa.clevr.annotations import read_scenes, scenes_path
from vqa.clevr.programs import OPERATIONS, execute, reasoning_steps
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import generate_questions
from vqa.errors import InputError
from vqa.model.pointers import Pointer, SetStack
from vqa.model.presets import build_config, build_model
from vqa.training.targets import step_target
from vqa.utils.resources import shipped

BLOCKS = 6


def _read(operations, learned):
    """What blocks and head read, for indices (B, K) of operations and of what the blocks' pointers say."""
    stack = SetStack(F.one_hot(operations.long(), len(OPERATIONS)).float())
    said = F.one_hot(learned.long(), BLOCKS + 1).float()
    return torch.stack([*(stack.step(said[:, k]) for k in range(BLOCKS)), stack.beneath], 1)


def _operations(*names):
    return torch.tensor([[OPERATIONS.index(name) for name in ("none",) * (BLOCKS - len(names)) + names]])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (("scene", "left", "same_color"), [0, 0, 0, 0, 0, 0, 0]),
        (("scene", "scene", "union"), [0, 0, 0, 0, 0, 4, 0]),
        (("scene", "scene", "same_size", "union"), [0, 0, 0, 0, 0, 3, 0]),
        (("scene", "left", "scene", "right", "intersect"), [0, 0, 0, 0, 0, 3, 0]),
        (("scene", "left", "scene"), [0, 0, 0, 0, 0, 0, 5]),
        (("scene", "scene", "scene", "union", "intersect"), [0, 0, 0, 0, 3, 2, 0]),
        (("scene", "scene", "intersect", "scene"), [0, 0, 0, 0, 3, 0, 5]),
        (("scene", "scene", "union", "scene", "scene", "union"), [0, 0, 1, 0, 0, 4, 3]),
    ],
)
def test_a_join_and_a_comparison_read_the_set_beneath(steps, expected):
    read = _read(_operations(*steps), torch.zeros(1, BLOCKS))
    assert read.sum(-1).allclose(torch.ones(1, BLOCKS + 1))
    assert read.argmax(-1).tolist() == [expected]
    assert read.amax() == 1


def test_a_join_does_not_listen_to_what_its_pointer_learned():
    operations = _operations("scene", "scene", "union")
    wrong = torch.tensor([[0, 0, 0, 0, 0, 5]])
    assert _read(operations, wrong).equal(_read(operations, torch.zeros(1, BLOCKS)))


@pytest.mark.parametrize("families", [None, ["closure"], ["composition-2"], ["composition-long"]])
def test_every_family_of_questions_is_read_as_its_programs_say(families):
    scenes = read_scenes(scenes_path(shipped("data/clevr-mini"), "val"))
    made = generate_questions(scenes.values(), load_templates(families=families), 30, seed=3)
    targets = []
    for question in made:
        assert question.program is not None
        scene = scenes[question.image_filename]
        targets.append(step_target(question.program, scene, BLOCKS))
        assert execute(question.program, scene)
        assert len(reasoning_steps(question.program)[0]) <= BLOCKS
    operations = torch.tensor([target.operation.tolist() for target in targets])
    pointers = torch.tensor([target.pointers.tolist() for target in targets])
    joins = operations >= OPERATIONS.index("union")
    # the learned part says what only it can: which earlier set a relation begins from, "it"
    learned = pointers[:, :-1].masked_fill(joins, 0)
    assert _read(operations, learned).argmax(-1).equal(pointers)
    assert len(targets) > 50


def test_doubt_about_an_operation_is_doubt_about_the_pointer():
    certain = F.one_hot(_operations("scene", "scene", "union"), len(OPERATIONS)).float()
    doubtful = certain.clone()
    doubtful[0, -1] = 0
    doubtful[0, -1, [OPERATIONS.index("union"), OPERATIONS.index("left")]] = torch.tensor([0.75, 0.25])
    nothing = F.one_hot(torch.zeros(1, dtype=torch.long), BLOCKS + 1).float()
    stack = SetStack(doubtful)
    read = [stack.step(nothing) for _ in range(BLOCKS)]
    assert read[-1][0, [0, BLOCKS - 2]].tolist() == [0.25, 0.75]
    assert stack.beneath[0, [0, BLOCKS - 2]].tolist() == [0.75, 0.25], "an unread set is left for the head"


def test_gradients_reach_operations_and_pointers():
    torch.manual_seed(0)
    operations = torch.randn(2, BLOCKS, len(OPERATIONS), requires_grad=True)
    pointers = [Pointer(8, k, BLOCKS) for k in range(BLOCKS)]
    stack, view, maps = SetStack(operations.softmax(-1)), torch.randn(2, 8), torch.rand(BLOCKS, 2, 3, 3)
    chosen = [pointer(view, list(maps[:k]), maps[0], stack)[0] for k, pointer in enumerate(pointers)]
    torch.stack(chosen).square().sum().backward()
    assert operations.grad is not None
    assert (operations.grad[:, 1:-1].abs().sum(-1) > 0).all()
    assert all((pointer.score.weight.grad.abs() > 0).any() for pointer in pointers[1:])


def test_the_option_is_worth_the_heads_pointer_and_changes_nothing_else_of_the_weights():
    small = ["width=16", "text_dim=16", "word_dim=8", "stem_widths=4,4,8"]
    models = {
        name: build_model(build_config("film-qcse", [*small, f"pointer={name}"])) for name in ("stack", "learned")
    }
    stack, learned = (set(models[name].state_dict()) for name in ("stack", "learned"))
    assert learned - stack == {"head.pointer.score.weight", "head.pointer.score.bias"}
    assert stack < learned
    given = torch.rand(1, 3, 64, 96), torch.randint(2, 20, (1, 9))
    with torch.no_grad():
        read = models["stack"].eval()(*given).pointer_logits.softmax(-1)
    assert read.shape == (1, BLOCKS + 1, BLOCKS + 1)
    assert (read.tril(-0) - read).abs().amax() < 1e-4, "no block reads itself or a later one"


def test_a_stack_needs_object_attention():
    with pytest.raises(InputError, match=r"config\.pointer: 'stack' has no effect with evidence=False"):
        build_config("qcse", ["pointer=stack"])


def test_an_exported_program_takes_any_number_of_questions():
    torch.manual_seed(0)
    model = build_model(
        build_config("film-qcse", ["width=16", "text_dim=16", "word_dim=8", "stem_widths=4,4,8"])
    ).eval()
    questions, length = torch.export.Dim("questions", max=4096), torch.export.Dim("length", max=4096)

    def inputs(number, words):
        ids = torch.randint(2, 20, (number, words))
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "image_index": torch.zeros(number, dtype=torch.long),
            "image_features": features,
        }

    with torch.no_grad():
        features = model.encode_images(torch.rand(1, 3, 64, 96))
        free = {0: questions, 1: length}
        shapes = {"input_ids": free, "attention_mask": free, "image_index": {0: questions}, "image_features": {}}
        program = torch.export.export(model, (), inputs(3, 7), dynamic_shapes=shapes, strict=False)
        for size in ((1, 4), (5, 9)):
            given = inputs(*size)
            assert program.module()(**given).pointer_logits.allclose(model(**given).pointer_logits, atol=1e-5)
