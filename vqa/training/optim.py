"""How far a run is, and what hangs on it: the learning rate, the curriculum, when the trunk joins the encoders."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vqa.training.checkpointing import Progress
from vqa.training.options import TrainingOptions


class Schedule:
    """The course of a run whose `progress` changes as it goes on; a length is given in epochs, questions or minutes."""

    def __init__(self, options: TrainingOptions, progress: Progress, steps_per_epoch: int, blocks: int) -> None:
        self.options, self.progress = options, progress
        self.steps_per_epoch, self.blocks = steps_per_epoch, blocks

    @property
    def pretraining(self) -> bool:
        """Whether the encoders learn alone, from scenes and programs, before the trunk between them joins."""
        return self.progress.epoch < self.options.pretrain_epochs

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to a hundredth over the run's length, whichever of its ends comes first.

        A second warm-up where the trunk joins the encoders. Constant after the warm-up for the faithful FiLM.
        """
        joined = 0 if self.pretraining else self.options.pretrain_epochs * self.steps_per_epoch
        warm = min(1.0, (self.progress.step - joined + 1) / max(1, self.options.warmup_steps))
        rate = self.options.learning_rate * warm
        if self.options.faithful:
            return rate
        return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.share()))))

    def longest(self) -> int | None:
        """The most reasoning steps that a question may have by now, for the curriculum; None for any."""
        if self.share() >= self.options.curriculum:
            return None
        return 1 + int(self.share() / self.options.curriculum * self.blocks)

    def share(self) -> float:
        """How much of the run is over; from 1 on, all."""
        return max(done / whole for done, whole in self.lengths().values())

    def lengths(self) -> dict[str, tuple[float, float]]:
        """For each unit that the run's length is given in, how much is done and how much there is."""
        options, progress = self.options, self.progress
        done = {"batch": progress.step, "question": progress.presentations, "s": progress.seconds}
        whole = {
            "batch": options.epochs and options.epochs * self.steps_per_epoch,
            "question": options.max_presentations,
            "s": options.max_minutes and 60 * options.max_minutes,
        }
        return {unit: (done[unit], length) for unit, length in whole.items() if length is not None}


Average = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]


def build_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """AdamW that lets matrices and kernels decay; for FiLM the paper's Adam, with an L2 penalty on all weights."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if options.faithful:
        return torch.optim.Adam(parameters, options.learning_rate, weight_decay=options.weight_decay, fused=True)
    groups = [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, options.learning_rate, betas=(0.9, 0.98), fused=True)


def averaging(decay: float) -> Average:
    """An exponential moving average whose memory grows to `decay`, so that it follows the weights early on."""

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], number: Tensor | int) -> None:
        keep = min(decay, (1 + int(number)) / (10 + int(number)))
        for average, value in zip(averaged, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), 1 - keep)
            else:
                average.copy_(value)

    return update
