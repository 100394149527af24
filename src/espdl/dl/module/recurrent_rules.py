"""What recurrent operators accept of an ONNX network, and what they ignore of a file (runtime spec 3.12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from espdl.dl.module.contract import Limit, NodeFacts

LENGTHS, PEEPHOLES = 4, 7
_ACTIVATIONS = {"GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}


def default_activations(op_type: str) -> tuple[str, ...]:
    """Of one direction, in lower case."""
    return _ACTIVATIONS[op_type]


def has_default_activations(attributes: Mapping[str, Any], defaults: Sequence[str]) -> bool:
    """Whether attribute ``activations`` is absent or says what holds without it."""
    given = attributes.get("activations") or ()
    if not isinstance(given, list | tuple):
        return False
    names = [str(name).lower() for name in given]
    return not names or names in (list(defaults), [*defaults, *defaults])


def ignored_on_the_chip(attributes: Mapping[str, Any], defaults: Sequence[str], inputs: Sequence[Any] = ()) -> list[str]:
    """What a node says and the chip does not heed, one sentence each."""
    found = []
    if attributes.get("direction") == "reverse":
        found.append("direction reverse runs forward on the chip")
    if not has_default_activations(attributes, defaults):
        found.append("the attribute activations has no effect on the chip")
    if attributes.get("clip"):
        found.append("the attribute clip has no effect on the chip")
    for index, name in ((LENGTHS, "sequence_lens"), (PEEPHOLES, "P (peepholes)")):
        if index < len(inputs) and inputs[index] is not None:
            found.append(f"the input {name} has no effect on the chip")
    return found


def _batch_is_one(node: NodeFacts) -> bool:
    shape = node.input_shapes[0]
    return shape is None or len(shape) != 3 or shape[0 if node.attributes.get("layout", 0) else 1] == 1


def _constants(node: NodeFacts) -> bool:
    return all(index in node.constants or not _is_given(node, index) for index in (1, 2, 3))


def _whole_sequence(node: NodeFacts) -> bool:
    shape, lengths = node.input_shapes[0], node.constants.get(LENGTHS)
    if not _is_given(node, LENGTHS):
        return True
    return lengths is not None and shape is not None and bool((np.asarray(lengths) == shape[0]).all())


def _is_given(node: NodeFacts, index: int) -> bool:
    return index in node.constants or (index < len(node.input_shapes) and node.input_shapes[index] is not None)


def _no_peepholes(node: NodeFacts) -> bool:
    weights = node.constants.get(PEEPHOLES)
    return not _is_given(node, PEEPHOLES) or (weights is not None and not np.any(weights))


COMMON_LIMITS = (
    Limit("batch is 1", _batch_is_one, "export the network with a batch of 1 and run the sequences one by one"),
    Limit("W, R and B are constants", _constants, "fold constants before quantizing"),
    Limit(
        "layout is 0: the sequence is the first axis",
        lambda node: not node.attributes.get("layout", 0),
        "transpose before and after the layer (PyTorch: batch_first=False)",
    ),
    Limit(
        "direction is forward or bidirectional",
        lambda node: node.attributes.get("direction", "forward") in ("forward", "bidirectional"),
        "reverse the sequence before the layer and its result behind it",
    ),
    Limit(
        "activations are Sigmoid and Tanh, the default",
        lambda node: has_default_activations(node.attributes, default_activations(node.op_type)),
        "train the layer with the default activations: the chip knows no others",
    ),
    Limit("no clip", lambda node: not node.attributes.get("clip"), "train the layer without clip: the chip ignores it"),
    Limit(
        "the whole sequence is run: no sequence_lens",
        _whole_sequence,
        "export the network for one length: the chip ignores sequence_lens",
    ),
)

GRU_LIMITS = (
    *COMMON_LIMITS,
    Limit(
        "linear_before_reset is 1",
        lambda node: node.attributes.get("linear_before_reset", 0) == 1,
        "use the form that PyTorch has (Keras: reset_after=True) and train it again",
    ),
)

LSTM_LIMITS = (
    *COMMON_LIMITS,
    Limit(
        "input_forget is 0",
        lambda node: not node.attributes.get("input_forget", 0),
        "train the layer with input and forget gates of their own",
    ),
    Limit("no peepholes", _no_peepholes, "train the layer without peepholes: the chip ignores them"),
)
