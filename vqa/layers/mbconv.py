"""Inverted residual blocks with squeeze-and-excitation, and a visual encoder made of them.

MBConv is of Sandler et al. 2018 ("MobileNetV2"), with the gate of Hu et al. 2018; Tan and Le 2019 ("EfficientNet")
put the gate inside.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from vqa.layers.functional import check_features, check_option, check_positive
from vqa.layers.squeeze_excite import SqueezeExcitation

Excite = Literal["after", "inside", "none"]
Activation = Literal["relu6", "silu"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu6": nn.ReLU6, "silu": nn.SiLU}


class MBConv(nn.Module):
    """1x1 expansion, depthwise convolution and 1x1 projection, each with BatchNorm, and a gate on the channels.

    Args:
        in_channels, out_channels: channels before and after; where they agree and stride is 1, x is added.
        stride: of the depthwise convolution, 1 or 2.
        expansion: the depthwise convolution has `expansion * in_channels` channels; 1 leaves the 1x1 expansion out.
        kernel_size: odd; of the depthwise convolution.
        excite: "after" gates what is projected, with `reduction`; "inside" gates between the depthwise convolution
            and the projection with in_channels / 4 hidden units, as torchvision's EfficientNet; "none" has no gate.
        reduction: r of the gate "after".
        activation: "relu6", or "silu" as in EfficientNet (also within the gate "inside").

    Raises ValueError for an unknown option and, in `forward`, for x that is not (B, in_channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        expansion: int = 6,
        kernel_size: int = 3,
        excite: Excite = "after",
        reduction: int = 16,
        activation: Activation = "relu6",
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, out_channels=out_channels, expansion=expansion)
        check_option("stride", stride, [1, 2])
        check_option("excite", excite, ["after", "inside", "none"])
        check_option("activation", activation, _ACTIVATIONS)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.in_channels = in_channels
        self.residual = stride == 1 and in_channels == out_channels
        expanded = expansion * in_channels
        act = _ACTIVATIONS[activation]
        steps: list[nn.Module] = []
        if expansion > 1:
            steps += [nn.Conv2d(in_channels, expanded, 1, bias=False), nn.BatchNorm2d(expanded), act(inplace=True)]
        depthwise = nn.Conv2d(
            expanded, expanded, kernel_size, stride, padding=kernel_size // 2, groups=expanded, bias=False
        )
        steps += [depthwise, nn.BatchNorm2d(expanded), act(inplace=True)]
        if excite == "inside":
            silu = activation == "silu"
            steps.append(SqueezeExcitation(expanded, 4 * expansion, activation="silu" if silu else "relu"))
        steps += [nn.Conv2d(expanded, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)]
        if excite == "after":
            steps.append(SqueezeExcitation(out_channels, reduction))
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        check_features(x, self.in_channels)
        return x + self.steps(x) if self.residual else self.steps(x)


class MBConvEncoder(nn.Module):
    """Images to features: a 3x3 convolution of stride 2, then for each further halving two MBConv blocks.

    Args:
        channels: of the features; each halving before the last has half as many, but at least 16.
        downsample: 4, 8, 16 or 32: 16 turns 160 x 240 pixels into 10 x 15 places, 8 turns 96 x 144 into 12 x 18.
        in_channels: of the images.
        options: `expansion`, `excite`, `reduction`, `activation` of `MBConv`.
    """

    def __init__(self, channels: int = 128, downsample: int = 16, in_channels: int = 3, **options) -> None:
        super().__init__()
        check_positive(channels=channels, in_channels=in_channels)
        check_option("downsample", downsample, [4, 8, 16, 32])
        self.in_channels, self.channels, self.downsample = in_channels, channels, downsample
        halvings = downsample.bit_length() - 2
        widths = [max(16, channels >> (halvings - i)) for i in range(halvings)] + [channels]
        steps: list[nn.Module] = [
            nn.Conv2d(in_channels, widths[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU6(),
        ]
        for before, after in pairwise(widths):
            steps += [MBConv(before, after, stride=2, **options), MBConv(after, after, **options)]
        self.steps = nn.Sequential(*steps)

    def forward(self, images: Tensor) -> Tensor:
        """images (B, in_channels, H, W) -> features (B, channels, H / downsample, W / downsample), rounded up."""
        check_features(images, self.in_channels)
        return self.steps(images)
