"""What a training run will need on this machine: a few of its steps measured, the rest counted."""

import math
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vqa.benchmarks.training import WARMUP, TimedRun, machine, peak_memory, repeat_images
from vqa.clevr.dataset.loading import cache_dir, open_data
from vqa.clevr.dataset.packed import PackedDataset
from vqa.model.presets import build_config
from vqa.training.checkpointing import begin_run
from vqa.training.online_questions import CHUNK
from vqa.training.options import TrainingOptions
from vqa.training.setup import build_trainer
from vqa.training.trainer import Trainer

STEPS = 4
"""Timed steps of each kind: of the encoders alone, and of the whole model."""

_UNMADE = 1_000_000
"""An epoch whose questions nobody has asked for yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it begins; seconds and bytes. What is made of images and questions counts all of the data."""

    machine: str
    images: int
    questions: int
    """in the data"""
    held_out: int
    """images"""
    cache: int
    """images at the model's size, on disk"""
    cache_seconds: float
    """to make it, once"""
    cache_free: int
    memory: int
    """of this process at its most"""
    device_memory: int
    """of the GPU at its most, 0 without one"""
    load: float
    """to load a step's batch"""
    compute: float
    """of forward, backward and update"""
    generate: float
    """of making a step's online questions, in processes of their own; 0 without any"""
    encoder_step: float
    """of a step that trains the encoders alone, loading included; 0 without any"""
    encoder_steps: int
    steps: int
    """all of them"""
    batch: int
    """questions a step"""
    seconds: float

    @property
    def bound(self) -> str:
        """What takes longest: computing, loading or questions."""
        parts = {"loading": self.load, "computing": self.compute, "questions": self.generate}
        return max(parts, key=parts.__getitem__)

    def __str__(self) -> str:
        gigabyte = 2**30
        lacking = "" if self.cache < self.cache_free else ": TOO LITTLE, set VQA_CACHE_DIR"
        memory = f"{self.memory / gigabyte:.1f} GiB"
        memory += f", of the GPU {self.device_memory / gigabyte:.1f} GiB" * (self.device_memory > 0)
        step = f"{self.load + self.compute:.3f} s for {self.batch:,} questions: loading {self.load:.3f}, computing "
        step += f"{self.compute:.3f}" + f"; beside it, generating questions {self.generate:.3f}" * (self.generate > 0)
        first = f"{self.encoder_steps:,} of the encoders alone, {self.encoder_step:.3f} s each, and "
        whole = self.steps - self.encoder_steps
        lines = {
            "machine": self.machine,
            "data": f"{self.images:,} images, {self.questions:,} questions; {self.held_out:,} images held out",
            "cache": f"{self.cache / gigabyte:.2f} GiB in {cache_dir()}, {self.cache_free / gigabyte:.0f} GiB free"
            f"{lacking}; made once, in {_time(self.cache_seconds)}",
            "memory": memory,
            "a step": step,
            "steps": first * (self.encoder_steps > 0) + f"{whole:,} of the model: {whole * self.batch:,} questions",
            "time": f"{_time(self.seconds)}, evaluations not counted",
            "bound by": self.bound,
        }
        return "\n".join(f"{name:<9} {text}" for name, text in lines.items())


def plan(options: TrainingOptions) -> Plan:
    """Measure a few steps of a run on a sample of its data, and count what all of it needs; nothing is trained.

    Raises InputError as `build_trainer` does.
    """
    begin_run(options)  # what this refuses is refused now
    data = open_data(options.data, options.split, questions=options.questions, columns=options.columns)
    size = build_config(options.preset, options.overrides).image_size
    with TemporaryDirectory(prefix="vqa-plan-") as folder:
        sample, number = Path(folder, "sample.pack"), (STEPS + 4) * options.images_per_step
        started = time.perf_counter()
        repeat_images(data, number, sample, size)
        decoding = (time.perf_counter() - started) / number
        small: dict[str, Any] = {
            "data": str(sample),
            "out": folder,
            "questions": None,
            "columns": None,
            "holdout": 0.0,
            "epochs": 1_000_000,
        }
        small |= {"resume": False, "max_minutes": None, "training_questions": None, "trackers": []}
        trainer = build_trainer(replace(options, **small))
        run = TimedRun(trainer, 0.0)
        encoders = 0.0
        if options.pretrain_epochs:
            encoders = _measure(run)[0] + _measure(run)[1]
            trainer.progress.epoch = options.pretrain_epochs
        try:
            load, compute = _measure(run)
            return _scaled(trainer, options, data, decoding, encoders, load, compute)
        finally:
            trainer.data.close()


def _measure(run: TimedRun) -> tuple[float, float]:
    """Median seconds of loading and of computing a step."""
    run.trainer.progress.batch = 0  # the sample's epoch has enough of them
    run.warm_up()
    for _ in range(STEPS):
        run.advance()
    return median(run.loads), median(run.steps)


def _scaled(
    trainer: Trainer,
    options: TrainingOptions,
    data: PackedDataset,
    decoding: float,
    encoders: float,
    load: float,
    compute: float,
) -> Plan:
    """The plan of a run on all of the data, by what a trainer on the sample took."""
    held_out = round(options.holdout * len(data))
    per_epoch = math.ceil((len(data) - held_out) / options.images_per_step)
    generate = _generating(trainer) * (len(data) - held_out) / per_epoch / options.question_epochs
    batch, joined = round(trainer.progress.questions_seen / (WARMUP + STEPS)), options.pretrain_epochs * per_epoch
    whole_step = max(load + compute, generate)

    ends = [options.epochs and options.epochs * per_epoch]
    ends.append(options.training_questions and joined + math.ceil(options.training_questions / batch))
    if options.max_minutes:
        left = 60 * options.max_minutes - joined * encoders
        ends.append(math.ceil(left / whole_step) + joined if left > 0 else int(60 * options.max_minutes / encoders))
    steps = min(end for end in ends if end)

    device, kept = trainer.accelerator.device, trainer.data
    tensors = (kept.stored.tokens, kept.stored.labels, *kept.stored.targets, *kept.scenes)
    grown = sum(tensor.nbytes for tensor in tensors) / len(kept.pack)
    return Plan(
        machine=machine(device),
        images=len(data),
        questions=len(data.answers),
        held_out=held_out,
        cache=len(data) * math.prod(kept.images.shape),
        cache_seconds=decoding * len(data),
        cache_free=shutil.disk_usage(_existing(cache_dir())).free,
        memory=peak_memory() + int(grown * len(data)),
        device_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
        load=load,
        compute=compute,
        generate=generate,
        encoder_step=encoders,
        encoder_steps=min(joined, steps),
        steps=steps,
        batch=batch,
        seconds=min(joined, steps) * encoders + max(0, steps - joined) * whole_step,
    )


def _generating(trainer: Trainer) -> float:
    """Seconds that the online questions of an image take, with all workers; 0 without any."""
    online, rows = trainer.data.online, trainer.data.rows
    if online is None:
        return 0.0
    started = time.perf_counter()
    online.about(_UNMADE, rows)
    at_once = min(online.workers, math.ceil(len(rows) / CHUNK))
    return (time.perf_counter() - started) * at_once / len(rows) / online.workers


def _existing(path: Path) -> Path:
    """The nearest folder above a path that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def _time(seconds: float) -> str:
    """Such as "3 h 05 min", "12 min" or "40 s"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
