"""The channel-entropy guard in training, what is logged of the gates, and runs of so many question presentations."""

from pathlib import Path

import pytest
import torch

from tests.training.test_trainer import TINY, log, options
from vqa.errors import InputError
from vqa.layers.entropy import entropy_penalties
from vqa.model.modeling import FilmSEOutput
from vqa.training.losses import entropy_loss, gate_values
from vqa.training.setup import build_trainer

SMALL = [*TINY, "image_size=32x48", "num_blocks=2"]


def test_the_guard_is_a_mean_over_questions_and_blocks() -> None:
    even, collapsed = torch.ones(4, 16), torch.eye(16)[:4]
    labels = torch.tensor([3, 0, -100, 5])
    found = entropy_loss(FilmSEOutput(channel_weights=(even, collapsed)), labels)["entropy"]
    assert found.item() == pytest.approx(3 * entropy_penalties(collapsed).mean().item() / 2)


def test_each_gate_is_logged_at_every_logging_step(tmp_path: Path) -> None:
    settings = {"overrides": SMALL, "training_questions": 1600, "epochs": None, "batch_size": 64}
    build_trainer(options(tmp_path, **settings)).run()
    lines = [line for line in log(tmp_path) if "train/answer" in line]
    assert [line["step"] for line in lines] == [1, 21]
    names = {f"train/block_{k}/{name}" for k in (1, 2) for name in ("entropy", "effective_channels", "fired", "spread")}
    for line in lines:
        assert names <= line.keys()
        assert 1 <= line["train/block_1/effective_channels"] <= 16
        assert "train/entropy" not in line
        assert 0 <= line["train/gate_open"] <= 1
        assert 0 <= line["train/gate_information"] < 0.5, "in so short a run the gates learn little of the question"
    collapsed = gate_values([torch.eye(16)[:1].repeat(4, 1)], None)
    assert (collapsed["block_1/effective_channels"], collapsed["block_1/fired"]) == (1, 1)


def test_an_input_gate_is_logged_by_what_it_tells_of_the_question() -> None:
    decided = torch.tensor([[[9.0, -9, 9, -9]], [[-9.0, 9, 9, -9]]])
    found = gate_values([], decided)
    assert (found["gate_open"], found["gate_decided"]) == (0.5, 1)
    assert found["gate_information"] > 0.99
    same, hesitant = gate_values([], decided[:1].expand(5, -1, -1)), gate_values([], decided / 9)
    assert (same["gate_information"], same["gate_decided"]) == (0, 1)
    assert hesitant["gate_decided"] == 0
    # p = 0.731 and 0.269 by turns in two channels: variance 0.0534 of 0.25; the two others vary, but not by question
    spread, whole = 2 * 0.2311**2, 2 * 0.25 + 2 * 0.1966
    assert hesitant["gate_information"].item() == pytest.approx(spread / whole, rel=1e-3)


def test_the_guard_opens_gates_that_let_few_channels_through(tmp_path: Path) -> None:
    ends = {}
    for weight in (0.0, 10.0):
        folder = tmp_path / str(weight)
        settings = {
            "preset": "film-qcse-1",
            "overrides": SMALL,
            "training_questions": 1344,
            "epochs": None,
            "augment": 0,
            "warmup_steps": 0,
        }
        trainer = build_trainer(options(folder, loss_weights={"entropy": weight}, learning_rate=0.02, **settings))
        with torch.no_grad():
            for block in trainer.model.blocks:
                block.gate.expand.bias.fill_(-5).index_fill_(0, torch.tensor(0), 1.0)
        trainer.run()
        first, *_, last = [line for line in log(folder) if "train/answer" in line]
        assert first["train/block_1/fired"] == 1
        assert ("train/entropy" in last) == bool(weight)
        ends[weight] = last["train/block_1/effective_channels"], last["train/block_1/fired"]
    assert ends[0.0][0] < 2.1
    assert ends[10.0][0] > 2.2
    assert (ends[0.0][1], ends[10.0][1]) == (1, 0)


def test_a_guard_needs_a_gate(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="channel_attention"):
        build_trainer(options(tmp_path, preset="film-base", overrides=SMALL, loss_weights={"entropy": 1.0}))


def test_presentations_end_the_run_and_its_schedule_and_space_its_evaluations(tmp_path: Path) -> None:
    ends = {"training_questions": 1000, "evaluate_every": 300, "epochs": None, "overrides": SMALL}
    trainer = build_trainer(options(tmp_path, **ends))
    trainer.run()
    progress = trainer.progress
    assert 1000 <= progress.questions_seen < 1000 + 64
    seen = [entry["presentations"] for entry in progress.history]
    assert [number // 300 for number in seen] == [1, 2, 3, 3]
    assert seen[-1] == progress.questions_seen
    assert trainer.schedule.learning_rate() <= 0.011 * trainer.options.learning_rate


@pytest.mark.parametrize(
    "overrides",
    [
        ("evidence=true", "head=max"),
        ("head=pathways", "channel_attention=cbam"),
        ("evidence=false", "head=pathways"),
        ("vision_encoder=mbconv", "channel_attention=eca"),
    ],
)
def test_every_mechanism_trains_with_programs(overrides: tuple[str, ...], tmp_path: Path) -> None:
    settings = {"preset": "film-qcse-1", "overrides": [*SMALL, *overrides]}
    trainer = build_trainer(options(tmp_path, epochs=None, training_questions=128, **settings))
    trainer.run()
    assert (tmp_path / "model.safetensors").exists()
