"""The training loop on accelerate: one process or many, resumable at any batch, saved so that no kill loses it."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.model.modeling import FilmSEForVisualQuestionAnswering, FilmSEOutput
from vqa.model.processing import FilmSEProcessor
from vqa.training.augmentation import augment
from vqa.training.checkpointing import FILE, Progress, save_state
from vqa.training.data import Batch, Epoch, TrainingData
from vqa.training.initial_model import frozen_encoders
from vqa.training.losses import (
    answer_loss,
    entropy_loss,
    gate_values,
    numbers,
    program_losses,
    scene_losses,
    step_losses,
)
from vqa.training.model_card import training_record, write_checkpoint
from vqa.training.optim import Schedule, update_average
from vqa.training.options import TrainingOptions
from vqa.training.run_log import plot_curve, rewind_log, write_log
from vqa.training.runtime import Interruption, warn
from vqa.training.step_graphs import StepGraphs, beside_default_stream
from vqa.training.tensors import constant

Gates = tuple[tuple[Tensor, ...], Tensor | None]
"""Every block's channel weights (B, C), and an input gate's logits (B, K, C)."""


@dataclass(eq=False, repr=False)
class Trainer:
    """One run of `vqa train`, as `vqa.training.setup.build_trainer` puts it together.

    `prepared` is `model` as accelerate wraps it for several processes, `average` the moving average of its weights,
    which is what gets evaluated and written. `identity` is what must not change when the run is resumed, `record` what
    the checkpoint says of its training, and `supervision` what of `options.supervision` data and model have.
    """

    options: TrainingOptions
    model: FilmSEForVisualQuestionAnswering
    processor: FilmSEProcessor
    data: TrainingData
    schedule: Schedule
    accelerator: Accelerator
    prepared: nn.Module
    optimizer: AcceleratedOptimizer
    average: AveragedModel
    progress: Progress
    identity: dict[str, Any]
    record: dict[str, Any]
    supervision: str
    after_evaluation: Callable[[], None] | None = None
    interruption: Interruption = field(default_factory=Interruption)
    _epoch: Epoch | None = field(default=None, init=False)
    _gates: Gates = field(default=((), None), init=False)

    def __post_init__(self) -> None:
        self._seconds = self.progress.seconds  # this process's own clock; the one in `progress` is agreed on
        options, place = self.options, self.accelerator
        lone = place.num_processes == options.gradient_accumulation == 1 and self.progress.precision != "fp16"
        images = options.images_per_step if lone and place.device.type == "cuda" else None
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        questions, longest = images and images * options.questions_per_image, self.processor.tokenizer.model_max_length
        self._graphs = StepGraphs(self._pass, parameters, images, questions, longest)

    def run(self) -> Path:
        """Train until the epochs, minutes or questions are over; returns the checkpoint's folder.

        At Ctrl-C or SIGTERM the step is finished and the state saved before KeyboardInterrupt is raised.
        """
        options, progress = self.options, self.progress
        if self.accelerator.is_main_process:
            rewind_log(options.folder, progress.step if options.resume else -1)
        if not options.resume:
            self.save()
        bar = self._bar()
        try:
            with self.interruption, beside_default_stream(self.accelerator.device):
                self._train(bar)
                if not progress.history or progress.history[-1]["step"] < progress.step:
                    self.evaluate()
            self.save()
            if options.pretrain_epochs and not progress.questions_seen:
                warn("only the encoders were trained, the trunk was not; start a run from them with --encoders")
        except KeyboardInterrupt:
            self.save()
            self.accelerator.end_training()
            raise
        finally:
            bar.close()
            self.data.close()
        self.accelerator.end_training()
        return options.folder

    def _train(self, bar: tqdm) -> None:
        """Step until the schedule is over, evaluating and saving when they are due.

        Every `log_every` steps the losses are read from the device and the processes talk about clocks and
        interruptions; between, a step waits for nothing. The end needs no talk: it hangs on counts that all processes
        keep alike, and on the clock that they last agreed on. One process alone looks at its clock after every step.
        """
        options, progress = self.options, self.progress
        alone = self.accelerator.num_processes == 1
        last_saved = last_evaluated = time.monotonic()
        while self.schedule.share() < 1:
            started, seen = time.monotonic(), progress.questions_seen
            measured = self.step(*(self.load(part) for part in range(options.gradient_accumulation)))
            now = time.monotonic()
            self._seconds += now - started
            logging = (progress.step - 1) % options.log_every == 0
            evaluating = saving = False
            if alone or logging:
                evaluating = now - last_evaluated >= options.evaluate_minutes * 60
                saving = now - last_saved >= options.save_minutes * 60
                evaluating, saving = self.agree(evaluating, saving)
            if logging:
                bar.set_postfix_str(self._report(measured), refresh=False)
            if not bar.disable:
                bar.n = min(round(self.schedule.lengths()[bar.unit][0]), bar.total)
                bar.update(0)
            if evaluating or _passed(options.evaluate_every, seen, progress.questions_seen):
                self.evaluate()
                last_evaluated = time.monotonic()
            if saving:
                self.save()
                last_saved = time.monotonic()

    def load(self, part: int = 0) -> Batch:
        """This process's share of the next step's batch, or of one part of it with gradient accumulation."""
        options, progress, place = self.options, self.progress, self.accelerator
        if self._epoch is None or self._epoch.number != progress.epoch:
            self._epoch = self.data.epoch(progress.epoch)
        return self._epoch.batch(
            progress.batch,
            options.images_per_step,
            options.questions_per_image,
            place.process_index + part * place.num_processes,
            place.num_processes * options.gradient_accumulation,
            self.schedule.longest(),
        )

    def step(self, *parts: Batch) -> dict[str, Tensor]:
        """Train on a batch, in one part or several, and move on to the next.

        Returns the mean of each loss, and the accuracy, on the device; nothing here waits for it.
        """
        options, progress, accelerator = self.options, self.progress, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate()

        # A loss is the mean over the terms of the global batch, however unevenly questions and objects are spread
        # over processes and parts. DDP averages the gradients of processes and accelerate those of parts; so each
        # backpropagates (shares of the batch) * (its own sum) / (number of terms of all).
        counted = [numbers(batch.labels, batch.scenes, batch.steps, batch.image_index) for batch in parts]
        local = {name: torch.stack([each[name] for each in counted]).sum() for name in counted[0]}
        terms = dict(zip(local, accelerator.reduce(torch.stack([*local.values()]), "sum").clamp(min=1), strict=True))
        sums: dict[str, Tensor] = {}
        for part, batch in enumerate(parts):
            with accelerator.accumulate(self.prepared):
                measured, self._gates = self._graphs(*self._drawn(part, batch), terms, self.schedule.pretraining)
                if options.clip_norm and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(self.prepared.parameters(), options.clip_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            for name, value in measured.items():
                sums[name] = sums.get(name, 0) + value
        update_average(self.average, self.model, options.ema)

        # The schedule needs the exact number of questions, which the loader knows without asking the device.
        if "answer" in sums:
            progress.questions_seen += parts[0].answered
        progress.advance(self.schedule.steps_per_epoch)
        means = accelerator.reduce(torch.stack([*sums.values()]), "sum")
        return {name: value / terms.get(name, terms["answer"]) for name, value in zip(sums, means, strict=True)}

    def _drawn(self, part: int, batch: Batch) -> tuple[Batch, Tensor]:
        """A part of the batch with its images (N, 3, H, W) in 0..1, augmented; torch is seeded for what follows."""
        options, place = self.options, self.accelerator

        # What is drawn hangs on seed, step, process and part alone, so that a resumed run draws the same.
        share = place.process_index + part * place.num_processes
        seed = hash((options.seed, self.progress.step, share)) & 0x7FFFFFFF
        torch.manual_seed(seed)
        images = batch.images.float() / 255
        if options.augment:
            images, motion = augment(images, torch.Generator().manual_seed(seed), options.augment)
            batch = replace(batch, scenes=batch.scenes._replace(centre=motion(batch.scenes.centre)))
        return batch, images

    def _pass(self, batch: Batch, images: Tensor, terms: dict[str, Tensor]) -> tuple[dict[str, Tensor], Gates]:
        """Forward and backward: sums of losses and correct answers ("accuracy"), and what to log of gates."""
        options, place = self.options, self.accelerator
        self.prepared.train()
        for frozen in frozen_encoders(self.model, options.freeze_encoders):
            frozen.eval()
        keep_norm_statistics(self.model, len(batch.labels), options.freeze_norm)
        losses, output = self.losses(batch, images)
        shares = place.num_processes * options.gradient_accumulation
        scaled = [options.weights[name] * loss * shares / terms[name] for name, loss in losses.items()]
        place.backward(torch.stack(scaled).sum())
        measured = {name: loss.detach().float() for name, loss in losses.items()}
        if output.logits is not None:
            measured["accuracy"] = (output.logits.argmax(1) == batch.labels).sum().float()
        gates = tuple(weights.detach() for weights in output.channel_weights or ())
        return measured, (gates, None if output.gate_logits is None else output.gate_logits.detach())

    def losses(self, batch: Batch, images: Tensor) -> tuple[dict[str, Tensor], FilmSEOutput]:
        """All losses of a batch whose images (N, 3, H, W) lie in 0..1, each a sum, and the model's output."""
        output = self._forward(self.prepared, batch, images, self.schedule.pretraining)
        losses: dict[str, Tensor] = {}
        if self.supervision != "answers":
            losses |= scene_losses(output, batch.scenes)
        if self.supervision == "programs":
            losses |= step_losses(output, batch.steps)
        if self.schedule.pretraining:
            return losses, output
        losses |= answer_loss(output, batch.labels)
        if self.supervision == "programs":
            losses |= program_losses(output, batch.steps, batch.scenes, batch.image_index)
        if self.options.weights["entropy"]:
            losses |= entropy_loss(output, batch.labels)
        return losses, output

    def evaluate(self) -> float:
        """Accuracy of the averaged weights on the held-out rows; the checkpoint is written if it is the best so far.

        Without held-out rows the latest weights are the best. Raises KeyboardInterrupt, with nothing changed, if the
        run is interrupted, and InputError if the weights are not finite.
        """
        progress, main = self.progress, self.accelerator.is_main_process
        self._check_weights()
        correct = self._held_out_answers() if main else {}
        self.agree()
        everything = [hit for hits in correct.values() for hit in hits]
        accuracy = sum(everything) / len(everything) if everything else 0.0
        by_type = {name: sum(hits) / len(hits) for name, hits in sorted(correct.items())}
        if main and (accuracy >= progress.best or not everything):
            progress.best = accuracy
            held_out = {"accuracy": accuracy, "questions": len(everything), "by_type": by_type}
            self.record |= training_record(self.options, progress, len(self.data.rows), self.supervision, self.record)
            record = self.record | {"held_out": held_out}
            write_checkpoint(self.options.folder, self.averaged, self.processor, record)
        progress.history.append(progress.log_line() | {"held_out_accuracy": accuracy, "by_type": by_type})
        if everything:
            self._log({"held_out_accuracy": accuracy})
            tqdm.write(f"step {progress.step}: held-out accuracy {accuracy:.2%} of {len(everything)}", file=sys.stderr)
        if main:
            plot_curve(self.options.folder)
        self.accelerator.wait_for_everyone()
        if self.after_evaluation:
            self.after_evaluation()
        return accuracy

    @property
    def averaged(self) -> FilmSEForVisualQuestionAnswering:
        """The moving average of the weights, which is evaluated and written."""
        model = self.average.module
        assert isinstance(model, FilmSEForVisualQuestionAnswering)
        return model

    def _held_out_answers(self) -> dict[str, list[int]]:
        """1 for each held-out question answered correctly, else 0, by question type; unfinished if interrupted."""
        model = self.averaged.eval()
        correct: dict[str, list[int]] = {}
        with torch.inference_mode(), self.accelerator.autocast():
            for batch, types in self.data.held_out_batches(self.options.images_per_batch):
                if self.interruption.asked:
                    break
                logits = self._forward(model, batch, batch.images.float() / 255).logits
                hits = (logits.argmax(1) == batch.labels).int().tolist()
                for hit, kind in zip(hits, types, strict=True):
                    correct.setdefault(QUESTION_TYPES[kind] if kind >= 0 else "other", []).append(hit)
        return correct

    def save(self) -> None:
        """Write the state that `--resume` continues from, replacing the last one.

        Raises InputError, and keeps the last one, if the weights are not finite or the disk refuses.
        """
        self._check_weights()
        if self.accelerator.is_main_process:
            save_state(
                self.options.folder / FILE,
                {"model": self.model.state_dict(), "average": self.average.state_dict()},
                self.optimizer,
                {
                    "progress": self.progress.to_json(),
                    "options": self.identity,
                    "settings": self.options.to_json(),
                    "record": self.record,
                },
            )
        self.accelerator.wait_for_everyone()

    def agree(self, *decisions: bool) -> list[bool]:
        """The main process's decisions and clock, for all: clocks differ, and all processes must take the same turn.

        Raises KeyboardInterrupt in all of them if one was interrupted.
        """
        place, agreed = self.accelerator, [self._seconds, *map(float, decisions)]
        interrupted = float(self.interruption.asked)
        if place.num_processes > 1:
            mine = [*(agreed if place.is_main_process else [0.0] * len(agreed)), interrupted]
            votes = torch.tensor(mine, dtype=torch.float64, device=place.device)
            *agreed, interrupted = place.reduce(votes, "sum").tolist()
        self._seconds = self.progress.seconds = agreed[0]
        if interrupted:
            raise KeyboardInterrupt
        return [bool(decision) for decision in agreed[1:]]

    def _forward(self, model: nn.Module, batch: Batch, images: Tensor, encoders_only: bool = False) -> Any:
        return forward(model, self.processor, batch, images, encoders_only)

    def _diverged(self, what: str) -> InputError:
        return InputError(
            f"step {self.progress.step}: {what} not finite; the last good state is in {self.options.folder / FILE}. "
            "Try a lower --learning-rate or --mixed-precision no"
        )

    def _check_weights(self) -> None:
        if not torch.stack([value.isfinite().all() for value in self.model.state_dict().values()]).all():
            raise self._diverged("the weights are")

    def _bar(self) -> tqdm:
        unit, (done, whole) = next(iter(self.schedule.lengths().items()))
        return tqdm(
            total=round(whole),
            unit=unit,
            desc="train",
            disable=not self.accelerator.is_main_process,
            initial=round(done),
            bar_format="{desc} {percentage:3.0f}%|{bar:20}| {n:.0f}/{total} "
            + unit
            + " [{elapsed}<{remaining}{postfix}]",
        )

    def _report(self, measured: dict[str, Tensor]) -> str:
        """Log what a step measured; returns it as text for the progress bar. Raises InputError if a loss is not finite.

        The mean losses are the same in all processes, so that all raise alike.
        """
        found = measured | gate_values(*self._gates)
        values = dict(zip(found, torch.stack([*found.values()]).tolist(), strict=True))  # the only wait for the device
        if not all(math.isfinite(values[name]) for name in measured):
            raise self._diverged("the loss is")
        logged = {f"train/{name}": value for name, value in values.items()}
        self._log(logged | {"learning_rate": self.schedule.learning_rate()})
        if "answer" not in values:
            return f"encoders only, loss of attributes {values['attributes']:.3f}"
        rate = self.progress.questions_seen / max(self.progress.seconds, 1e-9)
        return f"{rate:.0f} questions/s, loss {values['answer']:.3f}, accuracy {values['accuracy']:.1%}"

    def _log(self, values: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            write_log(self.options.folder, self.progress.log_line() | values)
            if self.options.trackers:
                self.accelerator.log(values, step=self.progress.step)


def forward(
    model: nn.Module, processor: FilmSEProcessor, batch: Batch, images: Tensor, encoders_only: bool = False
) -> Any:
    """The model's output for a batch whose images (N, 3, H, W) lie in 0..1."""
    scaling = processor.image_processor
    mean, std = (constant(tuple(values), images.device) for values in (scaling.image_mean, scaling.image_std))
    return model(
        pixel_values=((images - mean[:, None, None]) / std[:, None, None]).contiguous(
            memory_format=torch.channels_last
        ),
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        image_index=batch.image_index,
        encoders_only=encoders_only,
    )


def keep_norm_statistics(model: nn.Module, questions: int, freeze: bool) -> None:
    """Put those normalization layers in evaluation mode that cannot learn statistics, or must not.

    A batch of one question has no variance over questions, which `BatchNorm1d` needs in training mode.
    """
    for module in model.modules():
        single = questions == 1 and isinstance(module, nn.BatchNorm1d)
        if single or (freeze and isinstance(module, nn.modules.batchnorm._BatchNorm)):
            module.eval()


def _passed(every: int | None, before: int, now: int) -> bool:
    """Whether a multiple of `every` lies in (before, now]."""
    return every is not None and before // every < now // every
