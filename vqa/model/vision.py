"""Vision encoders: images (N, 3, H, W) become features (N, C, h, w) once, whatever the number of questions."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vqa.errors import InputError
from vqa.layers.mbconv import MBConvEncoder
from vqa.layers.residual import ResidualConv
from vqa.model.configuration import FilmSEConfig
from vqa.model.two_stream import TwoStreamEncoder


class ConvStem(nn.Module):
    """Strided 3x3 convolutions (each halves the grid), residual blocks, and a projection to the trunk's width."""

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in config.stem_widths:
            layers += [
                nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        layers += [ResidualConv(channels) for _ in range(config.stem_blocks)]
        self.layers = nn.Sequential(*layers)
        self.project = nn.Sequential(nn.Conv2d(channels, config.width, 1, bias=False), nn.BatchNorm2d(config.width))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, width, H / 2^n, W / 2^n) for n strided convolutions."""
        return torch.relu(self.project(self.layers(pixel_values)))


class MBConvStem(nn.Module):
    """Inverted residual blocks with squeeze-and-excitation, projected to the trunk's width.

    As in `ConvStem`, each of `stem_widths` halves the grid and `stem_blocks` blocks come last.
    """

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        self.layers = MBConvEncoder(config.stem_widths, config.stem_blocks)
        self.project = nn.Sequential(
            nn.Conv2d(config.stem_widths[-1], config.width, 1, bias=False),
            nn.BatchNorm2d(config.width),
        )

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, width, H / 2^n, W / 2^n) for n stem widths."""
        return torch.relu(self.project(self.layers(pixel_values)))


class FilmStem(nn.Sequential):
    """The raw-pixel encoder of FiLM (Perez et al. 2018, section 4.1): four 4x4 convolutions of stride 2."""

    def __init__(self, config: FilmSEConfig) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for _ in range(4):
            layers += [
                nn.Conv2d(channels, config.width, 4, stride=2, padding=1),
                nn.BatchNorm2d(config.width),
                nn.ReLU(inplace=True),
            ]
            channels = config.width
        super().__init__(*layers)


class TorchvisionEncoder(nn.Module):
    """A torchvision CNN, cut where its stride would pass `vision_stride`, projected to the trunk's width."""

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        self.frozen = config.freeze_vision
        self.backbone = _torchvision_backbone(config.vision_encoder, config.vision_stride, None)
        probe = torch.zeros(1, 3, 64, 64, device=next(self.backbone.parameters()).device)
        channels = self.backbone.eval()(probe).shape[1]
        self.project = nn.Sequential(nn.Conv2d(channels, config.width, 1, bias=False), nn.BatchNorm2d(config.width))
        self.train()

    def load_pretrained(self, config: FilmSEConfig) -> None:
        """Load torchvision's weights `config.vision_weights`. Raises InputError if they are unavailable."""
        if config.vision_weights:
            source = _torchvision_backbone(config.vision_encoder, config.vision_stride, config.vision_weights)
            self.backbone.load_state_dict(source.state_dict())

    def train(self, mode: bool = True) -> "TorchvisionEncoder":
        """Training mode for the projection; a frozen backbone keeps its statistics, and its weights after loading."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval().requires_grad_(False)
        return self

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, width, H / stride, W / stride)."""
        return torch.relu(self.project(self.backbone(pixel_values)))


def build_vision_encoder(config: FilmSEConfig) -> nn.Module:
    """The encoder that `config.vision_encoder` names, with random weights."""
    return _OWN.get(config.vision_encoder, TorchvisionEncoder)(config)


_OWN: dict[str, Callable[[FilmSEConfig], nn.Module]] = {
    "conv": ConvStem,
    "mbconv": MBConvStem,
    "film": FilmStem,
    "two_stream": TwoStreamEncoder,
}


def _torchvision_backbone(name: str, stride: int, weights: str | None) -> nn.Sequential:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise InputError(
            f"config.vision_encoder: {name!r} is neither conv, mbconv, film nor a torchvision model "
            "such as resnet18 or efficientnet_b0"
        )
    model = models.get_model(name, weights=None)
    if weights is not None:
        try:
            entry = models.get_model_weights(name)[weights]
            model.load_state_dict(entry.get_state_dict(check_hash=True, weights_only=True))
        except Exception as error:  # no such entry, no network, a damaged or hostile file in the cache
            raise InputError(
                f"config.vision_weights: torchvision's weights {weights!r} of {name} are unavailable "
                f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
            ) from error
    stages = (model.features if hasattr(model, "features") else model).children()
    kept: list[nn.Module] = []
    features = torch.zeros(1, 3, 256, 256, device=next(model.parameters()).device)
    model.eval()
    with torch.no_grad():
        for stage in stages:
            features = stage(features)
            if features.dim() != 4 or features.shape[2] != features.shape[3] or features.shape[3] * stride < 256:
                break
            kept.append(stage)
    if not kept:
        raise InputError(f"config.vision_encoder: {name} has no convolutional stage of stride {stride} or less")
    return nn.Sequential(*kept)
