"""Runs that are cut, interrupted, moved, or begun from a checkpoint, and what is kept of them."""

import json
import math
import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.test_trainer import MINI, TINY, command, launch, log, options
from vqa.cli import main
from vqa.cli.train import _resuming
from vqa.errors import InputError
from vqa.training.checkpointing import FILE, load_state
from vqa.training.options import TrainingOptions
from vqa.training.run_log import write_log
from vqa.training.setup import build_trainer
from vqa.training.trainer import Trainer

SMALL = [*TINY, "image_size=32x48", "num_blocks=2"]


def trainer_of(folder: Path, **changes: object) -> Trainer:
    return build_trainer(options(folder, **{"overrides": SMALL, **changes}))  # type: ignore[arg-type]


def same(one: Trainer, other: Trainer) -> bool:
    models = zip((one.model, one.average), (other.model, other.average), strict=True)
    return one.progress.step == other.progress.step and all(
        torch.equal(value, b.state_dict()[name]) for a, b in models for name, value in a.state_dict().items()
    )


def test_a_run_from_two_models_is_resumed(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        trainer_of(tmp_path / name, epochs=1, seed=seed).run()
    given = {"init": str(tmp_path / "a"), "text_encoders": str(tmp_path / "b"), "freeze_encoders": "all"}
    settings = given | {"overrides": [], "epochs": 2}
    straight = trainer_of(tmp_path / "straight", **settings)
    straight.run()
    cut = trainer_of(tmp_path / "cut", **settings)
    for _ in range(3):
        cut.step(cut.load())
    cut.save()
    cut.data.close()
    resumed = trainer_of(tmp_path / "cut", **(settings | {"init": None, "resume": True}))
    assert resumed.progress.step == 3
    resumed.run()
    assert same(straight, resumed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_inside_a_step_waits_for_its_end(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = trainer_of(tmp_path / "straight")
    straight.run()
    cut = trainer_of(tmp_path / "cut")
    step = cut.optimizer.step

    def interrupted() -> None:
        step()
        if cut.progress.step == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(cut.optimizer, "step", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    assert signal.getsignal(number) is before
    resumed = trainer_of(tmp_path / "cut", resume=True)
    assert resumed.progress.step == 3
    resumed.run()
    assert same(straight, resumed)


def test_a_signal_inside_an_evaluation_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(tmp_path, holdout=0.5, batch_size=8, epochs=1)
    forward = trainer._forward
    evaluated = 0

    def interrupted(model: torch.nn.Module, *rest: object) -> object:
        nonlocal evaluated
        if model is trainer.average.module:
            evaluated += 1
            os.kill(os.getpid(), signal.SIGINT)
        return forward(model, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "_forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert evaluated == 1
    assert not (tmp_path / "model.safetensors").exists()
    resumed = trainer_of(tmp_path, holdout=0.5, batch_size=8, epochs=1, resume=True)
    resumed.run()
    assert resumed.progress.step == trainer.progress.step
    assert (tmp_path / "model.safetensors").exists()


def test_a_second_signal_ends_at_once_and_keeps_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(tmp_path)
    step = trainer.optimizer.step

    def interrupted() -> None:
        step()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(trainer.optimizer, "step", interrupted)
    with pytest.raises(SystemExit) as stopped:
        trainer.run()
    assert stopped.value.code == 130
    assert load_state(tmp_path / FILE)[1]["progress"]["step"] == 0


_TWO_CLOCKS = """
import json, os, signal, sys, time
from pathlib import Path
from types import SimpleNamespace
import torch
from tests.training.test_resuming import trainer_of
from vqa.training import trainer as loop
trainer = trainer_of(Path(sys.argv[1]), epochs=None, max_minutes=0.2, evaluate_minutes=1000)
place = trainer.accelerator
loop.time = SimpleNamespace(monotonic=lambda: (1 + 4 * place.process_index) * time.monotonic())
step = trainer.optimizer.step
def interrupted():
    step()
    if place.process_index == 1 and trainer.progress.step == 12:
        os.kill(os.getpid(), signal.SIGINT)
trainer.optimizer.step = interrupted
try:
    trainer.run()
except KeyboardInterrupt:
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
    found = [trainer.progress.step, trainer.progress.seconds, weights.double().sum().item()]
    Path(sys.argv[2] + str(place.process_index)).write_text(json.dumps(found))
"""


@pytest.mark.slow
def test_processes_of_different_clocks_learn_and_stop_together(tmp_path: Path) -> None:
    (tmp_path / "clocks.py").write_text(_TWO_CLOCKS)
    launch(2, str(tmp_path / "clocks.py"), str(tmp_path / "run"), str(tmp_path / "found"))
    first, second = (json.loads((tmp_path / f"found{rank}").read_text()) for rank in (0, 1))
    assert first == second
    assert first[0] == 21
    assert load_state(tmp_path / "run" / FILE)[1]["progress"]["step"] == 21


def test_a_run_begun_from_a_checkpoint_is_resumed(tmp_path: Path) -> None:
    trainer_of(tmp_path / "first", epochs=1).run()
    changes = {"overrides": [], "epochs": 2}
    trainer_of(tmp_path / "straight", init=str(tmp_path / "first"), **changes).run()
    cut = trainer_of(tmp_path / "cut", init=str(tmp_path / "first"), **changes)
    cut.options.epochs = 1
    cut.run()
    shutil.rmtree(tmp_path / "first")
    (tmp_path / "cut").rename(tmp_path / "moved")
    resumed = trainer_of(tmp_path / "moved", resume=True, **changes)
    resumed.run()
    record = json.loads((tmp_path / "moved" / "training.json").read_text())
    assert record["earlier_presentations"] > 0
    assert resumed.progress.epoch == 2
    assert load_state(tmp_path / "moved" / FILE)[1]["options"]["init"] == str(tmp_path / "first")


def test_the_record_of_a_chain_counts_every_run_and_keeps_its_best_teacher(tmp_path: Path) -> None:
    trainer_of(tmp_path / "0", epochs=1, supervision="scenes").run()
    for link in (1, 2):
        init = str(tmp_path / str(link - 1))
        trainer_of(tmp_path / str(link), epochs=1, overrides=[], init=init, supervision="answers").run()
    record = json.loads((tmp_path / "2" / "training.json").read_text())
    assert record["earlier_presentations"] == 2 * record["presentations"]
    card = (tmp_path / "2" / "README.md").read_text()
    assert f"all runs together: {3 * record['presentations']:,}" in card
    assert "Supervision: scenes" in card


@pytest.mark.parametrize(
    "text", ["[1]", '{"presentations": 1e999}', '{"commands": "vqa"}', "[" * 100_000, '{"presentations": "many"}']
)
def test_a_broken_record_is_named(tmp_path: Path, text: str) -> None:
    trainer_of(tmp_path / "first", epochs=1).run()
    (tmp_path / "first" / "training.json").write_text(text)
    with pytest.raises(InputError, match=r"training\.json"):
        trainer_of(tmp_path / "second", overrides=[], init=str(tmp_path / "first"))


def test_the_card_says_what_taught_the_model(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    trainer = trainer_of(tmp_path, preset="qcse", overrides=[*SMALL, "head_width=16"], epochs=1, holdout=0)
    trainer.run()
    card = (tmp_path / "README.md").read_text()
    assert "Supervision: answers" in card
    assert "FiLM (" not in card
    assert "No images were held out." in card
    assert "chose the checkpoint" not in card
    assert not any("held_out_accuracy" in line for line in log(tmp_path))
    assert "answers instead of programs" in capsys.readouterr().err


def test_a_checkpoint_without_a_run_is_not_overwritten(tmp_path: Path) -> None:
    trainer_of(tmp_path, epochs=1).run()
    (tmp_path / FILE).unlink()
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="choose another --out"):
        trainer_of(tmp_path, epochs=1).run()
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_resumed_run_forgets_what_was_logged_after_its_state(tmp_path: Path) -> None:
    trainer_of(tmp_path, epochs=1).run()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 1000, "presentations": 1, "minutes": 1, "held_out_accuracy": 1.0}) + "\n")
        file.write('{"step": 100')
    trainer_of(tmp_path, epochs=2, resume=True).run()
    steps = [line["step"] for line in log(tmp_path)]
    assert steps == sorted(steps)
    assert max(steps) < 1000


def test_weights_that_are_not_finite_are_neither_saved_nor_written(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, epochs=1)
    trainer.run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    next(iter(trainer.model.parameters())).data.fill_(math.inf)
    for act in (trainer.save, trainer.evaluate):
        with pytest.raises(InputError, match="weights are not finite"):
            act()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_state_of_something_else_is_named(tmp_path: Path) -> None:
    trainer_of(tmp_path, epochs=1).run()
    path = tmp_path / FILE
    tensors, info = load_file(path), load_state(path)[1]
    odd = {name: value[:1] if name == "optimizer/0/exp_avg" else value for name, value in tensors.items()}
    surplus = {**tensors, "optimizer/9999/exp_avg": torch.zeros(3)}
    for parts, text, message in (
        (tensors, "[]", "not the state of a run"),
        (tensors, json.dumps({**info, "progress": {"stop": 1}}), "another version"),
        (tensors, json.dumps({"progress": {}}), "another version"),
        (odd, json.dumps(info), "of another model"),
        (surplus, json.dumps(info), "of another model"),
    ):
        save_file(parts, path, {"info": text})
        with pytest.raises(InputError, match=message):
            trainer_of(tmp_path, epochs=1, resume=True)


@pytest.mark.parametrize("batch_size", [1, 45])
def test_film_trains_on_a_batch_of_one(tmp_path: Path, batch_size: int) -> None:
    overrides = ["text_dim=32", "word_dim=16", "width=16", "head_width=16", "image_size=32x48", "classifier_dim=16"]
    film = trainer_of(tmp_path, preset="film", overrides=overrides, batch_size=batch_size, epochs=1)
    assert len(film.data.rows) == 46
    film.run()
    assert film.progress.questions_seen == 46


def test_runs_of_one_process_may_differ_in_precision(tmp_path: Path) -> None:
    for precision in ("no", "bf16"):
        trainer = trainer_of(tmp_path / precision, mixed_precision=precision, epochs=1)
        assert trainer.accelerator.mixed_precision == precision


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed", "-1"], "--seed"),
        (["--seed", str(10**30)], "--seed"),
        (["--loss-weight", "evidence=nan"], "evidence=nan"),
        (["--loss-weight", "evidence=-1"], "evidence=-1"),
        (["--holdout", "nan"], "--holdout"),
        (["--split", "../train"], "split"),
        (["--questions", "nowhere.json"], "nowhere.json"),
    ],
)
def test_more_mistakes_are_named(tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert main(command(tmp_path / "run", *flags)) == 2
    assert message in capsys.readouterr().err


def test_the_preset_is_checked_beside_init(tmp_path: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="flim"):
        trainer_of(tmp_path, preset="flim", overrides=[], init=str(tiny_checkpoint))


def test_another_recipe_than_the_checkpoints_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    overrides = ["text_dim=32", "word_dim=16", "width=16", "head_width=16", "image_size=32x48", "classifier_dim=16"]
    trainer_of(tmp_path / "film", preset="film", overrides=overrides, epochs=1).run()
    assert "--preset" not in capsys.readouterr().err
    second = trainer_of(tmp_path / "second", overrides=[], init=str(tmp_path / "film"), epochs=1)
    assert "give --preset" in capsys.readouterr().err
    second.run()
    assert json.loads((tmp_path / "second" / "training.json").read_text())["preset"] == "film"


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").write_text("mine")
    assert main(command(tmp_path / "file")) == 2
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "step", _interrupt)
    given = command(tmp_path / "my run", "--holdout", "0")
    assert main(given) == 130
    assert f"vqa: saved; continue with: {shlex.join(['vqa', *given])} --resume\n" in capsys.readouterr().err
    given = ["train", "--data", MINI, "--init", "x y", "--out", "my run", "--set", "width=16"]
    assert _resuming(given) == f"vqa train --data {MINI} --out 'my run' --set width=16 --resume"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_options_that_changed_are_called_by_their_flags(tmp_path: Path) -> None:
    trainer_of(tmp_path, epochs=1).run()
    for changes, flag in (
        ({"overrides": [*SMALL, "reduction=4"]}, "--set"),
        ({"loss_weights": {"steps": 2.0}}, "--loss-weight"),
    ):
        with pytest.raises(InputError, match=f"{flag} differs"):
            trainer_of(tmp_path, resume=True, **changes)


