"""Squeeze-and-excitation put into networks that were built without it."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from vqa.layers.functional import check_option
from vqa.layers.squeeze_excite import SqueezeExcitation

SEPlacement = Literal["standard", "pre", "post", "identity"]

_CHILD = "squeeze_excitation"


def add_squeeze_excitation(
    model: nn.Module,
    after: Callable[[str, nn.Module], bool] | None = None,
    *,
    placement: SEPlacement = "standard",
    example: Tensor | None = None,
    **options: Any,
) -> nn.Module:
    """Put `SqueezeExcitation` into a CNN, in place, and return it.

    Args:
        model: a ResNet or ResNeXt of torchvision or timm; with `after`, any CNN that takes one image batch.
        after: given a module's name and the module, whether its output (B, C, H, W) is to be gated.
        placement: where in each residual block, when `after` is not given (Hu et al. 2018, figure 5): "standard" at the
            end of the residual branch, "pre" at its start, "post" after the sum, "identity" on the other branch.
        example: an image batch that the model takes. The model is run on it once, in evaluation mode and without
            gradients, to count the channels; by default it is one black image of 96 x 96.
        options: of `SqueezeExcitation`: `reduction`, `squeeze`, `gate`, `bias`.

    The gates become children, named "squeeze_excitation", of the modules they follow. Every name and value in the
    `state_dict` that the model had stays, so that weights made without the gates load with `strict=False`. Raises
    ValueError where no module is chosen, where one is already gated, yields no map, or is a container that runs its
    children itself.
    """
    check_option("placement", placement, ["standard", "pre", "post", "identity"])
    if after is None:
        targets = [_place(name, block, placement) for name, block in model.named_modules() if _is_residual(block)]
    elif placement != "standard":
        raise ValueError(f"placement {placement!r} is for residual blocks; with `after` leave it out")
    else:
        targets = [_Target(name, module) for name, module in model.named_modules() if name and after(name, module)]
    if not targets:
        raise ValueError("no module to put squeeze-and-excitation after; pass after=predicate(name, module)")
    for target in targets:
        target.check()
    channels = _count_channels(model, targets, example)
    for target in targets:
        target.attach(SqueezeExcitation(channels[target.name], **options))
    return model


class _Target(NamedTuple):
    name: str
    module: nn.Module
    before: bool = False
    """whether to gate the module's input rather than its output"""

    def check(self) -> None:
        if hasattr(self.module, _CHILD):
            raise ValueError(f"{self.name} has squeeze-and-excitation already")
        iterates = isinstance(self.module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        if iterates and not self._is_plain_sequential():
            raise ValueError(f"{self.name} runs its children itself; choose a module within it or around it")

    def attach(self, gate: SqueezeExcitation) -> None:
        like = next(self.module.parameters(), None)
        gate = gate.train(self.module.training)
        self.module.add_module(_CHILD, gate if like is None else gate.to(like))
        if self.before:
            self.module.register_forward_pre_hook(_gate_input)
        elif not self._is_plain_sequential():
            self.module.register_forward_hook(_gate_output)

    def _is_plain_sequential(self) -> bool:
        return isinstance(self.module, nn.Sequential) and type(self.module).forward is nn.Sequential.forward


def _gate_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (getattr(module, _CHILD)(inputs[0]), *inputs[1:])


def _gate_output(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return getattr(module, _CHILD)(output)


def _is_residual(module: nn.Module) -> bool:
    return hasattr(module, "downsample") and hasattr(module, "conv1") and hasattr(module, "bn2")


def _place(name: str, block: Any, placement: SEPlacement) -> _Target:
    if placement == "post":
        return _Target(name, block)
    if placement == "pre":
        return _Target(f"{name}.conv1", block.conv1, before=True)
    if placement == "identity":
        if block.downsample is None:
            block.downsample = nn.Identity()
        return _Target(f"{name}.downsample", block.downsample)
    last = "bn3" if hasattr(block, "bn3") else "bn2"
    return _Target(f"{name}.{last}", getattr(block, last))


def _count_channels(model: nn.Module, targets: list[_Target], example: Tensor | None) -> dict[str, int]:
    """Run the model once, changing nothing in it, to see how many channels pass where each gate will be."""
    seen: dict[str, set[tuple[int, ...]]] = {target.name: set() for target in targets}

    def watch(target: _Target):
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            value = inputs[0] if target.before else output
            if not isinstance(value, Tensor) or value.ndim != 4:
                raise ValueError(f"{target.name} yields no (B, C, H, W) tensor to put squeeze-and-excitation on")
            seen[target.name].add(tuple(value.shape))

        return hook

    if example is None:
        example = _black_image(model)
    training = {module: module.training for module in model.modules()}
    hooks = [target.module.register_forward_hook(watch(target)) for target in targets]
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        for hook_handle in hooks:
            hook_handle.remove()
        for module, mode in training.items():
            module.training = mode
    channels = {}
    for name, shapes in seen.items():
        counts = {shape[1] for shape in shapes}
        if len(counts) != 1:
            calls = "is never called" if not counts else f"is called with {sorted(counts)} channels"
            raise ValueError(f"{name} {calls}: squeeze-and-excitation needs one number of channels")
        channels[name] = counts.pop()
    return channels


def _black_image(model: nn.Module) -> Tensor:
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ValueError("the model has no Conv2d to learn the shape of its images from; pass `example`")
    return first.weight.new_zeros(1, first.in_channels, 96, 96)
