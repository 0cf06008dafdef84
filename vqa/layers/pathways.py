"""Parallel pathways, each with its own squeeze-and-excitation, modulated and mixed by a conditioning vector.

Our own joining of Hu et al. 2018 (the gates), Perez et al. 2018 (the modulation) and Jacobs et al. 1991 ("Adaptive
Mixtures of Local Experts": the mixture).
"""

import torch
from torch import Tensor, nn

from vqa.layers.film import FiLM
from vqa.layers.functional import check_features, check_positive, check_vectors


class PathwayBank(nn.Module):
    """y = sum_p m_p (gamma_p * SE_p(Linear_p(x)) + beta_p): P ways to see x, and how much each counts.

    Args:
        in_features: features of x.
        out_features: features D of the result.
        cond_features: size of the conditioning vector, from which FiLM reads gamma = 1 + delta and beta, (B, P, D),
            and a softmax the mixture m (B, P). In this project it is the question.
        pathways: P, nine by default.
        reduction: r of every SE; its hidden layer has max(1, D // r) units.

    Linear and gate commute with the mean squeeze and with the sum over pathways, so that a map costs one product with
    a (D, in_features) matrix made for each sample, not P of them. Raises ValueError for shapes that do not agree.
    """

    def __init__(
        self, in_features: int, out_features: int, cond_features: int, *, pathways: int = 9, reduction: int = 16
    ) -> None:
        super().__init__()
        check_positive(in_features=in_features, out_features=out_features, pathways=pathways, reduction=reduction)
        self.in_features, self.out_features, self.pathways = in_features, out_features, pathways
        width, hidden = pathways * out_features, pathways * max(1, out_features // reduction)
        self.linear = nn.Linear(in_features, width)
        self.reduce = nn.Conv1d(width, hidden, 1, groups=pathways)
        self.expand = nn.Conv1d(hidden, width, 1, groups=pathways)
        self.film = FiLM(cond_features, width)
        self.mixture = nn.Linear(cond_features, pathways)

    def weights(self, cond: Tensor) -> Tensor:
        """How much each pathway counts, (B, P), positive and summing to 1, for cond (B, cond_features)."""
        check_vectors("conditioning vectors", cond, self.mixture.in_features)
        return self.mixture(cond).softmax(dim=1)

    def channel_weights(self, x: Tensor) -> Tensor:
        """The gates of every pathway, (B, P, D), for x as in `forward`."""
        return self._gates(self.linear(self._squeezed(x)))

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """x (B, in_features) or (B, in_features, H, W), and cond (B, cond_features) -> (B, D) or (B, D, H, W)."""
        squeezed = self._squeezed(x)
        check_vectors("conditioning vectors", cond, self.mixture.in_features, batch=x.shape[0])
        seen = self.linear(squeezed)
        gamma, beta = (self._split(part) for part in self.film.parameters_for(cond))
        mix = self.weights(cond).unsqueeze(2)
        scale, shift = mix * gamma * self._gates(seen), mix * beta
        if x.ndim == 2:
            return (scale * self._split(seen) + shift).sum(1)
        bias = (scale * self.linear.bias.view(self.pathways, -1) + shift).sum(1)
        matrix = torch.einsum("bpd,pdi->bdi", scale, self.linear.weight.view(self.pathways, -1, self.in_features))
        places = x.flatten(2)
        if x.is_contiguous(memory_format=torch.channels_last):
            out = torch.baddbmm(bias[:, None], places.mT, matrix.mT).mT
        else:
            out = torch.baddbmm(bias[:, :, None], matrix, places)
        return out.unflatten(2, x.shape[2:])

    def _squeezed(self, x: Tensor) -> Tensor:
        if x.ndim == 4:
            check_features(x, self.in_features)
            return x.mean((2, 3))
        check_vectors("features", x, self.in_features)
        return x

    def _gates(self, seen: Tensor) -> Tensor:
        hidden = torch.relu(self.reduce(seen.unsqueeze(2)))
        return self._split(torch.sigmoid(self.expand(hidden)).squeeze(2))

    def _split(self, values: Tensor) -> Tensor:
        return values.unflatten(1, (self.pathways, self.out_features))
