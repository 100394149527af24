"""Which nodes of a network run on a chip, and what to do about those that do not: known before anything else is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

import espdl.dl.module  # noqa: F401  # defines the operators
from espdl.chips import Chip
from espdl.dl.module import BUILT_IN
from espdl.dl.module.base import MODULE_TYPES, Module
from espdl.dl.module.contract import Availability
from espdl.dtypes import QuantType
from espdl.errors import EspdlError
from espdl.quantize.facts import node_facts
from espdl.quantize.passes.infer import describe
from espdl.quantize.pipeline import prepare
from espdl.quantize.provenance import Region, regions
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.tables import has_table
from espdl.wording import counted

Status = Literal["supported", "limited", "decomposed", "unsupported"]

LISTED_NODES = 8
"""Nodes that an error names at most."""

_REMEDIES = {
    "InstanceNormalization": "use BatchNormalization or LayerNormalization",
    "GroupNormalization": "use BatchNormalization or LayerNormalization",
    "Softplus": "use Relu, Swish or HardSwish",
    "Mish": "use Swish or HardSwish",
    "Erf": "use Gelu: the usual formula with Erf is recognised and fused",
    "Selu": "use Elu",
    "Celu": "use Elu",
    "Where": "multiply by a mask of 0 and 1, or add a constant mask",
    "Einsum": "write it as MatMul, Transpose and Reshape",
    "GridSample": "warp the image before the network",
}
_AFTERWARDS = frozenset(
    {"TopK", "ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "Unique", "OneHot", "Compress", "Multinomial"}
)


@dataclass(frozen=True)
class NodeVerdict:
    """What becomes of one node.

    Attributes:
        name, op_type: of the node in the network.
        status: ``supported``; ``limited``: it runs, with the restriction in ``detail``; ``decomposed``: it runs as the operators in
            ``detail``; ``unsupported``: it cannot run, or cannot be quantized.
        detail: what the node becomes, or why it cannot run and what feeds it. Empty where there is nothing to say.
        remedy: what to do about a node that is not supported.
    """

    name: str
    op_type: str
    status: Status
    detail: str = ""
    remedy: str = ""


def check_network(model: ir.Model, chip: Chip, setting: QuantizationSetting | None = None) -> list[NodeVerdict]:
    """One verdict per node of the imported network, in execution order.

    The network is prepared as it would be for quantization; a node is judged by what it becomes there.

    Args:
        model: of :func:`espdl.quantize.importer.load_network`; it is not changed.
        chip: to run on.
        setting: a quantization setting, where it switches passes.
    """
    return judge(model, prepare(model, chip, setting))


def judge(model: ir.Model, prepared: ir.Model) -> list[NodeVerdict]:
    """The same, where what :func:`espdl.quantize.pipeline.prepare` makes of the network is there already."""
    own = {node.name: _judge(node) for node in prepared.graph}
    verdicts: dict[str, NodeVerdict] = {}
    for region in regions(model, prepared):
        for node in region.before:
            verdicts[node.name or ""] = _verdict(node, region, [own[after.name] for after in region.after])
    removed = "does nothing here and is removed"
    return [
        verdicts.get(node.name or "", NodeVerdict(node.name or "", node.op_type, "supported", removed)) for node in model.graph
    ]


def require_supported(verdicts: Iterable[NodeVerdict], chip: Chip) -> None:
    """Raises one :class:`EspdlError` that lists the unsupported nodes with their reasons and remedies; returns where there is none."""
    bad = [verdict for verdict in verdicts if verdict.status == "unsupported"]
    if not bad:
        return
    lines = [
        f"\n  {verdict.op_type} {verdict.name!r}: {verdict.detail}" + (f"; {verdict.remedy}" if verdict.remedy else "")
        for verdict in bad[:LISTED_NODES]
    ]
    if len(bad) > LISTED_NODES:
        lines.append(f"\n  and {len(bad) - LISTED_NODES} more: espdl check lists every node")
    raise EspdlError(
        f"{counted(len(bad), 'node')} of the network cannot run on {chip.name}:" + "".join(lines),
        hint="change these layers, or end the network before them and compute the rest in the program around it",
    )


def _judge(node: ir.Node) -> NodeVerdict:
    """A node of a prepared network by its operator's contract."""
    name, op_type = node.name or "", node.op_type
    module = MODULE_TYPES.get(op_type)
    chain = describe(node).partition(", ")[2]
    if module is None:
        reason = f"there is no operator {op_type} on the chip"
        if node.domain:
            reason += f" (domain {node.domain})"
        return NodeVerdict(name, op_type, "unsupported", _join(reason, chain), _remedy(op_type))
    facts, contract = node_facts(node), module.contract
    if contract.availability is Availability.ABSENT:
        return NodeVerdict(name, op_type, "unsupported", _join(contract.availability.value, chain), _remedy(op_type))
    rank = len(facts.input_shapes[0]) if facts.input_shapes and facts.input_shapes[0] is not None else None
    if contract.ranks and rank is not None and rank not in contract.ranks:
        ranks = " or ".join(map(str, contract.ranks))
        return NodeVerdict(
            name,
            op_type,
            "unsupported",
            _join(f"its input has rank {rank}, it must be {ranks}", chain),
            "put a Reshape before it",
        )
    for limit in contract.limits:
        if not limit.holds(facts):
            return NodeVerdict(name, op_type, "unsupported", _join(f"does not hold: {limit.text}", chain), limit.remedy)
    return _limitation(node, module)


