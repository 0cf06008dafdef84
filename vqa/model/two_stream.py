"""An image encoder that cannot read shape off color: form from luminance, color from small patches of pixels.

The luminance stream sees one gray image, mixed from red, green and blue by weights drawn for every image in training,
under local contrast normalization (after Jarrett et al. 2009, section 2): it finds objects and their size, material and
shape, and cannot know a hue. The color stream sees patches of four pixels through 1x1 convolutions: it knows hues, and
no form. For every cell the luminance stream decides at which of the patches around it the object shows; their mean is
the cell's color feature. So form decides where to look, and pixels decide the color.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqa.layers.functional import coordinate_maps
from vqa.layers.residual import ResidualConv
from vqa.model.configuration import FilmSEConfig

_PATCH = 4
"""Side of a patch, pixels."""
_COARSE, _FINE, _FLOOR = 17, 5, 0.17
"""Windows of the contrast normalization, pixels, and what is added to the local standard deviation (normalized pixels;
about 0.02 of the range of an image)."""


class TwoStreamEncoder(nn.Module):
    """Features in two groups of channels: `width` of form, then width // 2 of color, at an eighth of the resolution.

    As in `ConvStem` each of `stem_widths` halves the grid and `stem_blocks` residual blocks come last; another one
    stands after the second halving, for small objects.
    """

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        self.form_channels, self.color_channels = config.width, config.width // 2
        self.random_gray, self.contrast, self.window = config.random_gray, config.contrast, config.color_window
        self.cell_patches = 2 ** len(config.stem_widths) // _PATCH
        layers: list[nn.Module] = []
        channels = 2
        for i, width in enumerate(config.stem_widths):
            layers += [
                nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            layers += [ResidualConv(width)] if i == 1 else []
            channels = width
        layers += [ResidualConv(channels) for _ in range(config.stem_blocks)]
        self.layers = nn.Sequential(*layers)
        self.project = nn.Sequential(nn.Conv2d(channels, config.width, 1, bias=False), nn.BatchNorm2d(config.width))
        self.where = nn.Sequential(
            nn.Conv2d(config.width + 2, 96, 1), nn.ReLU(inplace=True), nn.Conv2d(96, self.window**2, 1)
        )
        colors = self.color_channels
        self.pixels = nn.Sequential(nn.Conv2d(3, colors, 1), nn.ReLU(inplace=True), nn.Conv2d(colors, colors, 1))
        self.patches = nn.Conv2d(colors, colors, 1)

    @property
    def out_channels(self) -> int:
        """Channels of the features."""
        return self.form_channels + self.color_channels

    def luminance(self, pixel_values: Tensor) -> Tensor:
        """Contrast of a gray image at two scales (or the image twice), (N, 2, H, W), of pixels (N, 3, H, W).

        Red, green and blue count alike, but in training by weights drawn for each image from Dirichlet(1, 1, 1).
        """
        if self.training and self.random_gray:
            weights = -torch.rand(pixel_values.shape[0], 3, 1, 1, device=pixel_values.device).clamp(min=1e-6).log()
            gray = (pixel_values * (weights / weights.sum(1, keepdim=True))).sum(1, keepdim=True)
        else:
            gray = pixel_values.mean(1, keepdim=True)
        if not self.contrast:
            return gray.expand(-1, 2, -1, -1)
        coarse, squares = _box_mean(torch.cat([gray, gray * gray], 1), _COARSE).split(1, 1)
        fine = _box_mean(gray, _FINE)
        deviation = (squares - coarse * coarse).clamp(min=0).sqrt()
        return torch.cat([(gray - coarse) / (deviation + _FLOOR), (gray - fine) / (deviation + _FLOOR)], 1)

    def forward(self, pixel_values: Tensor, luminance: Tensor | None = None) -> Tensor:
        """(N, 3, H, W) -> (N, out_channels, H / 2^n, W / 2^n) for n stem widths; the images' luminance may be given."""
        if luminance is None:
            with torch.autocast(pixel_values.device.type, enabled=False):
                luminance = self.luminance(pixel_values.float())
        form = torch.relu(self.project(self.layers(luminance.contiguous(memory_format=torch.channels_last))))
        coords = coordinate_maps(form).expand(form.shape[0], -1, -1, -1)
        weights = self.where(torch.cat([form, coords], 1)).float().softmax(1).to(form.dtype)
        patches = torch.relu(self.patches(F.avg_pool2d(torch.relu_(self.pixels(pixel_values)), _PATCH)))
        return torch.cat([form, self._look(patches, weights)], 1)

    def _look(self, patches: Tensor, weights: Tensor) -> Tensor:
        """The mean of patches (N, c, h * s, w * s) under weights (N, window^2, h, w) of each cell's window.

        One place of the window after another, in float32: a product of matrices for each cell takes seven times as
        long on a CPU.
        """
        height, width = weights.shape[-2:]
        stride = self.cell_patches
        before = (self.window - stride) // 2
        after = self.window - stride - before
        around, weights = F.pad(patches, (before, after) * 2).float(), weights.float()
        mean = around.new_zeros(patches.shape[0], patches.shape[1], height, width)
        for place, weight in enumerate(weights.split(1, 1)):
            top, left = divmod(place, self.window)
            shown = around[:, :, top : top + stride * height : stride, left : left + stride * width : stride]
            mean = torch.addcmul(mean, shown, weight)
        return mean.to(patches.dtype)


def _box_mean(x: Tensor, size: int) -> Tensor:
    """The mean over size x size pixels around each of x (N, C, H, W), its edge repeated; `size` is 2^n + 1.

    Along each axis pairs are summed, then pairs of these, and the last pixel is added: n + 1 sums instead of 2^n.
    """
    around = size // 2
    x = F.pad(x, (around,) * 4, mode="replicate")
    for axis in (2, 3):
        places, total, width = x.shape[axis] - size + 1, x, 1
        while width < size - 1:
            rest = total.shape[axis] - width
            total = total.narrow(axis, 0, rest) + total.narrow(axis, width, rest)
            width *= 2
        x = (total.narrow(axis, 0, places) + x.narrow(axis, size - 1, places)) / size
    return x
