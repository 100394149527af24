"""Every operator that the quantizer accepts as a differentiable function of PyTorch tensors."""

from espdl.quantize.train.operators import (  # noqa: F401  # each fills the table
    activation,
    arithmetic,
    attention,
    linear,
    movement,
    normalization,
    pool,
    recurrent,
    reduce,
    resize,
)
from espdl.quantize.train.operators.bind import bind
from espdl.quantize.train.operators.table import OPERATORS, Function

__all__ = ["OPERATORS", "Function", "bind"]
