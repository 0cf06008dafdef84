"""How fast presets train here: questions a second, share of the machine's matrix peak, loading, memory.

All presets are timed in one run, a step of each in turn, so that whatever else the machine does slows all alike.
"""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from vqa.clevr.dataset.loading import open_images
from vqa.clevr.dataset.packed import PackedDataset, write_pack
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene
from vqa.model.configuration import FilmSEConfig
from vqa.model.modeling import FilmSEForVisualQuestionAnswering
from vqa.model.presets import build_config
from vqa.training.options import TrainingOptions
from vqa.training.runtime import processes
from vqa.training.setup import build_trainer
from vqa.training.step_graphs import beside_default_stream
from vqa.training.trainer import Trainer
from vqa.utils.images import load_image
from vqa.utils.tables import markdown_table

WARMUP = 4
"""Steps of each preset before its timed ones; a GPU records its graphs in the third."""


@dataclass(frozen=True, slots=True)
class TrainingSpeed:
    """One preset in its recipe; a step is loading, forward, backward and update of one batch, one after the other."""

    preset: str
    precision: str
    image_size: tuple[int, int]
    """(height, width) in pixels"""
    parameters: int
    images: int
    """of a full step"""
    questions: int
    """of a full step"""
    steps: int
    """timed"""
    load_ms: float
    """median time to load a batch"""
    step_ms: float
    """median time of forward, backward and update"""
    questions_per_second: float
    """over all timed steps, loading included"""
    gflops_per_question: float
    """of forward and backward: 2 for each multiply-add of a convolution or matrix product, nothing for the rest"""
    share_of_peak: float
    """those FLOPs a second, over those of the machine's bfloat16 matrix product"""


@dataclass(frozen=True, slots=True)
class TrainingBenchmark:
    """What `benchmark_training` measured on one machine."""

    device: str
    threads: int
    images: int
    """of the data, repeats counted"""
    questions: int
    """of the data, repeats counted"""
    preparation_seconds: float
    """the longest that a preset took from opening the data to its first step"""
    matrix_peak: float
    """FLOPs a second of a product of bfloat16 matrices, the best of the same run"""
    peak_memory: int
    """bytes of this process at their most, all presets together, pages of mapped files counted"""
    speeds: tuple[TrainingSpeed, ...]

    def to_json(self) -> dict[str, Any]:
        """The measurement as `--json` writes it; its key for the number of images is `pictures`."""
        record = asdict(self)
        for part in (record, *record["speeds"]):
            part["pictures"] = part.pop("images")
        return record


@dataclass
class TimedRun:
    """A run, and how long its steps took."""

    trainer: Trainer
    preparation: float
    loads: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    shapes: list[tuple[int, int, int]] = field(default_factory=list)
    """images, questions and their padded length"""

    def advance(self) -> None:
        """One step."""
        started = _now()
        parts = [self.trainer.load(part) for part in range(self.trainer.options.gradient_accumulation)]
        loaded = _now()
        self.trainer.step(*parts)
        self.loads.append(loaded - started)
        self.steps.append(_now() - loaded)
        self.shapes += [(len(batch.images), *batch.input_ids.shape) for batch in parts]

    def warm_up(self) -> None:
        """Steps that do not count."""
        for _ in range(WARMUP):
            self.advance()
        self.loads, self.steps, self.shapes = [], [], []

    def share(self, steps: int, seconds: float) -> float:
        """The share of `steps` or of `seconds` that is over, whichever is larger; 1 at the end."""
        return max(len(self.steps) / steps, sum(self.loads + self.steps) / seconds)

    def speed(self, matrix_peak: float) -> TrainingSpeed:
        """The figures of all timed steps so far."""
        model, options = self.trainer.model, self.trainer.options
        assert isinstance(model.config, FilmSEConfig)
        seconds = sum(self.loads) + sum(self.steps)
        questions = mean(shape[1] for shape in self.shapes)
        per_second = len(self.steps) / seconds
        flops = training_flops(model.config, *(round(mean(sizes)) for sizes in zip(*self.shapes, strict=True)))
        height, width = model.config.image_size
        return TrainingSpeed(
            preset=options.preset,
            precision=self.trainer.progress.precision,
            image_size=(height, width),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            images=max(shape[0] for shape in self.shapes),
            questions=max(shape[1] for shape in self.shapes),
            steps=len(self.steps),
            load_ms=1000 * median(self.loads),
            step_ms=1000 * median(self.steps),
            questions_per_second=questions * per_second,
            gflops_per_question=flops / questions / 1e9,
            share_of_peak=flops * per_second / matrix_peak,
        )


