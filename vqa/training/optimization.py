"""How weights learn: the optimizer, and the moving average of what it finds."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vqa.training.options import TrainingOptions

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
