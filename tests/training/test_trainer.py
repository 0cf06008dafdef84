"""Training through the real command: resumed, killed, run on two processes, interrupted by bad input."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vqa.clevr.annotations import questions_path, read_questions, write_questions
from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import answer_string, execute
from vqa.cli import main
from vqa.errors import InputError
from vqa.inference.checkpoints import load_checkpoint
from vqa.training import online_questions
from vqa.training.checkpointing import FILE, load_state
from vqa.training.data import TrainingData
from vqa.training.initial_model import ENCODERS, IMAGE_ENCODERS, TEXT_ENCODERS
from vqa.training.online_questions import OnlineQuestions, QuestionMaker
from vqa.training.options import TrainingOptions
from vqa.training.setup import build_trainer
from vqa.training.targets import stacked, step_target
from vqa.utils.resources import shipped

TINY = ["width=16", "text_dim=32", "word_dim=16", "stem_widths=8,16,16", "stem_blocks=1", "classifier_dim=32"]
MINI = str(shipped("data/clevr-mini"))


def options(output: Path, **changes: object) -> TrainingOptions:
    settings: dict = {
        "data": MINI,
        "out": str(output),
        "overrides": [*TINY, "image_size=64x96"],
        "epochs": 2,
        "batch_size": 64,
        "mixed_precision": "no",
        "evaluate_minutes": 1000,
        "save_minutes": 1000,
    }
    return TrainingOptions(**settings | changes)


def command(output: Path, *more: str) -> list[str]:
    flags = ["--data", MINI, "--out", str(output), "--set", *TINY, "image_size=64x96", "--mixed-precision", "no"]
    return ["train", *flags, "--batch-size", "64", "--save-minutes", "0", "--evaluate-minutes", "0", *more]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_first_training(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(command(tmp_path / "run", "--epochs", "1")) == 0
    assert "held-out accuracy" in capsys.readouterr().out
    folder = tmp_path / "run"
    record = json.loads((folder / "training.json").read_text())
    measured = [line for line in log(folder) if "held_out_accuracy" in line]
    best = max(measured, key=lambda line: (line["held_out_accuracy"], line["step"]))
    assert record["presentations"] == best["presentations"]
    assert record["held_out"]["accuracy"] == best["held_out_accuracy"]
    card = (folder / "README.md").read_text()
    assert "clevr-mini train" in card
    assert "programs" in card
    assert (folder / "learning_curve.png").stat().st_size > 1000
    assert not list(folder.glob("*.bin")) + list(folder.glob("*.pt")) + list(folder.glob("*.pkl"))


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_loss_falls(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path, epochs=12, learning_rate=4e-3, warmup_steps=5, holdout=0, augment=0))
    trainer.run()
    losses = [line for line in log(tmp_path) if "train/answer" in line]
    for name in ("answer", "objectness", "attributes", "position", "steps"):
        assert losses[-1][f"train/{name}"] < 0.9 * losses[0][f"train/{name}"], name


@pytest.mark.parametrize("cut", [1, 5])
def test_a_cut_run_resumed_is_the_straight_run(tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = build_trainer(options(tmp_path / "straight"))
    straight.run()
    broken = build_trainer(options(tmp_path / "cut"))
    step = broken.step

    def interrupted(batch: object) -> dict[str, float]:
        if broken.progress.step == cut:
            raise KeyboardInterrupt
        return step(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(broken, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    resumed = build_trainer(options(tmp_path / "cut", resume=True))
    assert resumed.progress.step == cut
    resumed.run()
    assert straight.progress.step == resumed.progress.step > cut
    for (name, value), other in zip(
        straight.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), name
    average = resumed.average.state_dict()
    assert all(torch.equal(value, average[name]) for name, value in straight.average.state_dict().items())


def test_init_warm_starts_and_the_record_adds_up(tmp_path: Path) -> None:
    build_trainer(options(tmp_path / "first", epochs=1), "vqa train first").run()
    second = build_trainer(
        options(tmp_path / "second", epochs=1, overrides=[], init=str(tmp_path / "first")), "vqa train second"
    )
    before = load_checkpoint(tmp_path / "first", "cpu")[0].state_dict()
    assert all(torch.equal(value, before[name]) for name, value in second.model.state_dict().items())
    assert second.schedule.learning_rate() < 1e-4, "a fresh schedule begins with its warm-up"
    second.run()
    record = json.loads((tmp_path / "second" / "training.json").read_text())
    assert record["commands"] == ["vqa train first", "vqa train second"]
    assert record["earlier_presentations"] == record["presentations"] > 0
    assert f"{2 * record['presentations']:,}" in (tmp_path / "second" / "README.md").read_text()


def test_an_epoch_holds_every_row_once_on_any_number_of_processes(tmp_path: Path) -> None:
    data = build_trainer(options(tmp_path)).data
    assert not set(data.rows) & set(data.held_out)
    assert len(data.held_out) == round(0.05 * 48)
    for world in (1, 2, 3, 7):
        seen: list[int] = []
        for index in range(data.batches_per_epoch(5)):
            epoch = data.epoch(3)
            for rank in range(world):
                batch = epoch.batch(index, 5, 4, rank, world)
                if (batch.labels >= 0).any():
                    mine = epoch.order[index * 5 : (index + 1) * 5][rank::world]
                    assert len(batch.images) == len(mine)
                    assert (batch.images == torch.from_numpy(data.pack.images[mine]).permute(0, 3, 1, 2)).all()
                    seen += mine.tolist()
        assert sorted(seen) == data.rows.tolist(), world


def test_batches_say_what_the_file_says(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path))
    data: TrainingData = trainer.data
    batch = data.epoch(0).batch(0, 3, 4)
    words = trainer.processor.tokenizer.convert_ids_to_tokens
    asked = {}
    for row in range(len(data.pack)):
        for question in data.pack.questions(row):
            asked[" ".join(words(data.encode([question.question])[0])), row] = question.answer
    for i, (ids, label) in enumerate(zip(batch.input_ids, batch.labels, strict=True)):
        row = data.epoch(0).order[batch.image_index[i]]
        text = " ".join(words(ids[: batch.attention_mask[i].sum()].tolist()))
        assert asked[text, row] == trainer.model.config.id2label[int(label)]


_TWENTY_STEPS = """
import json, sys
from pathlib import Path
from tests.training.test_trainer import TINY, options
from vqa.training.setup import build_trainer
from vqa.training.trainer import Trainer
changes = dict(freeze_norm=True, augment=0, batch_size=63, questions_per_image=3, epochs=100, holdout=0)
same = ["image_size=64x96", "dropout=0", "random_gray=false"]
trainer = build_trainer(options(Path(sys.argv[1]), overrides=[*TINY, *same], **changes))
place = trainer.accelerator
losses = []
for step in range(20):
    losses.append({name: value.item() for name, value in trainer.step(trainer.load()).items()})
