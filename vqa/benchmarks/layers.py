"""What every mechanism costs: parameters, FLOPs, and time beside the block that it is put into."""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vqa.layers.cbam import CBAM, SpatialAttention
from vqa.layers.eca import EfficientChannelAttention
from vqa.layers.film import FiLM
from vqa.layers.functional import check_option, check_positive
from vqa.layers.mbconv import Excite, MBConv
from vqa.layers.pathways import PathwayBank
from vqa.layers.query_squeeze_excite import QueryConditionedSE
from vqa.layers.squeeze_excite import SqueezeExcitation
from vqa.utils.tables import markdown_table

QUERY_FEATURES = 256
REDUCTION = 16
BOTTLENECK_FROM = 1024
MBCONV_UP_TO = 512
WARMUP = 3


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One mechanism on one shape of features; times are medians, in milliseconds for the whole batch."""

    mechanism: str
    batch: int
    channels: int
    height: int
    width: int
    parameters: int
    flops: int
    """of one image forward: 2 for each multiply-add, 1 for each elementwise operation or pooled value"""
    forward_ms: float
    train_ms: float
    """forward and backward"""
    forward_to_block: float
    """time of the block with the mechanism / without it, forward"""
    train_to_block: float
    """the same, forward and backward"""
    reference: str | None = None
    """the library whose implementation is timed in the same rounds"""
    forward_to_reference: float | None = None
    """our time / theirs, forward"""
    train_to_reference: float | None = None
    """our time / theirs, forward and backward"""


class _Block(nn.Module):
    """The residual block to compare with: 1x1 and 3x3 convolutions, or, for wide features, ResNet's bottleneck."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 4 if channels >= BOTTLENECK_FROM else channels
        steps = [
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
        ]
        if inner != channels:
            steps += [nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)]
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x)


class Mechanism(NamedTuple):
    """How to make one, from the number of channels."""

    make: Callable[[int], nn.Module]
    conditioned: bool = False
    """whether it takes a query too"""
    without: Callable[[int], nn.Module] = _Block
    """the block without the mechanism"""
    is_block: bool = False
    """whether `make` gives the whole block with the mechanism, rather than the mechanism alone"""


def _mbconv(channels: int, excite: Excite = "inside") -> nn.Module:
    return MBConv(channels, channels, excite=excite, activation="silu")


MECHANISMS: dict[str, Mechanism] = {
    "se": Mechanism(lambda c: SqueezeExcitation(c, REDUCTION)),
    "film": Mechanism(lambda c: FiLM(QUERY_FEATURES, c), conditioned=True),
    "qcse": Mechanism(lambda c: QueryConditionedSE(c, QUERY_FEATURES, REDUCTION), conditioned=True),
    "eca": Mechanism(EfficientChannelAttention),
    "spatial": Mechanism(lambda c: SpatialAttention()),
    "cbam": Mechanism(lambda c: CBAM(c, REDUCTION)),
    "mbconv": Mechanism(_mbconv, without=lambda c: _mbconv(c, "none"), is_block=True),
    "pathways": Mechanism(lambda c: PathwayBank(c, c, QUERY_FEATURES, reduction=REDUCTION), conditioned=True),
}


