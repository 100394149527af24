"""The ``.json`` file beside a model: how every tensor of every operator is represented (quantizer spec 12.4)."""

from __future__ import annotations

import json
import zlib
from typing import Any

from espdl.quantize.graph import Link, QuantGraph, QuantInfo, Role
from espdl.quantize.scale import METADATA_KEY, scales_entry

_POLICIES = ("PER_TENSOR", "PER_CHANNEL", "LINEAR", "FLOATING", "SYMMETRICAL", "ASYMMETRICAL", "POWER_OF_2", "DYNAMIC")


def config_json(graph: QuantGraph) -> str:
    """The configuration as JSON: for the same graph the same text, hashes included.

    ``configs`` holds, per operator and tensor, widths, policy and state, and the hashes of the tensor and of the one whose scale it
    has; ``dispatchings`` the platform per operator; ``values`` the scales by hash. Where channels were balanced, ``channel_scales`` says
    what became of each tensor (:class:`espdl.quantize.scale.Scale`); ESP-PPQ's file has no such entry.
    """
    configs: dict[str, Any] = {}
    values: dict[str, Any] = {}
    hashes = _hashes(graph)
    for node in graph.nodes():
        name = node.name or ""
        if not graph.bits[name]:
            continue
        entries: dict[str, Any] = {}
        for index, value in enumerate(node.inputs):
            info = graph.input_info(node, index)
            if value is not None and info is not None:
                entries[value.name or ""] = _entry(info, hashes)
        for value in node.outputs:
            info = graph.output_info(value)
            if info is not None:
                entries[value.name or ""] = _entry(info, hashes)
        configs[name] = entries
    for info in graph.infos():
        root = info.root
        if root.has_exponents:
            scales = [2.0**e for e in root.exponents]
            per_channel = len(scales) > 1
            values[str(hashes[id(root)])] = {
                "scale": scales if per_channel else scales[0],
                "zero_point": [0.0] * len(scales) if per_channel else 0.0,
            }
    content: dict[str, Any] = {"configs": configs, "dispatchings": graph.platforms, "values": values}
    if graph.scales:
        content[METADATA_KEY] = scales_entry(graph.scales)
    return json.dumps(content, indent=4) + "\n"


def _hashes(graph: QuantGraph) -> dict[int, int]:
    """A number for every representation, made from where it stands, so that it is the same in every run."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    places = [(f"output {name}", info) for name, info in graph.produced.items()]
    places += [(f"input {index} of {name}", info) for (name, index), info in graph.consumed.items()]
    places += [(f"root of {place}", info.root) for place, info in places]
    for place, info in places:
        if id(info) in found:
            continue
        number = zlib.crc32(place.encode())
        while number in taken:
            number = zlib.crc32(number.to_bytes(4, "little"))
        taken.add(number)
        found[id(info)] = number
    return found


def _entry(info: QuantInfo, hashes: dict[int, int]) -> dict[str, Any]:
    active = {"LINEAR", "SYMMETRICAL", "POWER_OF_2", "PER_CHANNEL" if len(info.exponents) > 1 else "PER_TENSOR"}
    state = Link.ALIGNED if info.role is Role.BIAS else info.link
    half = 2 ** (info.bits - 1)
    return {
        "bit_width": info.bits,
        "policy": {name: name in active for name in _POLICIES},
        "state": state.value,
        "quant_min": -half,
        "quant_max": half - 1,
        "hash": hashes[id(info)],
        "dominator": hashes[id(info.root)],
    }