def test_data_and_questions_may_move(tmp_path: Path) -> None:
    shutil.copytree(MINI, tmp_path / "data", symlinks=True)
    asked = "questions/CLEVR_val_questions.json"
    old, new = tmp_path / "data", tmp_path / "elsewhere"
    changes = {"split": "val", "epochs": 1, "holdout": 0}
    trainer_of(tmp_path / "run", data=str(old), questions=str(old / asked), **changes).run()
    old.rename(new)
    changes |= {"data": str(new), "epochs": 2, "resume": True}
    with pytest.raises(InputError, match="--questions differs"):
        trainer_of(tmp_path / "run", questions=str(new / "questions/CLEVR_train_questions.json"), **changes)
    trainer_of(tmp_path / "run", questions=str(new / asked), **changes).run()


def test_labels_are_those_of_the_logits_whatever_the_checkpoint_says(tmp_path: Path, tiny_checkpoint: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "config.json").read_text())
    for wrong in (dict.fromkeys(config["label2id"], "first"), dict.fromkeys(config["label2id"], 99)):
        (tmp_path / "odd" / "config.json").write_text(json.dumps({**config, "label2id": wrong}))
        data = trainer_of(tmp_path / "run", overrides=[], init=str(tmp_path / "odd")).data
        assert data.answers["metal"] == int(next(i for i, name in config["id2label"].items() if name == "metal"))


