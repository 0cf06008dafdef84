"""Grad-CAM (Selvaraju et al. 2017) of an answer, by captum: what evidence looks like to a method that knows nothing of
this model, for comparison with its own maps."""

from typing import Any, cast

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from vqa.explain.interventions import twin_with
from vqa.model.modeling import FilmSEBlock, FilmSEForVisualQuestionAnswering


class _Tapped(nn.Module):
    """A block whose features pass through a module of their own, where captum can take hold of them."""

    def __init__(self, block: FilmSEBlock) -> None:
        super().__init__()
        self.block, self.tap = block, nn.Identity()

    def forward(self, *inputs: Tensor) -> tuple[Any, ...]:
        features, *rest = self.block(*inputs)
        return self.tap(features), *rest


def grad_cam(
    model: FilmSEForVisualQuestionAnswering, image_features: Tensor, tokens: dict[str, Tensor], answer: int
) -> np.ndarray:
    """What in the last block's features speaks for an answer (its index): (h, w), 0 to 1 at the strongest place.

    `image_features` (1, C, h, w) is one image's, `tokens` one question's. All zero where nothing speaks for it.
    """
    tapped = _Tapped(cast(FilmSEBlock, model.blocks[-1]))
    twin = twin_with(model, [*cast(list, list(model.blocks))[:-1], tapped])
    with torch.enable_grad():
        features = image_features.detach().clone().requires_grad_()
        cam = LayerGradCam(lambda inputs: twin(image_features=inputs, **tokens).logits, tapped.tap)
        found = cam.attribute(features, target=answer, relu_attributions=True)
    heat = cast(Tensor, found)[0, 0].detach().float().cpu().numpy()
    return heat / max(float(heat.max()), 1e-12)
