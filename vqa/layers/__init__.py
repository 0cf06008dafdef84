"""Channel attention, one mechanism a file; see README.md beside this file."""

from vqa.layers.entropy import channel_entropy
from vqa.layers.film import FiLM
from vqa.layers.query_squeeze_excite import QueryConditionedSE
from vqa.layers.squeeze_excite import SqueezeExcitation

__all__ = ["FiLM", "QueryConditionedSE", "SqueezeExcitation", "channel_entropy"]
