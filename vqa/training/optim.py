"""Schedule of a run (learning rate, curriculum, pretraining of the encoders), optimizer, and average of the weights."""

import math

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from vqa.training.checkpointing import Progress
from vqa.training.options import TrainingOptions


class Schedule:
    """What hangs on how much of a run is over, which `progress` says; its length is in epochs, questions or minutes."""

    def __init__(self, options: TrainingOptions, progress: Progress, steps_per_epoch: int, blocks: int) -> None:
        self.options, self.progress = options, progress
        self.steps_per_epoch, self.blocks = steps_per_epoch, blocks

    @property
    def pretraining(self) -> bool:
        """Whether the encoders train alone, on scenes and programs, before the trunk between them joins."""
        return self.progress.epoch < self.options.pretrain_epochs

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to a hundredth over the run's length, whichever of its ends comes first.

        It warms up again when the trunk joins the encoders. Constant after the warm-up for preset film.
        """
        joined = 0 if self.pretraining else self.options.pretrain_epochs * self.steps_per_epoch
        warm = min(1.0, (self.progress.step - joined + 1) / max(1, self.options.warmup_steps))
        rate = self.options.learning_rate * warm
        if self.options.faithful:
            return rate
        return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.share()))))

    def longest(self) -> int | None:
        """The curriculum's limit on reasoning steps of a question at this point; None for no limit."""
        if self.share() >= self.options.curriculum:
            return None
        return 1 + int(self.share() / self.options.curriculum * self.blocks)

    def share(self) -> float:
        """How much of the run is over; from 1 on, all."""
        return max(done / whole for done, whole in self.lengths().values())

    def lengths(self) -> dict[str, tuple[float, float]]:
        """For each unit that the run's length is given in, how much is done and how much there is."""
        options, progress = self.options, self.progress
        done = {"batch": progress.step, "question": progress.questions_seen, "s": progress.seconds}
        whole = {
            "batch": options.epochs and options.epochs * self.steps_per_epoch,
            "question": options.training_questions,
            "s": options.max_minutes and 60 * options.max_minutes,
        }
        return {unit: (done[unit], length) for unit, length in whole.items() if length is not None}


def build_optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices and kernels; for preset film the paper's Adam, with an L2 penalty on all."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if options.faithful:
        return torch.optim.Adam(parameters, options.learning_rate, weight_decay=options.weight_decay, fused=True)
    groups = [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, options.learning_rate, betas=(0.9, 0.98), fused=True)


@torch.no_grad()
def update_average(average: AveragedModel, model: nn.Module, decay: float) -> None:
    """Move an exponential moving average of weights and buffers on towards those of the model.

    Its memory grows to `decay`, so that it follows the weights early on. `AveragedModel.update_parameters` would read
    its counter from the device in every step, and wait; here the counter stays on the CPU.
    """
    number = int(average.n_averaged)
    keep = min(decay, (1 + number) / (10 + number)) if number else 0.0
    old = [*average.module.parameters(), *average.module.buffers()]
    new = [*model.parameters(), *model.buffers()]
    if number:
        floats = [(one, other) for one, other in zip(old, new, strict=True) if one.is_floating_point()]
        torch._foreach_lerp_([one for one, _ in floats], [other for _, other in floats], 1 - keep)
    others = [(one, other) for one, other in zip(old, new, strict=True) if not (number and one.is_floating_point())]
    if others:
        torch._foreach_copy_([one for one, _ in others], [other for _, other in others])
    average.n_averaged += 1