def test_film_learns_by_the_papers_recipe_after_a_warm_up_where_one_is_asked_for(tmp_path: Path) -> None:
    overrides = ["text_dim=32", "word_dim=16", "width=16", "head_width=16", "image_size=32x48", "classifier_dim=16"]
    film = trainer_of(tmp_path, preset="film", overrides=overrides, warmup_steps=10)
    assert film.schedule.learning_rate() == pytest.approx(3e-5)
    film.progress.step = 11
    assert film.schedule.learning_rate() == pytest.approx(3e-4)
    assert type(film.optimizer.optimizer) is torch.optim.Adam
    (group,) = film.optimizer.param_groups
    assert len(group["params"]) == len(list(film.model.parameters()))
    assert group["weight_decay"] == 1e-5


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone/log\.jsonl"):
        write_log(tmp_path / "gone", {"step": 1})


def test_a_data_folder_is_named_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MINI)
    trainer_of(tmp_path, data=".", epochs=1).run()
    assert "Data: clevr-mini train" in (tmp_path / "README.md").read_text()


def test_runs_from_before_a_renaming_can_be_resumed(tmp_path: Path) -> None:
    changes = {"overrides": SMALL, "training_questions": 500, "epochs": 1}
    trainer_of(tmp_path, **changes).run()
    info = load_state(tmp_path / FILE)[1]
    assert "question_workers" not in info["options"], "an option that came later and has its default"
    assert "presentations" in info["progress"]
    assert "questions_seen" not in info["progress"]
    given = options(tmp_path, **changes)
    assert given.to_json()["max_presentations"] == 500
    assert type(given).from_json(given.to_json() | {"hide_colors": 0.0}) == given