def _limitation(node: ir.Node, module: type[Module]) -> NodeVerdict:
    """A node that runs: supported, or with the first restriction that a user should know of."""
    name, op_type, contract = node.name or "", node.op_type, module.contract
    if op_type not in BUILT_IN:
        if has_table(node) and QuantType.SYMM_8BIT in contract.quant_types:
            return NodeVerdict(name, op_type, "supported")  # as a table, which every chip runs
        return NodeVerdict(name, op_type, "limited", "an operator of yours: the program on the chip must register it, too")
    if contract.availability is not Availability.REGISTERED:
        return NodeVerdict(name, op_type, "limited", contract.availability.value)
    if QuantType.SYMM_8BIT not in contract.quant_types:
        if QuantType.SYMM_16BIT in contract.quant_types:
            return NodeVerdict(name, op_type, "limited", "computes in 16 bit only")
        return NodeVerdict(name, op_type, "limited", "computes in float, between Dequantize and Quantize")
    if QuantType.SYMM_16BIT not in contract.quant_types:
        return NodeVerdict(name, op_type, "limited", "computes in 8 bit, not in 16 bit")
    if module.quantization.prefers_float:
        return NodeVerdict(name, op_type, "limited", "computes in float unless a width is set for it")
    if 0 in module.quantization.float_outputs and node.outputs[0].dtype is ir.DataType.FLOAT:
        return NodeVerdict(name, op_type, "limited", "its result stays float")
    return NodeVerdict(name, op_type, "supported")


def _verdict(node: ir.Node, region: Region, judged: Sequence[NodeVerdict]) -> NodeVerdict:
    """What becomes of ``node``, given the verdicts on the nodes that stand in its place."""
    name, op_type = node.name or "", node.op_type
    bad = next((verdict for verdict in judged if verdict.status == "unsupported"), None)
    if bad is not None:
        detail = bad.detail if bad.op_type == op_type else f"becomes {bad.op_type} {bad.name!r}: {bad.detail}"
        return NodeVerdict(name, op_type, "unsupported", detail, bad.remedy)
    limits = "; ".join(dict.fromkeys(f"{v.op_type} {v.detail}" if v.op_type != op_type else v.detail for v in judged if v.detail))
    status: Status = "limited" if limits else "supported"
    if len(judged) == 1:
        after = judged[0]
        changed = after.op_type != op_type or (len(region.before) > 1 and after.name != name)
        return NodeVerdict(
            name, op_type, status, _join(f"becomes part of {after.op_type} {after.name!r}" if changed else "", limits, "; ")
        )
    if not judged:
        return NodeVerdict(name, op_type, "supported", "does nothing here and is removed")
    into = ", ".join(_tallied([verdict.op_type for verdict in judged]))
    return NodeVerdict(name, op_type, "decomposed", _join(f"into {into}", limits, "; "))


def _tallied(names: Sequence[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]


def _join(first: str, second: str, separator: str = ", ") -> str:
    return separator.join(part for part in (first, second) if part)


def _remedy(op_type: str) -> str:
    if op_type in _AFTERWARDS:
        return "end the network before it and do this step in the program around it"
    return _REMEDIES.get(op_type, "replace the layer, or define the operator as a subclass of espdl.dl.Module")