if place.is_main_process:
    Path(sys.argv[2]).write_text(json.dumps([place.num_processes, losses]))
"""


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(_TWENTY_STEPS)
    found = []
    for processes in (1, 2):
        out = tmp_path / f"losses{processes}.json"
        launch(processes, str(tmp_path / "steps.py"), str(tmp_path / str(processes)), str(out))
        world, losses = json.loads(out.read_text())
        assert world == processes
        found.append(losses)
    for step, (one, two) in enumerate(zip(*found, strict=True)):
        for name, value in one.items():
            assert value == pytest.approx(two[name], abs=1e-4), (step, name)
    assert found[0][-1]["steps"] < found[0][0]["steps"]


def test_accumulated_gradients_are_those_of_the_larger_batch(tmp_path: Path) -> None:
    fixed = {"freeze_norm": True, "augment": 0, "questions_per_image": 3, "holdout": 0, "epochs": 100}
    overrides = [*TINY, "image_size=64x96", "dropout=0", "random_gray=false"]
    runs = []
    for size, parts in ((63, 1), (21, 3)):
        trainer = build_trainer(
            options(tmp_path / str(parts), overrides=overrides, batch_size=size, gradient_accumulation=parts, **fixed)
        )
        losses = [trainer.step(*(trainer.load(part) for part in range(parts))) for _ in range(6)]
        runs.append((trainer, losses))
    (one, whole), (three, split) = runs
    assert one.schedule.steps_per_epoch == three.schedule.steps_per_epoch == 3
    assert one.progress.questions_seen == three.progress.questions_seen
    for step, (expected, found) in enumerate(zip(whole, split, strict=True)):
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-5), (step, name)
    for (name, value), other in zip(one.model.state_dict().items(), three.model.state_dict().values(), strict=True):
        torch.testing.assert_close(other, value, rtol=1e-5, atol=1e-5, msg=name)


def test_the_command_runs_on_two_processes(tmp_path: Path) -> None:
    launch(2, "-m", "vqa", *command(tmp_path / "run", "--epochs", "1"))
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert record["presentations"] > 0
    assert load_state(tmp_path / "run" / FILE)[1]["progress"]["epoch"] == 1


def launch(processes: int, *script: str) -> None:
    """Run a script by `accelerate launch` on the CPU; "multi_gpu" is its name for processes of one machine."""
    flags = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--num_processes"]
    flags += [str(processes)]
    flags += ["--multi_gpu", "--main_process_port", str(_free_port())] if processes > 1 else []
    result = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *flags, *script],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert result.returncode == 0, result.stderr[-3000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_loss_that_is_not_finite_stops_the_run_with_the_last_good_state(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path, epochs=1))
    trainer.save()
    good = load_state(tmp_path / FILE)[0]["model"]
    next(iter(trainer.model.parameters())).data.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        trainer.run()
    kept = load_state(tmp_path / FILE)[0]["model"]
    assert all(torch.equal(value, kept[name]) for name, value in good.items())


def test_a_full_disk_keeps_the_last_state_and_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = build_trainer(options(tmp_path, epochs=1))
    trainer.run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _no_space)
        patch.setattr(type(trainer.processor), "save_pretrained", _no_space)
        with pytest.raises(InputError, match="No space left"):
            trainer.save()
        with pytest.raises(InputError, match="the last checkpoint is kept"):
            trainer.evaluate()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def _no_space(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "--epochs 0"),
        (["--max-minutes", "-1"], "--max-minutes"),
        (["--holdout", "1.5"], "--holdout 1.5"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--set", "widht=3"], "width"),
        (["--set", "width=three"], "whole number"),
        (["--preset", "flim"], "film"),
        (["--loss-weight", "evidense=1"], "evidence"),
        (["--resume"], "no run to resume"),
        (["--resume", "--init", "x"], "one of them"),
        (["--init", "nowhere"], "nowhere"),
        (["--split", "test"], "test"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    given = [flag for flag in command(tmp_path / "run") if "--init" not in flags or flag not in (*TINY, "--set")]
    assert main([*[flag for flag in given if flag != "image_size=64x96" or "--init" not in flags], *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_run_is_not_overwritten_nor_resumed_with_other_options(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "run"
    assert main(command(folder, "--epochs", "1")) == 0
    assert main(command(folder, "--epochs", "1")) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(command(folder, "--epochs", "1", "--resume", "--seed", "1")) == 2
    assert "--seed" in capsys.readouterr().err
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:1000])
    assert main(command(folder, "--epochs", "1", "--resume")) == 2
    assert "damaged" in capsys.readouterr().err


def test_new_questions_are_the_same_for_the_same_epoch_and_true(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path))
    data = trainer.data
    make = QuestionMaker(data.pack.path, 5, 0.0, trainer.model.config.num_blocks)
    first, again, next_epoch = (make(data.rows[:8], (0, epoch)) for epoch in (1, 1, 2))
    assert first[:3] == again[:3]
    assert first[1] != next_epoch[1]
    assert len(first[0]) == 40
    targets = [part[[i]] for part in first.targets for i in range(len(part.known))]
    for row, text, answer, target in zip(*first[:3], targets, strict=True):
        scene = data.pack.scene(row)
        assert scene is not None
        program = parse_question(text)
        assert answer_string(execute(program, scene)[-1]) == answer
        expected = stacked([step_target(program, scene, make.blocks)])
        for item in fields(target):
            assert np.array_equal(getattr(target, item.name), getattr(expected, item.name)), (item.name, text)


def test_chunks_are_the_same_whatever_the_number_of_workers_and_wherever_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_questions, "FIRST", 16)
    monkeypatch.setattr(online_questions, "CHUNK", 16)
    trainer = build_trainer(options(tmp_path))
    data, rows = trainer.data, trainer.data.rows
    make = QuestionMaker(data.pack.path, 3, 0.5, trainer.model.config.num_blocks)
    order = online_questions.epoch_order(rows, 0, 4)
    whole, resumed = (
        OnlineQuestions(make, rows, trainer.processor.encode_clevr, data.answers, 0, data.device, workers)
        for workers in (2, 1)
    )
    try:
        late = resumed.about(4, order[20:30])
        assert set(resumed.ready) == {(4, 1)}, "no chunk is made that is not needed"
        early = whole.about(4, order)
        assert len({id(questions) for questions, _ in early}) == len(whole.ready) == 3
        for (one, numbers), (other, again) in zip(late, early[20:30], strict=True):
            assert len(numbers) == 3
            assert [one.tokens_of(i) for i in numbers] == [other.tokens_of(i) for i in again]
        for chunk, (questions, _) in zip(range(3), early[::16], strict=True):
            made = make(order[chunk * 16 : (chunk + 1) * 16], (0, 4, 4, chunk))
            assert questions.rows.tolist() == made.rows
            tokens = [questions.tokens_of(i) for i in range(len(questions))]
            assert tokens == data.encode(made.texts), "CLEVR's words are read one by one as by the whole reader"
            assert questions.labels.tolist() == [data.answers[answer] for answer in made.answers]
    finally:
        whole.close()
        resumed.close()


def test_encoders_are_taught_before_the_trunk_and_handed_on(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path / "a", pretrain_epochs=1, epochs=1))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    after = trainer.model.state_dict()
    changed = {name.partition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"vision", "scene", "second_look", "text", "word_attention", "steps", "input_gate"}
    assert trainer.progress.questions_seen == 0

    follower = build_trainer(
        options(
            tmp_path / "b",
            epochs=1,
            encoders=str(tmp_path / "a"),
            overrides=[*TINY, "image_size=64x96", "head_features=false"],
        )
    )
    taken, given = follower.model.state_dict(), weights(tmp_path / "a")
    handed_on = [name for name in taken if name.partition(".")[0] in changed]
    assert handed_on
    assert all(torch.equal(taken[name], given[name]) for name in handed_on)
    with pytest.raises(InputError, match=r"--encoders .*does not fit"):
        build_trainer(
            options(tmp_path / "c", encoders=str(tmp_path / "a"), overrides=[*TINY, "image_size=64x96", "width=24"])
        )
    with pytest.raises(InputError, match="--pretrain-epochs"):
        build_trainer(options(tmp_path / "d", pretrain_epochs=1, supervision="answers"))


@pytest.mark.parametrize("kind", ["image", "text", "all"])
def test_frozen_encoders_stay_as_they_were(tmp_path: Path, kind: str) -> None:
    build_trainer(options(tmp_path / "a", epochs=1)).run()
    build_trainer(options(tmp_path / "b", epochs=1, seed=1)).run()
    given = {"encoders": str(tmp_path / "a"), "text_encoders": str(tmp_path / "b")}
    build_trainer(options(tmp_path / "c", epochs=1, seed=2, freeze_encoders=kind, **given)).run()
    image, text, after = (weights(tmp_path / name) for name in "abc")
    same = {}
    for name in after:
        part = name.partition(".")[0]
        source = image if part in IMAGE_ENCODERS else text
        same.setdefault(part, []).append(torch.equal(after[name], source[name]))
    frozen = {"image": IMAGE_ENCODERS, "text": TEXT_ENCODERS, "all": ENCODERS}[kind]
    assert {part for part, equal in same.items() if all(equal)} == set(frozen)
    with pytest.raises(InputError, match="--freeze-encoders: give --encoders or --init"):
        options(tmp_path / "d", freeze_encoders=kind)


def test_what_reads_the_question_comes_from_another_model(tmp_path: Path) -> None:
    build_trainer(options(tmp_path / "a", epochs=1)).run()
    build_trainer(options(tmp_path / "b", epochs=1, seed=1)).run()
    given = {"init": str(tmp_path / "a"), "text_encoders": str(tmp_path / "b"), "overrides": []}
    trainer = build_trainer(options(tmp_path / "c", epochs=1, freeze_encoders="all", **given))
    one, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    state = trainer.model.state_dict()
    for name, values in ((name, state[name]) for name in one):
        reads = name.startswith((*TEXT_ENCODERS, "head.kinds")) or ".pointer." in name
        assert torch.equal(values, (other if reads else one)[name]), name
    trainer.run()
    after = weights(tmp_path / "c")
    assert all(torch.equal(after[name], other[name]) for name in after if name.startswith(TEXT_ENCODERS))
    assert not all(torch.equal(after[name], one[name]) for name in after if name.startswith("blocks"))


def test_questions_made_on_the_fly_are_trained_on(tmp_path: Path) -> None:
    trainer = build_trainer(options(tmp_path, epochs=1, generated=1.0, holdout=0))
    epoch = trainer.data.epoch(0)
    stored, made = zip(*epoch.asked(trainer.data.rows, 8), strict=True)
    assert sum(len(numbers) for _, numbers in made) > 9 * sum(len(numbers) for _, numbers in stored)
    trainer.run()


def test_scenes_without_questions_are_trained_on_once_questions_are_made(tmp_path: Path) -> None:
    for name in ("images", "scenes"):
        (tmp_path / name).symlink_to(Path(MINI, name))
    (tmp_path / "questions").mkdir()
    asked = [question for question in read_questions(questions_path(MINI, "train")) if (question.image_index or 0) < 40]
    write_questions(questions_path(tmp_path, "train"), asked)
    assert len(build_trainer(options(tmp_path / "stored", data=str(tmp_path), holdout=0)).data.rows) == 40
    data = build_trainer(options(tmp_path / "made", data=str(tmp_path), holdout=0, generated=0.5)).data
    assert data.rows.tolist() == list(range(48))
    assert len(data.epoch(0).batch(0, 48, 4).images) == 48
    data.close()


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    """SIGKILL at random moments, saves included (they are made after every step): each resume finds a good state."""
    rng = random.Random(0)
    started = ["--epochs", "400", "--holdout", "0"]
    last, inside = 0, 0
    for attempt in range(20):
        more = ["--resume"] if (tmp_path / "run" / FILE).exists() else []
        process = subprocess.Popen(
            [sys.executable, "-m", "vqa", *command(tmp_path / "run", *started, *more)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert process.stderr is not None
        while "accuracy" not in (text := process.stderr.read(200)):
            assert text or process.poll() is None, "the run ended by itself"
        time.sleep(rng.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        inside += bool([*(tmp_path / "run").glob("*.tmp"), *(tmp_path / "run").glob(".*tmp*")])
        if (tmp_path / "run" / FILE).exists():
            step = load_state(tmp_path / "run" / FILE)[1]["progress"]["step"]
            assert step >= last, attempt
            last = step
    assert last > 20
    assert inside, "no kill fell inside a save; run it again"