def benchmark_training(
    data: str,
    presets: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    split: str = "train",
    images: int = 512,
    steps: int = 200,
    seconds: float = 300.0,
    precision: str = "auto",
    on_step: Callable[[float], object] = lambda share: None,
) -> TrainingBenchmark:
    """Train each preset for `steps` steps or for `seconds`, whichever is over first, a step of each in turn.

    Each has its own recipe: size of images and batches, optimizer, losses; `overrides` change all models. `data` is
    repeated to `images` images; `on_step` gets the share of the run that is over. Raises InputError as
    `build_trainer` does.
    """
    with TemporaryDirectory(prefix="vqa-benchmark-") as folder, beside_default_stream(processes().device):
        timed = []
        for i, preset in enumerate(presets):
            height, width = build_config(preset, overrides).image_size
            path = Path(folder, f"{i}.pack")
            repeat_images(open_images(data, (height, width), split), images, path, (height, width))
            started = _now()
            options = TrainingOptions(
                str(path),
                folder,
                split,
                preset=preset,
                overrides=list(overrides),
                holdout=0.0,
                mixed_precision=precision,
                epochs=1_000_000,
            )
            trainer = build_trainer(options)
            timed.append(TimedRun(trainer, _now() - started))
            timed[-1].warm_up()
        peak = matrix_peak(timed[0].trainer.accelerator.device)
        while (share := min(item.share(steps, seconds) for item in timed)) < 1:
            min(timed, key=lambda item: item.share(steps, seconds)).advance()
            on_step(share)
        device = timed[0].trainer.accelerator.device
        peak, memory = max(peak, matrix_peak(device)), peak_memory()
        used = timed[0].trainer.data
        return TrainingBenchmark(
            device=device_name(device),
            threads=torch.get_num_threads(),
            images=len(used.pack),
            questions=len(used.stored.labels),
            preparation_seconds=max(item.preparation for item in timed),
            matrix_peak=peak,
            peak_memory=memory,
            speeds=tuple(item.speed(peak) for item in timed),
        )


def format_benchmark(found: TrainingBenchmark) -> str:
    """The figures as text: a Markdown table, a preset a row, and what is common to all."""
    first = found.speeds[0]
    header = ["preset", "precision", "image size", "batch", "steps", "ms/step", "questions/s", f"x {first.preset}"]
    header += ["GFLOPs/question", "of peak", "loading ms", "x faster"]
    rows = []
    for speed in found.speeds:
        height, width = speed.image_size
        row = [speed.preset, speed.precision, f"{height}x{width}", f"{speed.questions} of {speed.images}"]
        row += [f"{speed.steps}", f"{speed.step_ms:.0f}", f"{speed.questions_per_second:.1f}"]
        row += [f"{speed.questions_per_second / first.questions_per_second:.1f}", f"{speed.gflops_per_question:.2f}"]
        row += [f"{speed.share_of_peak:.0%}", f"{speed.load_ms:.2f}", f"{speed.step_ms / speed.load_ms:.0f}"]
        rows.append(row)
    lines = markdown_table(header, rows, "<<>", padded=True)
    about = (
        f"{found.device}, {found.threads} threads; {found.images:,} images and {found.questions:,} questions, "
        f"ready after {found.preparation_seconds:.1f} s; bfloat16 matrix peak {found.matrix_peak / 1e9:,.0f} GFLOP/s; "
        f"peak memory of the process {found.peak_memory / 2**30:.2f} GiB"
    )
    return "\n".join([*lines, "", about])


def repeat_images(pack: PackedDataset, number: int, path: Path, size: tuple[int, int]) -> None:
    """Write a pack of `number` images at a size (H, W): `pack`'s again and again, with their scenes and questions."""

    def load(name: str) -> Image.Image:
        row = int(name[:6]) % len(known)
        return load_image(pack.image_file(row)) if pack.images is None else Image.fromarray(pack.images[row])

    known: list[tuple[Scene | None, list[Question]]] = [
        (pack.scene(row), pack.questions(row)) for row in range(min(number, len(pack)))
    ]

    def copies() -> Iterator[tuple[dict, Scene | None, list[Question]]]:
        for i in range(number):
            yield {"image_filename": f"{i:06d}.png", "image_index": i}, *known[i % len(known)]

    write_pack(
        path,
        (replace(scene, **names) for names, scene, _ in copies() if scene is not None),
        (replace(question, **names) for names, _, questions in copies() for question in questions),
        pack.split,
        load=load,
        size=size,
        workers=os.cpu_count() or 1,
    )


def matrix_peak(device: torch.device, seconds: float = 1.0) -> float:
    """FLOPs a second of a product of square bfloat16 matrices: the best of several sizes, each for `seconds`."""
    best = 0.0
    for size in (4096, 8192, 16384) if device.type == "cuda" else (512, 1024, 2048):
        one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
        began = _now()
        while (started := _now()) - began < seconds:
            one @ other
            best = max(best, 2 * size**3 / (_now() - started))
    return best


def training_flops(config: FilmSEConfig, images: int, questions: int, length: int) -> int:
    """FLOPs of forward and backward for questions padded to `length` words.

    2 for each multiply-add of a convolution or matrix product, nothing for the rest. Counted on a small batch, for
    they grow in proportion to the images and to the questions.
    """
    model = FilmSEForVisualQuestionAnswering(config)

    def count(number: int) -> int:
        ids = torch.ones(number, length, dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            output = model(torch.rand(2, 3, *config.image_size), ids, torch.ones_like(ids), torch.arange(number) % 2)
            found = [output.logits, *(output.evidence_logits or ()), output.step_logits, output.pointer_logits]
            found += vars(output.scene).values() if output.scene else ()
            torch.stack([part.sum() for part in found if part is not None]).sum().backward()
        return counter.get_total_flops()

    two, four = count(2), count(4)
    per_question = (four - two) // 2
    return images * (two // 2 - per_question) + questions * per_question


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def machine(device: torch.device) -> str:
    """The device, and the processor that feeds it, by name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return f"{device_name(device)}, {processor}, {torch.get_num_threads()} threads"


def peak_memory() -> int:
    """The peak memory of this process in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
