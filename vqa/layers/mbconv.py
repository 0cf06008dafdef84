"""Inverted residual blocks with squeeze-and-excitation, and a visual encoder made of them.

MBConv is of Sandler et al. 2018 ("MobileNetV2"), with the gate of Hu et al. 2018; Tan and Le 2019 ("EfficientNet")
put the gate inside.
"""

from collections.abc import Sequence
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
    """Images to features: a 3x3 convolution of stride 2, for each further halving an MBConv, then MBConvs of stride 1.

    Args:
        widths: channels after each halving: (32, 64, 96) turns 128 x 192 pixels into 96 channels of 16 x 24 places.
        blocks: MBConvs of stride 1 at the end.
        in_channels: of the images.
        options: `expansion`, `excite`, `reduction`, `activation` of `MBConv`.

    Raises ValueError without a width and, in `forward`, for images that are not (B, in_channels, H, W).
    """

    def __init__(self, widths: Sequence[int], blocks: int = 1, in_channels: int = 3, **options) -> None:
        super().__init__()
        if not widths:
            raise ValueError("widths must name at least one halving")
        check_positive(in_channels=in_channels, **{f"widths[{i}]": width for i, width in enumerate(widths)})
        self.in_channels = in_channels
        last = widths[-1]
        self.steps = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU6(),
            *[MBConv(before, after, stride=2, **options) for before, after in pairwise(widths)],
            *[MBConv(last, last, **options) for _ in range(blocks)],
        )

    def forward(self, images: Tensor) -> Tensor:
        """images (B, in_channels, H, W) -> (B, widths[-1], H / 2^n, W / 2^n), rounded up, for n widths."""
        check_features(images, self.in_channels)
        return self.steps(images)