def reference_layer(mechanism: str, channels: int) -> tuple[str, nn.Module] | None:
    """The library's name and an instance of timm's or torchvision's `mechanism`, None if it has none (or no timm)."""
    if mechanism == "se":
        from torchvision.ops import SqueezeExcitation as TorchvisionSE

        return "torchvision", TorchvisionSE(channels, max(1, channels // REDUCTION))
    if mechanism == "mbconv":
        from torchvision.models.efficientnet import MBConv as TorchvisionMBConv
        from torchvision.models.efficientnet import MBConvConfig

        return "torchvision", TorchvisionMBConv(MBConvConfig(6, 3, 1, channels, channels, 1), 0.0, nn.BatchNorm2d)
    try:
        from timm.layers import EcaModule
        from timm.layers.cbam import CbamModule, SpatialAttn
    except ImportError:
        return None
    timm_layers: dict[str, Callable[[], nn.Module]] = {
        "eca": lambda: EcaModule(channels),
        "spatial": SpatialAttn,
        "cbam": lambda: CbamModule(channels),
    }
    return ("timm", timm_layers[mechanism]()) if mechanism in timm_layers else None


def benchmark_layers(
    channels: Sequence[int] = (128, 512, 2048),
    sizes: Sequence[tuple[int, int]] = ((10, 15), (14, 14)),
    mechanisms: Sequence[str] = tuple(MECHANISMS),
    *,
    batch: int = 32,
    runs: int = 50,
    device: str | torch.device = "cpu",
    on_round: Callable[[], object] = lambda: None,
) -> Iterator[LayerCost]:
    """Cost of each mechanism for each number of channels and each (height, width) of the features, in training mode.

    In every round the block, each mechanism and, right before or after it, its reference run once, in a new random
    order, so that other load and what is left in the caches affect all alike. A mechanism is compared with its
    reference by the median of the rounds' ratios. It is timed alone, and the block with it counts as the block's time
    and its own. "mbconv" is a block itself, compared with the same without SE; it is left out above 512 channels,
    where expansion by 6 makes maps that nobody uses. `on_round` is called after each of the `runs` + `WARMUP` rounds
    of each shape. Raises ValueError for an unknown mechanism and for sizes below 1.
    """
    for mechanism in mechanisms:
        check_option("mechanism", mechanism, MECHANISMS)
    check_positive(batch=batch, runs=runs)
    for c in channels:
        for height, width in sizes:
            check_positive(channels=c, height=height, width=width)
            names = [name for name in mechanisms if name != "mbconv" or c <= MBCONV_UP_TO]
            yield from _benchmark_shape(names, (batch, c, height, width), runs, torch.device(device), on_round)


@dataclass(frozen=True)
class _Contest:
    """What is timed on one shape.

    Attributes:
        layers: the mechanisms by name, their references as "NAME reference", and the blocks.
        inputs: what a layer takes; the features alone if not there.
        references: which library a mechanism's reference is of.
        blocks: which of the layers is each mechanism's block.
    """

    layers: dict[str, nn.Module]
    inputs: dict[str, tuple[Tensor, ...]]
    references: dict[str, str]
    blocks: dict[str, str]


def _benchmark_shape(
    names: list[str],
    shape: tuple[int, int, int, int],
    runs: int,
    device: torch.device,
    on_round: Callable[[], object],
) -> Iterator[LayerCost]:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    query = torch.randn(shape[0], QUERY_FEATURES, generator=torch.Generator().manual_seed(1)).to(device)
    contest = _prepare(names, x, query)
    times = _time_rounds(contest, x, runs, on_round)
    for name in names:
        yield _cost(name, shape, contest, times)


def _prepare(names: list[str], x: Tensor, query: Tensor) -> _Contest:
    """Build every layer for features x (B, C, H, W) and queries (B, Q)."""
    channels = x.shape[1]
    blocks = {name: "mbconv without SE" if MECHANISMS[name].is_block else "block" for name in names}
    contest = _Contest({}, {}, {}, blocks)
    for name in names:
        mechanism = MECHANISMS[name]
        if blocks[name] not in contest.layers:
            contest.layers[blocks[name]] = mechanism.without(channels)
        contest.layers[name] = mechanism.make(channels)
        contest.inputs[name] = (x, query) if mechanism.conditioned else (x,)
        if reference := reference_layer(name, channels):
            contest.references[name], contest.layers[f"{name} reference"] = reference
    for layer in contest.layers.values():
        layer.to(x.device)
    return contest


def _time_rounds(
    contest: _Contest, x: Tensor, runs: int, on_round: Callable[[], object]
) -> dict[str, list[tuple[float, float]]]:
    """The times of every layer, (forward, forward and backward) in milliseconds for each round after the warm-up."""
    # a mechanism and its reference stay neighbours, in either order, as their ratio is taken round by round
    rivals = [
        [name, f"{name} reference"] if name in contest.references else [name]
        for name in [*contest.blocks, *dict.fromkeys(contest.blocks.values())]
    ]
    order = random.Random(0)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contest.layers}
    for round_number in range(WARMUP + runs):
        for together in order.sample(rivals, len(rivals)):
            for name in order.sample(together, len(together)):
                elapsed = _time(contest.layers[name], contest.inputs.get(name, (x,)))
                if round_number >= WARMUP:
                    times[name].append(elapsed)
        on_round()
    return times


def _cost(
    name: str, shape: tuple[int, int, int, int], contest: _Contest, times: dict[str, list[tuple[float, float]]]
) -> LayerCost:
    batch, channels, height, width = shape
    forward, train = _medians(times[name])
    block_forward, block_train = _medians(times[contest.blocks[name]])
    alone = 0 if MECHANISMS[name].is_block else 1  # a mechanism alone: the block with it takes the block's time and its
    ratios = [
        (ours[0] / theirs[0], ours[1] / theirs[1])
        for ours, theirs in zip(times[name], times.get(f"{name} reference", []), strict=False)
    ]
    beside = _medians(ratios) if ratios else (None, None)
    return LayerCost(
        mechanism=name,
        batch=batch,
        channels=channels,
        height=height,
        width=width,
        parameters=sum(p.numel() for p in contest.layers[name].parameters()),
        flops=count_flops(name, channels, height, width),
        forward_ms=forward,
        train_ms=train,
        forward_to_block=alone + forward / block_forward,
        train_to_block=alone + train / block_train,
        reference=contest.references.get(name),
        forward_to_reference=beside[0],
        train_to_reference=beside[1],
    )


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second)


