"""Channel attention, one mechanism a file; see docs/layers.md."""

from vqa.layers.cbam import CBAM, SpatialAttention
from vqa.layers.eca import EfficientChannelAttention
from vqa.layers.entropy import channel_entropy
from vqa.layers.film import FiLM
from vqa.layers.insertion import add_squeeze_excitation
from vqa.layers.mbconv import MBConv
from vqa.layers.pathways import PathwayBank
from vqa.layers.query_squeeze_excite import QueryConditionedSE
from vqa.layers.squeeze_excite import SqueezeExcitation

__all__ = [
    "CBAM",
    "EfficientChannelAttention",
    "FiLM",
    "MBConv",
    "PathwayBank",
    "QueryConditionedSE",
    "SpatialAttention",
    "SqueezeExcitation",
    "add_squeeze_excitation",
    "channel_entropy",
]
