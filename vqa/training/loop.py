"""The training loop on accelerate: one process or many, resumable at any batch, saved so that no kill loses it."""

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from vqa.clevr.dataset import open_pictures
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.presets import build_config, build_model, build_processor
from vqa.model.processing import FilmSEProcessor
from vqa.training.augment import augment
from vqa.training.card import read_record, write_checkpoint
from vqa.training.data import Batch, TrainingData
from vqa.training.losses import Loss, answer_loss, program_losses, scene_losses
from vqa.training.options import TrainingOptions
from vqa.training.precision import choose_precision
from vqa.training.state import FILE, load_state, restore_module, restore_optimizer, save_state

_NO_ACCELERATOR = not torch.accelerator.is_available()
"""Said to accelerate, which otherwise joins no processes on a machine without GPU."""


@dataclass
class Progress:
    """Where a run stands: the next batch, what has been presented, and what was best."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    presentations: int = 0
    seconds: float = 0.0
    best: float = -1.0
    precision: str = "no"
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """One run of `vqa train`. Raises InputError for options, data or a state that do not fit each other."""

    def __init__(self, options: TrainingOptions, command: str = "vqa train") -> None:
        self.options, self.command = options, command
        self.state_path = options.folder / FILE
        saved = load_state(self.state_path) if options.resume else None
        if saved is None and self.state_path.exists():
            raise InputError(
                f"{self.state_path}: a run is here already; go on with --resume, or choose another --output"
            )
        self.progress = Progress(**saved[1]["progress"]) if saved else Progress()
        if saved and (changed := _changed(saved[1]["options"], options.run_identity())):
            raise InputError(f"--resume: {changed} differs from the run in {options.output}; leave it as it was")
        torch.manual_seed(options.seed)
        self.model, self.processor, earlier = self._build()
        self.record = saved[1]["record"] if saved else earlier
        self.record["commands"] = [*self.record.get("commands", []), command]
        self.pack = open_pictures(
            options.data, tuple(self.model.config.image_size), options.split, questions=options.questions
        )
        self.data = TrainingData(
            self.pack,
            self.processor.encode_questions,
            {answer: int(label) for answer, label in (self.model.config.label2id or {}).items()},
            self.model.config.num_blocks,
            holdout=options.holdout,
            seed=options.seed,
            generated=options.generated,
            progress=lambda rows: tqdm(rows, desc="questions", unit=" pictures", delay=2, leave=False),
        )
        self.steps_per_epoch = self.data.batches_per_epoch(options.pictures_per_batch)
        if not saved:
            self.progress.precision = self._choose_precision()
        self.accelerator = Accelerator(
            cpu=_NO_ACCELERATOR,
            mixed_precision=self.progress.precision,
            log_with=options.trackers or None,
            project_dir=options.output,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.average = AveragedModel(self.model, multi_avg_fn=_averaging(options.ema), use_buffers=True)
        groups = _groups(self.model, options.weight_decay)
        optimizer = (
            torch.optim.Adam(groups, options.learning_rate)
            if options.faithful
            else torch.optim.AdamW(groups, options.learning_rate, betas=(0.9, 0.98))
        )
        if saved:
            restore_module(self.model, saved[0]["model"], self.state_path)
            restore_module(self.average, saved[0]["average"], self.state_path)
            restore_optimizer(optimizer, saved[0].get("optimizer", {}))
        self.average.to(self.accelerator.device)
        self.prepared, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        if options.trackers:
            flat = {name: value for name, value in vars(options).items() if isinstance(value, str | int | float)}
            self.accelerator.init_trackers("vqa", config=flat)

    def run(self) -> Path:
        """Train until the epochs or the minutes are over; returns the checkpoint's folder.

        At Ctrl-C the state is saved before KeyboardInterrupt goes on.
        """
        options, progress = self.options, self.progress
        last_saved = last_evaluated = time.monotonic()
        bar = self._bar()
        try:
            with _graceful_termination():
                while not self._finished():
                    epoch = self.data.epoch(progress.epoch)
                    while progress.batch < self.steps_per_epoch and not self._finished():
                        started = time.monotonic()
                        batch = epoch.batch(
                            progress.batch,
                            options.pictures_per_batch,
                            options.questions_per_image,
                            self.accelerator.device,
                            self.accelerator.process_index,
                            self.accelerator.num_processes,
                        )
                        values = self._step(batch)
                        progress.batch += 1
                        progress.step += 1
                        progress.seconds += time.monotonic() - started
                        self._show(bar, values)
                        now = time.monotonic()
                        if self._agree(now - last_evaluated >= options.evaluate_minutes * 60):
                            self.evaluate()
                            last_evaluated = time.monotonic()
                        if self._agree(now - last_saved >= options.save_minutes * 60):
                            self.save()
                            last_saved = time.monotonic()
                    if progress.batch >= self.steps_per_epoch:
                        progress.epoch, progress.batch = progress.epoch + 1, 0
            self.evaluate()
            self.save()
        except KeyboardInterrupt:
            self.save()
            raise
        finally:
            bar.close()
            self.data.close()
        self.accelerator.end_training()
        return options.folder

    def evaluate(self) -> float:
        """Accuracy of the averaged weights on the held-out rows; the checkpoint is written when it is the best so far.

        Without held-out rows the latest weights are the best.
        """
        progress, model = self.progress, self.average.module
        assert isinstance(model, FilmSEForVisualQuestionAnswering)
        right: dict[str, list[int]] = {}
        if self.accelerator.is_main_process and len(self.data.held_out):
            model.eval()
            with torch.inference_mode(), self.accelerator.autocast():
                for batch, types in self.data.held_out_batches(
                    self.options.pictures_per_batch, self.accelerator.device
                ):
                    logits = self._forward(model, batch, batch.pictures.float() / 255).logits
                    hits = (logits.argmax(1) == batch.labels).int().tolist()
                    for hit, kind in zip(hits, types, strict=True):
                        right.setdefault(QUESTION_TYPES[kind] if kind >= 0 else "other", []).append(hit)
        everything = [hit for hits in right.values() for hit in hits]
        accuracy = sum(everything) / len(everything) if everything else 0.0
        if self.accelerator.is_main_process and (accuracy >= progress.best or not everything):
            progress.best = accuracy
            self._export(
                model, {name: sum(hits) / len(hits) for name, hits in sorted(right.items())}, accuracy, len(everything)
            )
        entry = {
            "step": progress.step,
            "presentations": progress.presentations,
            "minutes": round(progress.seconds / 60, 3),
            "held_out_accuracy": accuracy,
            "by_type": {name: sum(hits) / len(hits) for name, hits in sorted(right.items())},
        }
        progress.history.append(entry)
        self._log({"held_out_accuracy": accuracy})
        if everything:
            tqdm.write(f"step {progress.step}: held-out accuracy {accuracy:.2%} of {len(everything)}", file=sys.stderr)
        self.accelerator.wait_for_everyone()
        return accuracy

    def save(self) -> None:
        """Write the state that `--resume` goes on from, replacing the last one."""
        if self.accelerator.is_main_process:
            save_state(
                self.state_path,
                {"model": self.model.state_dict(), "average": self.average.state_dict()},
                self.optimizer,
                {"progress": vars(self.progress), "options": self.options.run_identity(), "record": self.record},
            )
        self.accelerator.wait_for_everyone()

    def losses(self, batch: Batch, pictures: Tensor, shift: Tensor | None = None) -> tuple[dict[str, Loss], Tensor]:
        """Forward pass and all losses of a batch whose pictures (N, 3, H, W) lie in 0..1, and the logits."""
        output = self._forward(self.prepared, batch, pictures)
        losses = answer_loss(output, batch.labels)
        scenes = batch.scenes if shift is None else batch.scenes._replace(centre=batch.scenes.centre + shift[:, None])
        if output.scene is not None and self.options.supervision != "answers":
            losses |= scene_losses(output, scenes)
            if self.options.supervision == "programs":
                losses |= program_losses(output, batch.steps, scenes, batch.image_index)
        return losses, output.logits

    def _step(self, batch: Batch) -> dict[str, float]:
        options, progress, accelerator = self.options, self.progress, self.accelerator
        seed = hash((options.seed, progress.step, accelerator.process_index)) & 0x7FFFFFFF
        torch.manual_seed(seed)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.prepared.train()
        if options.freeze_norm:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        pictures, shift = batch.pictures.float() / 255, None
        if options.augment:
            pictures, shift = augment(pictures, torch.Generator().manual_seed(seed), options.augment)
        losses, logits = self.losses(batch, pictures, shift)
        hits = Loss((logits.argmax(1) == batch.labels).sum(), losses["answer"].number)
        names = [*losses, "accuracy"]
        local = torch.stack(
            [torch.stack([item.total.detach().float(), item.number.float()]) for item in [*losses.values(), hits]]
        )
        sums = accelerator.reduce(local, "sum")
        world = accelerator.num_processes
        total = sum(
            options.weights[name] * item.total * world / sums[i, 1].clamp(min=1)
            for i, (name, item) in enumerate(losses.items())
        )
        means = (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist()
        if not all(map(math.isfinite, means)):
            raise InputError(
                f"step {progress.step}: the loss is not finite; the last good state is in {self.state_path}. "
                "Try a lower --learning-rate or --mixed-precision no"
            )
        self.optimizer.zero_grad()
        accelerator.backward(total)
        if options.clip_norm and accelerator.sync_gradients:
            accelerator.clip_grad_norm_(self.prepared.parameters(), options.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        progress.presentations += int(sums[0, 1])
        return dict(zip(names, means, strict=True))

    def _forward(self, model: nn.Module, batch: Batch, pictures: Tensor) -> Any:
        images = self.processor.image_processor
        mean, std = (
            torch.tensor(values, device=pictures.device).view(-1, 1, 1)
            for values in (images.image_mean, images.image_std)
        )
        pixels = ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)
        return model(
            pixel_values=pixels,
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            image_index=batch.image_index,
        )

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to a hundredth over the run's length, whichever of its ends comes first.

        Constant for the faithful FiLM.
        """
        if self.options.faithful:
            return self.options.learning_rate
        warm = min(1.0, (self.progress.step + 1) / max(1, self.options.warmup_steps))
        return (
            self.options.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, self._share()))))
        )

    def _share(self) -> float:
        """How much of the run is over, 0 to 1."""
        shares = [0.0]
        if self.options.max_minutes is not None:
            shares.append(self.progress.seconds / (60 * self.options.max_minutes))
        if self.options.epochs is not None:
            shares.append(self.progress.step / (self.options.epochs * self.steps_per_epoch))
        return max(shares)

    def _finished(self) -> bool:
        return self._agree(self._share() >= 1)

    def _agree(self, decision: bool) -> bool:
        """The main process's decision, for all: clocks differ, and all must take the same turn."""
        if self.accelerator.num_processes == 1:
            return decision
        return bool(
            self.accelerator.reduce(
                torch.tensor(float(decision and self.accelerator.is_main_process), device=self.accelerator.device)
            ).item()
        )

    def _build(self) -> tuple[FilmSEForVisualQuestionAnswering, FilmSEProcessor, dict[str, Any]]:
        options = self.options
        if options.init:
            if options.overrides:
                raise InputError("--set: the model of --init has its configuration already; leave --set out")
            from vqa.model.checkpoints import load_checkpoint

            model, processor = load_checkpoint(options.init)
            return model.train(), processor, read_record(options.init)
        config = build_config(options.preset, options.overrides)
        return build_model(config), build_processor(config), {}

    def _choose_precision(self) -> str:
        if self.options.mixed_precision != "auto":
            return self.options.mixed_precision
        device = PartialState(cpu=_NO_ACCELERATOR).device
        options = self.options
        batch = self.data.epoch(0).batch(0, options.pictures_per_batch, options.questions_per_image, device)
        chosen = choose_precision(
            self.model.to(device),
            lambda model: self._forward(model, batch, batch.pictures.float() / 255).logits.float().sum(),
        )
        return broadcast_object_list([chosen])[0]

    def _export(
        self, model: FilmSEForVisualQuestionAnswering, by_type: dict[str, float], accuracy: float, number: int
    ) -> None:
        options, progress = self.options, self.progress
        self.record |= {
            "preset": options.preset if not options.init else self.record.get("preset", options.preset),
            "data": f"{Path(options.data).name} {options.split}"
            + (f", {Path(options.questions).name}" if options.questions else ""),
            "pictures": len(self.data.rows),
            "supervision": options.supervision,
            "generated": options.generated,
            "seed": options.seed,
            "precision": progress.precision,
            "minutes": round(progress.seconds / 60, 1),
            "presentations": progress.presentations,
            "held_out": {"accuracy": accuracy, "questions": number, "by_type": by_type},
        }
        write_checkpoint(options.folder, model, self.processor, self.record)

    def _bar(self) -> tqdm:
        options = self.options
        unit = "s" if options.epochs is None else "batch"
        total = round(60 * (options.max_minutes or 0)) if unit == "s" else (options.epochs or 0) * self.steps_per_epoch
        return tqdm(
            total=total,
            unit=unit,
            desc="train",
            disable=not self.accelerator.is_main_process,
            initial=round(self.progress.seconds) if unit == "s" else self.progress.step,
            bar_format="{desc} {percentage:3.0f}%|{bar:20}| {n:.0f}/{total} "
            + unit
            + " [{elapsed}<{remaining}{postfix}]",
        )

    def _show(self, bar: tqdm, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        progress = self.progress
        bar.n = round(progress.seconds) if bar.unit == "s" else progress.step
        rate = progress.presentations / max(progress.seconds, 1e-9)
        bar.set_postfix_str(
            f"{rate:.0f} questions/s, loss {values['answer']:.3f}, right {values['accuracy']:.1%}", refresh=False
        )
        bar.update(0)
        if progress.step % 20 == 1:
            self._log(
                {f"train/{name}": value for name, value in values.items()} | {"learning_rate": self.learning_rate()}
            )

    def _log(self, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        progress = self.progress
        line = {
            "step": progress.step,
            "presentations": progress.presentations,
            "minutes": round(progress.seconds / 60, 3),
            **values,
        }
        self.options.folder.mkdir(parents=True, exist_ok=True)
        with (self.options.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.options.trackers:
            self.accelerator.log(values, step=progress.step)


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameters with weight decay (matrices and kernels), and without (biases, norms)."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]


def _averaging(decay: float) -> Any:
    """An exponential moving average whose memory grows to `decay`, so that it follows the weights early on."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], number: Tensor | int) -> None:
        keep = min(decay, (1 + int(number)) / (10 + int(number)))
        for average, value in zip(averaged, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), 1 - keep)
            else:
                average.copy_(value)

    return update


def _changed(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    return next((f"--{name.replace('_', '-')}" for name, value in now.items() if before.get(name) != value), None)


@contextmanager
def _graceful_termination() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, so that a scheduler's notice saves the state too."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