def _time(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[float, float]:
    """Milliseconds of forward, and of forward and backward to the features and all parameters."""
    wanted = [args[0], *layer.parameters()]
    synchronize = torch.cuda.synchronize if args[0].is_cuda else lambda: None
    synchronize()
    start = time.perf_counter()
    out = layer(*args)
    synchronize()
    middle = time.perf_counter()
    gradient = torch.ones_like(out)
    synchronize()
    resumed = time.perf_counter()
    torch.autograd.grad(out, wanted, gradient)
    synchronize()
    end = time.perf_counter()
    return 1000 * (middle - start), 1000 * (middle - start + end - resumed)


def count_flops(mechanism: str, channels: int, height: int, width: int) -> int:
    """FLOPs of one image forward: 2 for each multiply-add, 1 for each elementwise operation or pooled value."""
    make, conditioned, *_ = MECHANISMS[mechanism]
    with torch.device("meta"):
        layer = make(channels).eval()
        args = [torch.empty(1, channels, height, width)] + [torch.empty(1, QUERY_FEATURES)] * conditioned
    with FlopCounterMode(display=False, custom_mapping=_elementwise_formulas()) as counter, torch.no_grad():
        layer(*args)
    return counter.get_total_flops()


def _elementwise_formulas() -> dict[Any, Callable[..., int]]:
    aten = torch.ops.aten

    def per_output(*args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        return prod(out_shape)

    def per_input(x_shape: Any, *args: Any, **kwargs: Any) -> int:
        return prod(x_shape)

    def scale_and_shift(x_shape: Any, *args: Any, **kwargs: Any) -> int:
        return 2 * prod(x_shape)

    pointwise = (aten.add, aten.mul, aten.relu, aten.sigmoid, aten.silu, aten.hardtanh, aten._softmax)
    formulas: dict[Any, Callable[..., int]] = dict.fromkeys(pointwise, per_output)
    formulas |= dict.fromkeys((aten.mean, aten.amax, aten.sum), per_input)
    norms = (aten.native_batch_norm, aten._native_batch_norm_legit, aten._native_batch_norm_legit_no_training)
    return formulas | dict.fromkeys((*norms, aten.cudnn_batch_norm), scale_and_shift)


def format_costs(costs: Sequence[LayerCost]) -> str:
    """A Markdown table, one mechanism and shape a row."""
    header = ["mechanism", "C", "map", "parameters", "MFLOPs/image", "forward ms", "x block", "train ms", "x block"]
    header += ["reference", "forward / theirs", "train / theirs"]
    rows = []
    for cost in costs:
        row = [cost.mechanism, f"{cost.channels}", f"{cost.height}x{cost.width}", f"{cost.parameters:,}"]
        row += [f"{cost.flops / 1e6:.3f}", f"{cost.forward_ms:.2f}", f"{cost.forward_to_block:.3f}"]
        row += [f"{cost.train_ms:.2f}", f"{cost.train_to_block:.3f}", cost.reference or ""]
        row += [f"{ratio:.2f}" if ratio else "" for ratio in (cost.forward_to_reference, cost.train_to_reference)]
        rows.append(row)
    return "\n".join(markdown_table(header, rows, "<<<>>>>>><>>", padded=True))
