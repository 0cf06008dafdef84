"""A padded batch teaches what it does unpadded, and a step recorded as a CUDA graph what single launches teach."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training.test_trainer import TINY, options
from vqa.training import step_graphs
from vqa.training.losses import numbers
from vqa.training.setup import build_trainer
from vqa.training.step_graphs import StepGraphs, beside_default_stream, pad_batch
from vqa.training.trainer import Trainer


class OnTheHost(StepGraphs):
    """Keeps the promise of a CUDA graph without one: a replay reads the inputs' places and writes to the results'."""

    replays = 0

    def record(self, batch: Any, images: Any, terms: Any) -> Any:
        inputs = [value.clone() for value in step_graphs._flat(batch, images, terms)]
        measured = self.run(*step_graphs._rebuilt(batch, inputs, terms))
        gradients = [parameter.grad for parameter in self.parameters]

        def replay() -> None:
            self.replays += 1
            for parameter in self.parameters:
                parameter.grad = None
            again = self.run(*step_graphs._rebuilt(batch, inputs, terms))
            for name, value in again[0].items():
                measured[0][name].copy_(value)
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                assert (parameter.grad is None) == (gradient is None)
                if gradient is not None:
                    gradient.copy_(parameter.grad)
                    parameter.grad = None

        return step_graphs._Graph(SimpleNamespace(replay=replay), inputs, measured, gradients)


def trained(folder: Path, graphs: type[StepGraphs] | None, steps: int = 8, **more: Any) -> tuple[Trainer, list[dict]]:
    trainer = build_trainer(options(folder, freeze_norm=True, batch_size=16, questions_per_image=4, **more))
    sizes = (4, 16) if graphs else (None, None)
    trainer._graphs = (graphs or StepGraphs)(trainer._pass, trainer._graphs.parameters, *sizes)
    with beside_default_stream(trainer.accelerator.device):
        measured = [trainer.step(trainer.load()) for _ in range(steps)]
    trainer.data.close()
    return trainer, [{name: value.item() for name, value in each.items()} for each in measured]


def test_steps_in_padded_batches_from_a_record_teach_the_same(tmp_path: Path) -> None:
    settings = {"overrides": [*TINY, "image_size=64x96", "dropout=0"], "warmup_steps": 0, "learning_rate": 3e-3}
    plain, expected = trained(tmp_path / "plain", None, **settings)
    other, found = trained(tmp_path / "graphs", OnTheHost, **settings)
    assert isinstance(other._graphs, OnTheHost)
    assert other._graphs.replays > 2
    for one, two in zip(expected, found, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4)
    assert expected[0]["answer"] > expected[-1]["answer"] + 0.05
    assert plain.progress.questions_seen == other.progress.questions_seen
    for name, weights in plain.model.state_dict().items():
        apart = (weights.float() - other.model.state_dict()[name].float()).abs().mean()
        assert apart < 2e-3, name  # a mean, for Adam may step either way where a gradient is next to nothing


def test_questions_added_have_no_targets(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path, overrides=[*TINY, "image_size=64x96"], batch_size=12))
    batch = trainer.load()
    padded = pad_batch(batch, 40, 48)
    assert padded.input_ids.shape == padded.attention_mask.shape == (40, 48)
    length = batch.input_ids.shape[1]
    assert torch.equal(padded.input_ids[: len(batch.labels), :length], batch.input_ids)
    assert not padded.input_ids[:, length:].any()
    assert (padded.labels[len(batch.labels) :] == -100).all()
    one, two = (numbers(each.labels, each.scenes, each.steps, each.image_index) for each in (batch, padded))
    assert one == two
    assert pad_batch(batch, *batch.input_ids.shape) is batch


def test_a_step_that_cannot_be_recorded_is_taken_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Unrecordable(StepGraphs):
        def record(self, batch: Any, images: Any, terms: Any) -> Any:
            raise RuntimeError("operation not permitted when stream is capturing")

    trainer, _ = trained(tmp_path, Unrecordable, overrides=[*TINY, "image_size=64x96"])
    assert trainer.progress.step == 8
    assert capsys.readouterr().err.count("training goes on without CUDA graphs") == 1


def test_graphs_of_the_pretraining_are_forgotten_when_the_trunk_joins(tmp_path: Path) -> None:
    settings = {"overrides": [*TINY, "image_size=64x96", "dropout=0"], "pretrain_epochs": 1, "epochs": 3}
    _, expected = trained(tmp_path / "plain", None, steps=24, **settings)
    other, found = trained(tmp_path / "graphs", OnTheHost, steps=24, **settings)
    assert isinstance(other._graphs, OnTheHost)
    assert other._graphs.kind is False
    assert "answer" not in found[0]
    assert "answer" in found[-1]
    for one, two in zip(expected, found, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-3)


def test_the_default_stream_waits_even_for_an_interrupted_run(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Stream:
        def __init__(self, name: Any) -> None:
            self.name = name if isinstance(name, str) else "own"

        def wait_stream(self, other: "Stream") -> None:
            done.append(f"{self.name} waits for {other.name}")

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("default"))
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    with pytest.raises(KeyboardInterrupt), beside_default_stream(torch.device("cuda")):
        raise KeyboardInterrupt
    assert done == ["own waits for default", "default waits for own"]


def test_words_are_not_padded_beyond_what_the_text_encoder_takes() -> None:
    batch = SimpleNamespace(input_ids=torch.zeros(5, 73))
    assert StepGraphs(lambda *_: None, [], 4, 16, 77)._size(batch) == (6, 77)  # type: ignore[arg-type]
    assert StepGraphs(lambda *_: None, [], 4, 16)._size(batch) == (6, 80)  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_graph_teaches_what_separate_launches_do(precision: str, tmp_path: Path) -> None:
    class Counted(StepGraphs):
        recorded = 0

        def record(self, batch: Any, images: Any, terms: Any) -> Any:
            self.recorded += 1
            return super().record(batch, images, terms)

    settings = {"overrides": ["image_size=64x96", "dropout=0"], "steps": 16, "mixed_precision": precision}
    _, expected = trained(tmp_path / "plain", None, **settings)
    trainer, found = trained(tmp_path / "graphs", Counted, **settings)
    assert isinstance(trainer._graphs, Counted)
    assert trainer._graphs.recorded
    assert trainer._graphs.usable
    for one, two in zip(expected, found, strict=True):
        assert one == pytest.approx(two, rel=0.05, abs=0.05)
