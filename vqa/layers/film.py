"""Feature-wise linear modulation (Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer")."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from vqa.layers.functional import check_option, check_positive, check_vectors, film_modulate

Gamma = Literal["free", "fixed", "sigmoid", "tanh", "exp"]
Beta = Literal["free", "fixed"]
Placement = Literal["after_norm", "before_norm", "after_relu"]

_BOUNDS: dict[str, Callable[[Tensor], Tensor]] = {
    "free": lambda gamma: gamma,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
}


class FiLM(nn.Module):
    """y = gamma * x + beta, where one linear layer reads gamma = 1 + delta and beta from a conditioning vector.

    Args:
        cond_features: size of the conditioning vector.
        channels: channels C of the features.
        gamma: "free" is the paper's; "sigmoid", "tanh" and "exp" bound 1 + delta to (0, 1), (-1, 1) and (0, inf);
            "fixed" is 1.
        beta: "free", or "fixed" at 0.

    With `groups` of channels, as in a grouped convolution, each group is modulated by its own equal part of the
    conditioning vector alone.

    The other options are ablations of the paper. Costs (cond_features / groups + 1) * C parameters for each of gamma
    and beta that is not fixed. Raises ValueError for an unknown option, for gamma and beta both fixed, and in `forward`
    for shapes that do not agree.
    """

    def __init__(
        self, cond_features: int, channels: int, *, gamma: Gamma = "free", beta: Beta = "free", groups: int = 1
    ) -> None:
        super().__init__()
        check_positive(cond_features=cond_features, channels=channels, groups=groups)
        if cond_features % groups or channels % groups:
            raise ValueError(f"cond_features={cond_features} and channels={channels} must be multiples of {groups=}")
        check_option("gamma", gamma, [*_BOUNDS, "fixed"])
        check_option("beta", beta, ["free", "fixed"])
        if gamma == beta == "fixed":
            raise ValueError("gamma and beta are both fixed: nothing is left to condition on")
        self.cond_features, self.channels, self.gamma, self.beta = cond_features, channels, gamma, beta
        self.groups, features = groups, channels * ((gamma != "fixed") + (beta != "fixed"))
        self.linear = (
            GroupedLinear(cond_features, features, groups) if groups > 1 else nn.Linear(cond_features, features)
        )

    def parameters_for(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        """gamma and beta, each (B, C), for conditioning vectors (B, cond_features); a fixed one is constant."""
        check_vectors("conditioning vectors", cond, self.cond_features)
        out = self.linear(cond)
        if self.gamma == "fixed":
            return torch.ones_like(out), out
        if self.beta == "fixed":
            return _BOUNDS[self.gamma](1 + out), torch.zeros_like(out)
        parts = out.view(out.shape[0], self.groups, 2, -1)
        delta, beta = (part.flatten(1) for part in parts.unbind(2))
        return _BOUNDS[self.gamma](1 + delta), beta

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Modulate x (B, C, ...) by cond (B, cond_features); the result has the shape of x."""
        return film_modulate(x, *self.parameters_for(cond))

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, beta={self.beta}" + (f", groups={self.groups}" if self.groups > 1 else "")


class GroupedLinear(nn.Conv1d):
    """A linear layer of which each of `groups` equal parts of the output reads one part of the input (B, features)."""

    def __init__(self, in_features: int, out_features: int, groups: int) -> None:
        super().__init__(in_features, out_features, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_features) -> (B, out_features)."""
        # as matrix products: what a Conv1d gives hangs on where in memory its weights lie, in the last bit
        assert self.bias is not None
        features = self.out_channels // self.groups
        weight = self.weight.view(self.groups, features, -1).transpose(1, 2)
        parts = x.reshape(x.shape[0], self.groups, -1).transpose(0, 1)
        return torch.baddbmm(self.bias.view(self.groups, 1, features), parts, weight).transpose(0, 1).flatten(1)


def film_norm_relu(
    x: Tensor, norm: nn.Module, gamma: Tensor, beta: Tensor | None = None, placement: Placement = "after_norm"
) -> Tensor:
    """Normalise, modulate and rectify x (B, C, H, W), with gamma and beta (B, C), in the order that `placement` names.

    "after_norm" is norm -> FiLM -> ReLU, the paper's; "before_norm" is FiLM -> norm -> ReLU; "after_relu" is
    norm -> ReLU -> FiLM. Raises ValueError where the shapes do not agree.
    """
    if placement == "before_norm":
        return torch.relu(norm(film_modulate(x, gamma, beta)))
    if placement == "after_relu":
        return film_modulate(torch.relu(norm(x)), gamma, beta)
    return torch.relu(film_modulate(norm(x), gamma, beta))
