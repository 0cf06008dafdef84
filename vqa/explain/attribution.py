"""Maps from general methods, to compare the model's own object attention with: what each place counts for an answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam
from torch import Tensor, nn

from vqa.explain.interventions import twin_of, twin_with
from vqa.model.modeling import FilmSEBlock, FilmSEForVisualQuestionAnswering

GAMMA = 0.25
_STEPS = 24
_STEPS_AT_ONCE = 8


def grad_cam(
    model: FilmSEForVisualQuestionAnswering, image_features: Tensor, tokens: dict[str, Tensor], answer: int
) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017): where the last block's features speak for an answer (its index).

    (h, w), 0 to 1 at the strongest cell, and all zero if nothing does. `image_features` (1, C, h, w) is one image's,
    `tokens` one question's.
    """
    tap = nn.Identity()  # captum attaches to a module whose output is a tensor; a block's is a tuple
    last = twin_of(cast(FilmSEBlock, model.blocks[-1]))

    def tapped(*inputs: Tensor) -> tuple[Any, ...]:
        features, *rest = type(last).forward(last, *inputs)
        return tap(features), *rest

    last.forward = tapped  # type: ignore[method-assign, assignment]
    twin = twin_with(model, [*model.blocks[:-1], last])
    with torch.enable_grad():
        features = image_features.detach().clone().requires_grad_()
        cam = LayerGradCam(lambda inputs: twin(image_features=inputs, **tokens).logits, tap)
        found = cam.attribute(features, target=answer, relu_attributions=True)
    heat = cast(Tensor, found)[0, 0].detach().float().cpu().numpy()
    return heat / max(float(heat.max()), 1e-12)


def pixel_relevance(
    model: FilmSEForVisualQuestionAnswering, pixels: Tensor, tokens: dict[str, Tensor], answer: int
) -> dict[str, np.ndarray]:
    """For each general method the relevance of every value of an image, (3, H, W), for an answer (its index).

    Gradient x input (Shrikumar et al. 2017); integrated gradients (Sundararajan et al. 2017) from the mean color; LRP
    (Bach et al. 2015) by the gamma rule (Montavon et al. 2019) in convolutions and linear layers and as gradient x
    input in all else. `pixels` (1, 3, H, W) are normalized.
    """

    def logits(images: Tensor) -> Tensor:
        repeated = {name: value.expand(len(images), -1) for name, value in tokens.items()}
        return cast(Tensor, model(pixel_values=images, **repeated).logits)

    with torch.enable_grad():
        image = pixels.detach().clone().requires_grad_()
        by_gradient = InputXGradient(logits).attribute(image, target=answer)
        by_path = IntegratedGradients(logits).attribute(
            image, target=answer, n_steps=_STEPS, internal_batch_size=_STEPS_AT_ONCE
        )
        with _gamma_rule(model):
            by_layers = InputXGradient(logits).attribute(image, target=answer)
    found = {"gradient x input": by_gradient, "integrated gradients": by_path, "LRP": by_layers}
    return {name: values[0].detach().float().cpu().numpy() for name, values in found.items()}


@contextmanager
def _gamma_rule(model: nn.Module) -> Iterator[None]:
    """Makes gradient x input that of LRP-gamma (Montavon et al. 2019, section 10.2.3).

    A layer's output z is rewritten as z' * (z / z') with the quotient held constant. z' counts contributions of z's own
    sign 1 + gamma times, whatever the sign of the inputs, so that the quotient stays within 0 and 1.
    """

    def rewrite(function: Callable[..., Tensor]) -> Callable[[Any, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            more = (layer.stride, layer.padding, layer.dilation, layer.groups) if isinstance(layer, nn.Conv2d) else ()
            bias = None if layer.bias is None else layer.bias.clamp(min=0)
            positive = function(inputs[0].clamp(min=0), layer.weight.clamp(min=0), bias, *more)
            positive = positive + function(inputs[0].clamp(max=0), layer.weight.clamp(max=0), None, *more)
            raised = output + GAMMA * torch.where(output >= 0, positive, output - positive)
            return raised * (output / torch.where(raised == 0, 1.0, raised)).detach()

        return hook

    rules = {nn.Conv2d: rewrite(F.conv2d), nn.Linear: rewrite(F.linear)}
    hooks = [layer.register_forward_hook(rules[type(layer)]) for layer in model.modules() if type(layer) in rules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
