"""Grad-CAM (Selvaraju et al. 2017) of an answer, by captum: a map from a general method, to compare the model's own
object attention with."""

from typing import Any, cast

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from vqa.explain.interventions import twin_of, twin_with
from vqa.model.modeling import FilmSEBlock, FilmSEForVisualQuestionAnswering


def grad_cam(
    model: FilmSEForVisualQuestionAnswering, image_features: Tensor, tokens: dict[str, Tensor], answer: int
) -> np.ndarray:
    """Where the last block's features speak for an answer (its index): (h, w), 0 to 1 at the strongest cell.

    `image_features` (1, C, h, w) is one image's, `tokens` one question's. All zero if nothing does.
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
