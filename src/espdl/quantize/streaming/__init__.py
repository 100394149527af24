"""Streaming: a quantized network for whole recordings becomes one for chunks of them (quantizer spec 13).

``table`` reads what a user says, ``frames`` is the arithmetic of time, ``conversion`` the network in the making, ``over_time`` and
``by_frame`` what operators do, ``rules`` the walk, ``model`` the file.
"""

from espdl.quantize.streaming.model import (
    StreamingGraphPass,
    StreamingModel,
    StreamingOptions,
    require_streamable,
    streaming_model,
)
from espdl.quantize.streaming.table import read_table

__all__ = ["StreamingGraphPass", "StreamingModel", "StreamingOptions", "read_table", "require_streamable", "streaming_model"]