def test_a_run_with_an_option_that_is_gone_is_refused_by_its_name(tmp_path: Path) -> None:
    changes = {"overrides": SMALL, "epochs": 1}
    trainer_of(tmp_path, **changes).run()
    path = tmp_path / FILE
    _, info = load_state(path)
    info["options"]["hide_colors"] = info["settings"]["hide_colors"] = 0.0
    save_file(load_file(path), path, {"info": json.dumps(info)})
    trainer_of(tmp_path, resume=True, **changes)
    info["options"]["hide_colors"] = info["settings"]["hide_colors"] = 0.3
    save_file(load_file(path), path, {"info": json.dumps(info)})
    with pytest.raises(InputError, match="begun with --mask-colors, which no longer exists"):
        trainer_of(tmp_path, resume=True, **changes)
    with pytest.raises(InputError, match="--mask-colors: no longer exists"):
        TrainingOptions.from_json(info["settings"])


def test_a_run_is_resumed_by_its_own_options(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "run"
    assert main(command(folder, "--epochs", "1", "--learning-rate", "0.002", "--augment", "0.5")) == 0
    done = load_state(folder / FILE)[1]["progress"]["step"]
    assert main(["train", "--resume", "--out", str(folder)]) == 0
    assert load_state(folder / FILE)[1]["progress"]["step"] == done
    assert main(["train", "--resume", "--out", str(folder), "--epochs", "2"]) == 0
    assert load_state(folder / FILE)[1]["progress"]["step"] == 2 * done
    capsys.readouterr()
    assert main(["train", "--resume", "--out", str(folder), "--learning-rate", "0.1"]) == 2
    said = capsys.readouterr().err
    assert "--learning-rate differs from the run in" in said
    assert "0.1 here, 0.002 there" in said
    assert main(["train", "--out", str(tmp_path / "new")]) == 2
    assert "--data" in capsys.readouterr().err
