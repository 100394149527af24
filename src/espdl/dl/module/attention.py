"""Attention: scaled dot-product attention in one operator (quantizer spec 10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.attention_rules import attend8, attend16, attend_float
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import (
    common_dtype,
    float_attribute,
    given,
    input_shape,
    integer_attribute,
    optional,
    tensor_exponent,
    text_attribute,
    type_name,
)
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Availability, Contract, Limit, NodeFacts, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.rounding import Rounding, dequantize, quantize
from espdl.tensor import TensorBase

MASK = 3
LARGEST_HEAD = 64
"""Elements of a head that the kernels hold unless the firmware is built for more, which it can be up to 128."""
LARGEST_KEYS = 2048
"""Keys that they take unless built for more, up to 8192."""

_BUILT_FOR_MORE = (128, 8192)
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
_WITHOUT_EFFECT = {
    "softcap": 0.0,
    "qk_matmul_output_mode": 0,
    "left_window_size": -1,
    "right_window_size": -1,
    "softmax_precision": DType.FLOAT,
}
_KNOWN = frozenset({"scale", "is_causal", "layout", "q_num_heads", "kv_num_heads", *_WITHOUT_EFFECT})


_Compute = Callable[[NDArray, NDArray, NDArray, "NDArray | None"], NDArray]


def _shapes(facts: NodeFacts) -> list[tuple[int, ...]] | None:
    """Shapes of Q, K and V; None where they are not known, or not of rank 4."""
    shapes: list[tuple[int, ...]] = [shape for shape in facts.input_shapes[:3] if shape is not None and len(shape) == 4]
    return shapes if len(shapes) == 3 else None


def _plain_attributes(facts: NodeFacts) -> bool:
    return not _odd_attributes(facts.attributes)


def _odd_attributes(attributes: Mapping[str, Any]) -> list[str]:
    return sorted(
        name
        for name, value in attributes.items()
        if name not in _KNOWN or (name in _WITHOUT_EFFECT and value != _WITHOUT_EFFECT[name])
    )


def _heads_fit(facts: NodeFacts) -> bool:
    shapes = _shapes(facts)
    return shapes is None or (shapes[1] == shapes[2] and shapes[0][1] % shapes[1][1] == 0)


def _small_enough(facts: NodeFacts) -> bool:
    shapes = _shapes(facts)
    return shapes is None or (shapes[0][3] <= LARGEST_HEAD and shapes[1][2] <= LARGEST_KEYS)


def _no_cache(facts: NodeFacts) -> bool:
    return all(shape is None for shape in facts.input_shapes[MASK + 1 :]) and len(facts.output_shapes) < 2


class Attention(Module, op_type="Attention"):
    """``softmax(scale * Q K^T + mask) V`` for every head.

    Q [B, Hq, Lq, D]; K, V [B, Hkv, Lk, D], Hq a multiple of Hkv; with attribute ``layout`` BNHD the axes 1 and 2 change places. The
    optional mask broadcasts to [B, Hq, Lq, Lk]: float32, which is added, or bool, true where a key counts. Attributes: ``scale``
    (1 / sqrt(D)); ``is_causal`` 1 lets query i see the keys up to i.

    Chips with integer attention follow :mod:`espdl.dl.module.attention_rules`, the others compute in float. A query that no key counts
    for gives 0.
    """

    contract: ClassVar[Contract] = Contract(
        INTEGER_AND_FLOAT,
        ranks=(4,),
        limits=(
            Limit(
                "no cache of keys: at most a mask besides Q, K and V, and one output",
                _no_cache,
                "join the cached keys and values with a Concat before the node",
            ),
            Limit("no softcap, window or output of scores", _plain_attributes, "write it as MatMul, Softmax and MatMul"),
            Limit("K and V have one shape, whose heads divide those of Q", _heads_fit, "write it as MatMul, Softmax and MatMul"),
            Limit(
                f"heads have at most {LARGEST_HEAD} elements, at most {LARGEST_KEYS} keys",
                _small_enough,
                "write it as MatMul, Softmax and MatMul",
            ),
        ),
        availability=Availability.NEWER,
    )
    quantization: ClassVar[Quantization] = Quantization(float_inputs=frozenset({MASK}))

    def configure(self) -> None:
        odd = _odd_attributes(self.attributes)
        if odd:
            raise EspdlError(f"the chip's Attention has no {', '.join(odd)}", hint="write it as MatMul, Softmax and MatMul")
        self.scale = float_attribute(self, "scale", 0.0) if "scale" in self.attributes else None
        if self.scale is not None and not _SMALLEST_SCALE <= self.scale < np.inf:
            raise EspdlError(f"a scale of {self.scale}", why="it must be a positive number that is not tiny")
        self.is_causal = bool(integer_attribute(self, "is_causal", 0))
        layout = text_attribute(self, "layout", "BHND").upper()
        if layout not in ("BHND", "BNHD"):
            raise EspdlError(f"layout {layout}", why="it is BHND or BNHD")
        self.heads_last = layout == "BNHD"

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        shapes = [input_shape(input_shapes, index) for index in range(3)]
        if any(len(shape) != 4 for shape in shapes):
            raise EspdlError(f"Q, K and V of shapes {shapes}", why="they must have rank 4")
        (batch, heads, queries, depth), k, v = (self._in_heads(shape) for shape in shapes)
        if k != v or k[0] != batch or k[3] != depth or not k[1] or heads % k[1] or not depth or not k[2]:
            raise EspdlError(
                f"Q, K and V of shapes {shapes} do not fit",
                why="K and V must be alike, batch and depth those of Q, and their heads must divide those of Q",
            )
        for name, count in (("q_num_heads", heads), ("kv_num_heads", k[1])):
            if integer_attribute(self, name, 0) not in (0, count):
                raise EspdlError(f"{name} is {self.attributes[name]}, the tensor has {count}")
        if depth > _BUILT_FOR_MORE[0] or k[2] > _BUILT_FOR_MORE[1]:
            raise EspdlError(
                f"heads of {depth} elements and {k[2]} keys",
                why=f"no firmware takes more than {' and '.join(map(str, _BUILT_FOR_MORE))}",
            )
        mask = input_shapes[MASK] if len(input_shapes) > MASK else []
        scores = (batch, heads, queries, k[2])
        if len(mask) > 4 or any(m not in (1, s) for m, s in zip(reversed(mask), reversed(scores), strict=False)):
            raise EspdlError(f"a mask of shape {mask} does not broadcast to {list(scores)}")
        if len([shape for shape in input_shapes[MASK + 1 :] if shape]):
            raise EspdlError("a cache of keys and values", why="the chip's Attention has none")
        return [shapes[0]]

    def _in_heads(self, shape: list[int]) -> list[int]:
        return [shape[0], shape[2], shape[1], shape[3]] if self.heads_last else shape

    def _scale(self, depth: int) -> np.float32:
        return np.float32(self.scale) if self.scale is not None else np.float32(1) / np.sqrt(np.float32(depth))

    def _by_heads(self, data: NDArray, groups: int) -> NDArray:
        """[B, groups, heads in a group, L, D], a view."""
        ordered = np.swapaxes(data, 1, 2) if self.heads_last else data
        return ordered.reshape(ordered.shape[0], groups, -1, *ordered.shape[2:])

    def _mask(self, mask: NDArray | None, scores: tuple[int, ...], groups: int) -> NDArray[np.float32] | None:
        """What is added to the scores, [B, groups, heads in a group, Lq, Lk]; None where nothing is."""
        added: NDArray[np.float32] | None = None
        if mask is not None:
            added = np.where(mask, np.float32(0), np.float32(-np.inf)) if mask.dtype == np.bool_ else mask
        if self.is_causal:
            seen = np.tri(scores[-2], scores[-1], dtype=bool)
            added = np.where(seen, np.float32(0) if added is None else added, np.float32(-np.inf))
        if added is None:
            return None
        return np.broadcast_to(added, scores).reshape(scores[0], groups, -1, *scores[2:])

    def _attend(self, compute: _Compute, q: NDArray, k: NDArray, v: NDArray, mask: NDArray | None) -> NDArray:
        """``compute`` on operands by heads; the result in the layout of ``q``."""
        groups = k.shape[2 if self.heads_last else 1]
        left, keys, values = (self._by_heads(data, groups) for data in (q, k, v))
        heads = left.shape[1] * left.shape[2]
        scores = (left.shape[0], heads, left.shape[3], keys.shape[3])
        result = compute(left, keys, values, self._mask(mask, scores, groups))
        by_heads = result.reshape(left.shape[0], heads, *left.shape[3:])
        return np.swapaxes(by_heads, 1, 2) if self.heads_last else by_heads

    def float_forward(self, *inputs: NDArray[np.float32] | None) -> NDArray:
        q, k, v, mask = (*inputs, None)[:4]
        assert q is not None
        assert k is not None
        assert v is not None
        scale = self._scale(q.shape[-1])
        return self._attend(lambda a, b, c, m: attend_float(a, b, c, m, scale), q, k, v, mask)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        q, k, v = (given(inputs, index, name) for index, name in enumerate("QKV"))
        mask, y = optional(inputs, MASK), outputs[0]
        dtype = common_dtype(self, (q, k, v, y))
        self.get_output_shape([[] if tensor is None else tensor.shape for tensor in inputs])
        if mask is not None and mask.dtype not in (DType.FLOAT, DType.BOOL):
            raise EspdlError(f"the mask is {type_name(mask.dtype)}", why="it must be bool, or float32 that is added")
        if dtype is DType.FLOAT or not machine.chip.integer_attention:
            return self._float_step(q, k, v, mask, y, machine)
        exponents = [tensor_exponent(tensor) for tensor in (q, k, v, y)]
        self._logit(q.shape[-1], exponents)
        attend = attend8 if dtype is DType.INT8 else attend16
        rounding = machine.chip.rounding

        def step() -> None:
            with np.errstate(all="ignore"):
                hidden = None if mask is None else mask.data
                y.data[...] = self.integer_forward((q.data, k.data, v.data), hidden, exponents, attend, rounding)

        return step

    def _logit(self, depth: int, exponents: Sequence[int]) -> np.float32:
        """What one unit of a product of Q and K is worth in the exponent. Raises :class:`EspdlError` where that is no normal number."""
        q_scale, k_scale = (np.ldexp(np.float32(1), exponent) for exponent in exponents[:2])
        with np.errstate(all="ignore"):
            logit = self._scale(depth) * q_scale * k_scale
        if not _SMALLEST_SCALE <= float(logit) < np.inf:
            raise EspdlError(
                f"scale times the scales of Q and K is {logit}", why="the chip takes its reciprocal", hint="the file is damaged"
            )
        return logit

    def integer_forward(
        self,
        operands: Sequence[NDArray],
        mask: NDArray | None,
        exponents: Sequence[int],
        attend: Callable[..., NDArray],
        rounding: Rounding,
    ) -> NDArray:
        """The chip's integers for those of Q, K and V.

        Args:
            operands: int8 or int16, in the order of axes of the operator.
            mask: as the operator takes it.
            exponents: of Q, K, V and the result.
            attend: ``attend8`` or ``attend16`` of :mod:`espdl.dl.module.attention_rules`.
            rounding: of the chip.
        """
        q, k, v = operands
        logit = self._logit(q.shape[-1], exponents)
        v_scale, y_scale = (np.ldexp(np.float32(1), exponent) for exponent in exponents[2:])

        def compute(a: NDArray, b: NDArray, c: NDArray, m: NDArray | None) -> NDArray:
            return attend(a, b, c, m, logit, (v_scale, y_scale), rounding)

        return self._attend(compute, q, k, v, mask)

    def _float_step(
        self, q: TensorBase, k: TensorBase, v: TensorBase, mask: TensorBase | None, y: TensorBase, machine: Machine
    ) -> Step:
        real = q.dtype is DType.FLOAT

        def step() -> None:
            operands = [t.data if real else dequantize(t.data, tensor_exponent(t)) for t in (q, k, v)]
            with np.errstate(all="ignore"):
                result = self.float_forward(*operands, None if mask is None else mask.data)
            y.data[...] = result if real else quantize(result, tensor_exponent(y), y.dtype.numpy, machine.chip.rounding)

        return step
