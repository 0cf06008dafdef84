"""The training loop on accelerate: one process or many, resumable at any batch, saved so that no kill loses it."""

import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from vqa.clevr.dataset.loading import open_images
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.errors import InputError
from vqa.model.modeling import FilmSEForVisualQuestionAnswering, FilmSEOutput
from vqa.training.attribute_masking import Hiding
from vqa.training.augmentation import augment
from vqa.training.checkpointing import (
    FILE,
    Progress,
    load_state,
    refuse_to_overwrite,
    restore_module,
    restore_optimizer,
    restored,
    save_state,
)
from vqa.training.data import Batch, Epoch, TrainingData, check_aspect_ratio
from vqa.training.initial_model import begin
from vqa.training.losses import Loss, answer_loss, entropy_loss, gate_values, program_losses, scene_losses, step_losses
from vqa.training.model_card import training_record, write_checkpoint
from vqa.training.optim import Schedule, averaging, build_optimizer
from vqa.training.options import SUPERVISION, TrainingOptions
from vqa.training.run_log import plot_curve, rewind_log, write_log
from vqa.training.runtime import Interruption, choose_precision

_NO_ACCELERATOR = not torch.accelerator.is_available()
"""Said to accelerate, which otherwise joins no processes on a machine without GPU."""


class Trainer:
    """One run of `vqa train`. Raises InputError for options, data or a state that do not fit each other."""

    def __init__(self, options: TrainingOptions, command: str = "vqa train") -> None:
        self.options, self.interruption = options, Interruption()
        self.state_path = options.folder / FILE
        saved = load_state(self.state_path) if options.resume else None
        if saved is None:
            refuse_to_overwrite(options.folder)
        self.progress, self.identity, record = Progress(), options.run_identity(), None
        if saved:
            self.progress, self.identity, record = restored(saved[1], options, self.state_path)
        torch.manual_seed(options.seed)
        main_process = _processes().is_main_process
        self.model, self.processor, earlier = begin(options, self.identity["init"], main_process)
        if options.weights["entropy"] and self.model.config.channel_attention == "none":
            raise InputError("--loss-weight entropy: guards channel weights, and this model has channel_attention=none")
        self.record = earlier if record is None else record
        self.record["commands"] = [*self.record.get("commands", []), command]
        with _processes().local_main_process_first():
            self.pack = open_images(
                options.data, tuple(self.model.config.image_size), options.split, questions=options.questions
            )
        check_aspect_ratio(options.data, self.pack, self.processor.image_processor)
        self.data = TrainingData(
            self.pack,
            self.processor.encode_questions,
            {answer: label for label, answer in enumerate(self.model.config.answers)},
            self.model.config.num_blocks,
            holdout=options.holdout,
            seed=options.seed,
            generated=options.generated,
            compositions=options.compositions,
            protocol=options.split_protocol,
            device=_processes().device,
            progress=lambda rows: tqdm(rows, desc="questions", unit=" images", delay=2, leave=False),
        )
        steps_per_epoch = self.data.batches_per_epoch(options.images_per_batch)
        self.schedule = Schedule(options, self.progress, steps_per_epoch, self.model.config.num_blocks)
        self.supervision = self._teachable()
        self.hiding = None
        if options.hide_colors or options.hide_shapes:
            if self.supervision == "answers":
                raise InputError(
                    "--hide-colors, --hide-shapes: scenes teach what is hidden, and here answers alone teach; leave "
                    "them out, or give --supervision scenes and data that has them"
                )
            self.hiding = Hiding(options.hide_colors, options.hide_shapes, self.processor.encode_questions)
        if options.pretrain_epochs and self.supervision == "answers":
            raise InputError("--pretrain-epochs: scenes and programs teach the encoders, and here answers alone teach")
        if not saved:
            self.progress.precision = self._choose_precision()
        AcceleratorState._reset_state()  # another run of this process may have had another precision
        self.accelerator = Accelerator(
            cpu=_NO_ACCELERATOR,
            mixed_precision=self.progress.precision,
            log_with=options.trackers or None,
            project_dir=options.output,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.average = AveragedModel(self.model, multi_avg_fn=averaging(options.ema), use_buffers=True)
        optimizer = build_optimizer(self.model, options)
        if saved:
            restore_module(self.model, saved[0]["model"], self.state_path)
            restore_module(self.average, saved[0]["average"], self.state_path)
            restore_optimizer(optimizer, saved[0].get("optimizer", {}), self.state_path)
        self.average.to(self.accelerator.device)
        self._gates: list[Tensor] = []
        self._epoch: Epoch | None = None
        self.prepared, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        if options.trackers:
            flat = {name: value for name, value in vars(options).items() if isinstance(value, str | int | float)}
            self.accelerator.init_trackers("vqa", config=flat)
        if unknown := self.data.unknown_answers:
            self._warn(
                f"{unknown.total():,} of {len(self.data.stored.labels):,} questions teach nothing, for the model has "
                f"not their answers, such as {unknown.most_common(1)[0][0]!r:.40}"
            )
        if self.pack.left_out:
            self._warn(f"{self.pack.left_out:,} questions about images that are not there are left out")
        if self.supervision != options.supervision:
            lacking = "model has no evidence" if self.model.scene is None else "data has no more"
            self._warn(f"--supervision: {self.supervision} instead of {options.supervision}, for the {lacking}")

    def run(self) -> Path:
        """Train until the epochs, minutes or presentations are over; returns the checkpoint's folder.

        At Ctrl-C or SIGTERM the step is finished and the state saved before KeyboardInterrupt goes on.
        """
        options, progress = self.options, self.progress
        if self.accelerator.is_main_process:
            rewind_log(options.folder, progress.step if options.resume else -1)
        if not options.resume:
            self.save()
        last_saved = last_evaluated = time.monotonic()
        bar = self._bar()
        try:
            with self.interruption:
                while not self._finished():
                    started = time.monotonic()
                    before = progress.presentations
                    values = self.step(self.load())
                    progress.seconds = broadcast_object_list([progress.seconds + time.monotonic() - started])[0]
                    self._show(bar, values)
                    now = time.monotonic()
                    due = _passed(options.evaluate_presentations, before, progress.presentations)
                    if self._agree(due or now - last_evaluated >= options.evaluate_minutes * 60):
                        self.evaluate()
                        last_evaluated = time.monotonic()
                    if self._agree(now - last_saved >= options.save_minutes * 60):
                        self.save()
                        last_saved = time.monotonic()
                if not progress.history or progress.history[-1]["step"] < progress.step:
                    self.evaluate()
            self.save()
            if options.pretrain_epochs and not progress.presentations:
                self._warn("the encoders alone were taught, the trunk is untrained; go on from them with --encoders")
        except KeyboardInterrupt:
            self.save()
            self.accelerator.end_training()
            raise
        finally:
            bar.close()
            self.data.close()
        self.accelerator.end_training()
        return options.folder

    def load(self) -> Batch:
        """This process's share of the batch that comes next."""
        options, progress, place = self.options, self.progress, self.accelerator
        if self._epoch is None or self._epoch.number != progress.epoch:
            self._epoch = self.data.epoch(progress.epoch)
        return self._epoch.batch(
            progress.batch,
            options.images_per_batch,
            options.questions_per_image,
            place.process_index,
            place.num_processes,
            self.schedule.longest(),
        )

    def step(self, batch: Batch) -> dict[str, float]:
        """Learn from a batch and go on to the next; returns the mean of each loss, and the accuracy.

        Raises InputError, with the weights as they were, where a loss is not finite.
        """
        progress = self.progress
        values = self._learn(batch)
        progress.step += 1
        progress.batch += 1
        if progress.batch >= self.schedule.steps_per_epoch:
            progress.epoch, progress.batch = progress.epoch + 1, 0
        return values

    def evaluate(self) -> float:
        """Accuracy of the averaged weights on the held-out rows; the checkpoint is written when it is the best so far.

        Without held-out rows the latest weights are the best. Raises KeyboardInterrupt, with nothing changed, where
        the run is interrupted, and InputError where the weights are not finite.
        """
        progress, model = self.progress, self.average.module
        assert isinstance(model, FilmSEForVisualQuestionAnswering)
        self._check_weights()
        right: dict[str, list[int]] = {}
        if self.accelerator.is_main_process and len(self.data.held_out):
            model.eval()
            with torch.inference_mode(), self.accelerator.autocast():
                for batch, types in self.data.held_out_batches(self.options.images_per_batch):
                    if self.interruption.asked:
                        break
                    logits = self._forward(model, batch, batch.images.float() / 255).logits
                    hits = (logits.argmax(1) == batch.labels).int().tolist()
                    for hit, kind in zip(hits, types, strict=True):
                        right.setdefault(QUESTION_TYPES[kind] if kind >= 0 else "other", []).append(hit)
        self._agree(False)
        everything = [hit for hits in right.values() for hit in hits]
        accuracy = sum(everything) / len(everything) if everything else 0.0
        by_type = {name: sum(hits) / len(hits) for name, hits in sorted(right.items())}
        if self.accelerator.is_main_process and (accuracy >= progress.best or not everything):
            progress.best = accuracy
            held_out = {"accuracy": accuracy, "questions": len(everything), "by_type": by_type}
            self.record |= training_record(self.options, progress, len(self.data.rows), self.supervision, self.record)
            write_checkpoint(self.options.folder, model, self.processor, self.record | {"held_out": held_out})
        entry = {
            "step": progress.step,
            "presentations": progress.presentations,
            "minutes": round(progress.seconds / 60, 3),
            "held_out_accuracy": accuracy,
            "by_type": by_type,
        }
        progress.history.append(entry)
        if everything:
            self._log({"held_out_accuracy": accuracy})
            tqdm.write(f"step {progress.step}: held-out accuracy {accuracy:.2%} of {len(everything)}", file=sys.stderr)
        if self.accelerator.is_main_process:
            plot_curve(self.options.folder)
        self.accelerator.wait_for_everyone()
        return accuracy

    def save(self) -> None:
        """Write the state that `--resume` goes on from, replacing the last one.

        Raises InputError, and keeps the last one, where the weights are not finite or the disk refuses.
        """
        self._check_weights()
        if self.accelerator.is_main_process:
            save_state(
                self.state_path,
                {"model": self.model.state_dict(), "average": self.average.state_dict()},
                self.optimizer,
                {"progress": vars(self.progress), "options": self.identity, "record": self.record},
            )
        self.accelerator.wait_for_everyone()

    def losses(self, batch: Batch, images: Tensor) -> tuple[dict[str, Loss], FilmSEOutput]:
        """All losses of a batch whose images (N, 3, H, W) lie in 0..1, and the model's output."""
        output = self._forward(self.prepared, batch, images, self.schedule.pretraining)
        losses: dict[str, Loss] = {}
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

    def _learn(self, batch: Batch) -> dict[str, float]:
        options, progress, accelerator = self.options, self.progress, self.accelerator
        seed = hash((options.seed, progress.step, accelerator.process_index)) & 0x7FFFFFFF
        torch.manual_seed(seed)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate()
        images = batch.images.float() / 255
        if options.augment:
            images, motion = augment(images, torch.Generator().manual_seed(seed), options.augment)
            batch = replace(batch, scenes=batch.scenes._replace(centre=motion(batch.scenes.centre)))
        if self.hiding:
            images, batch = self.hiding(images, batch, torch.Generator().manual_seed(seed + 1))
        self.prepared.train()
        self._set_norms(batch)
        losses, output = self.losses(batch, images)
        self._gates = [weights.detach() for weights in output.channel_weights or ()]
        measured = dict(losses)
        if output.logits is not None:
            right = (output.logits.argmax(1) == batch.labels).sum()
            measured["accuracy"] = Loss(right, losses["answer"].number)
        local = torch.stack(
            [torch.stack([item.total.detach().float(), item.number.float()]) for item in measured.values()]
        )
        sums = accelerator.reduce(local, "sum")
        world = accelerator.num_processes
        total = sum(
            options.weights[name] * item.total * world / sums[i, 1].clamp(min=1)
            for i, (name, item) in enumerate(losses.items())
        )
        means = (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist()
        if not all(map(math.isfinite, means)):
            raise self._diverged("the loss is")
        self.optimizer.zero_grad()
        accelerator.backward(total)
        if options.clip_norm and accelerator.sync_gradients:
            accelerator.clip_grad_norm_(self.prepared.parameters(), options.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        if "answer" in losses:
            progress.presentations += int(sums[list(measured).index("answer"), 1])
        return dict(zip(measured, means, strict=True))

    def _forward(self, model: nn.Module, batch: Batch, images: Tensor, encoders_only: bool = False) -> Any:
        image_processor = self.processor.image_processor
        mean, std = (
            torch.tensor(values, device=images.device).view(-1, 1, 1)
            for values in (image_processor.image_mean, image_processor.image_std)
        )
        pixels = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
        return model(
            pixel_values=pixels,
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            image_index=batch.image_index,
            encoders_only=encoders_only,
            separate_vision=self.hiding is not None,
        )

    def _finished(self) -> bool:
        return self._agree(self.schedule.share() >= 1)

    def _agree(self, decision: bool) -> bool:
        """The main process's decision, for all: clocks differ, and all must take the same turn.

        Raises KeyboardInterrupt in all where one was interrupted.
        """
        place = self.accelerator
        votes = torch.tensor([decision and place.is_main_process, self.interruption.asked], device=place.device).float()
        decided, interrupted = place.reduce(votes).tolist()
        if interrupted:
            raise KeyboardInterrupt
        return bool(decided)

    def _teachable(self) -> str:
        """What can teach this model on this data, of what the options allow."""
        most = self.data.teaches if self.model.scene is not None else "answers"
        return min(most, self.options.supervision, key=SUPERVISION.index)

    def _warn(self, message: str) -> None:
        if _processes().is_main_process:
            tqdm.write(f"vqa: warning: {message}", file=sys.stderr)

    def _diverged(self, what: str) -> InputError:
        return InputError(
            f"step {self.progress.step}: {what} not finite; the last good state is in {self.state_path}. "
            "Try a lower --learning-rate or --mixed-precision no"
        )

    def _check_weights(self) -> None:
        if not all(value.isfinite().all() for value in self.model.state_dict().values()):
            raise self._diverged("the weights are")

    def _set_norms(self, batch: Batch) -> None:
        """Normalisation that has no statistics to learn, or shall not learn them, uses those it has."""
        for module in self.model.modules():
            alone = len(batch.labels) == 1 and isinstance(module, nn.BatchNorm1d)
            if alone or (self.options.freeze_norm and isinstance(module, nn.modules.batchnorm._BatchNorm)):
                module.eval()

    def _choose_precision(self) -> str:
        if self.options.mixed_precision != "auto":
            return self.options.mixed_precision
        device = _processes().device
        options = self.options
        batch = self.data.epoch(0).batch(0, options.images_per_batch, options.questions_per_image)
        self._set_norms(batch)
        chosen = choose_precision(
            self.model.to(device),
            lambda model: self._forward(model, batch, batch.images.float() / 255).logits.float().sum(),
        )
        return broadcast_object_list([chosen])[0]

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

    def _show(self, bar: tqdm, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        progress = self.progress
        bar.n = min(round(self.schedule.lengths()[bar.unit][0]), bar.total)
        rate = progress.presentations / max(progress.seconds, 1e-9)
        if "answer" in values:
            said = f"{rate:.0f} questions/s, loss {values['answer']:.3f}, right {values['accuracy']:.1%}"
        else:
            said = f"encoders alone, loss of attributes {values['attributes']:.3f}"
        bar.set_postfix_str(said, refresh=False)
        bar.update(0)
        if progress.step % 20 == 1:
            values = values | gate_values(self._gates)
            self._log(
                {f"train/{name}": value for name, value in values.items()}
                | {"learning_rate": self.schedule.learning_rate()}
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
        write_log(self.options.folder, line)
        if self.options.trackers:
            self.accelerator.log(values, step=progress.step)


def _processes() -> PartialState:
    return PartialState(cpu=_NO_ACCELERATOR)


def _passed(every: int | None, before: int, now: int) -> bool:
    """Whether a multiple of `every` lies in (before, now]."""
    return every is not None and before // every < now // every
