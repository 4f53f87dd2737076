"""A network on a target: by Vela for Ethos-U, by Arm's operator rules for Ethos-N."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vla_nav.detection.npu import ethos_n, vela
from vla_nav.detection.npu.convert import ROUTE, Converted, Route, by_route
from vla_nav.detection.npu.graph import Node, as_run, nodes_of
from vla_nav.detection.npu.report import Fallback, TargetReport, Tool
from vla_nav.detection.npu.targets import Target

_MULTIPLY = ('conv', 'matmul', 'mm', 'fully', 'linear')


def noise(image_size: int, count: int = 4) -> NDArray[np.float32]:
    """Return pictures of noise [N, 3, S, S]: enough for cycles, which ranges do not change."""
    random = np.random.default_rng(0)
    return random.random((count, 3, image_size, image_size), np.float32)


def compile_network(model: nn.Module, image_size: int, target: Target, work: Path,
                    pictures: NDArray[np.float32] | None = None,
                    route: Route = ROUTE) -> TargetReport:
    """Return what runs on the target and, where there is a compiler, its estimates.

    ``pictures`` float32 [N, 3, S, S] give the 8-bit ranges; without them noise does. Raises
    NpuError where a tool is missing or fails; files are left in ``work``.
    """
    if target.compiler == 'ethos-n':
        from vla_nav.detection.training.graph import export_graph
        graph = as_run(export_graph(model, image_size, for_npu=True))
        return judge(nodes_of(graph), image_size, target)
    converted = by_route(route, model, image_size, noise(image_size) if pictures is None
                         else pictures, work, target)
    compiled = [vela.compile_graph(graph, target, work) for graph in converted.graphs]
    ranges = 'noise' if pictures is None else f'{len(pictures)} training pictures'
    return summarise(converted, compiled, image_size, target, route, ranges)


def judge(nodes: Sequence[Node], image_size: int, target: Target) -> TargetReport:
    """Return what Ethos-N's rules say of an ONNX graph, its decoding included."""
    judged = [(node, ethos_n.reason(node)) for node in nodes]
    return TargetReport(
        path='onnx', operators=len(judged), image_size=image_size,
        operators_on_npu=sum(not reason for _, reason in judged),
        macs=sum(node.macs for node in nodes),
        macs_on_npu=sum(node.macs for node, reason in judged if not reason),
        assumptions=target.assumptions,
        fallbacks=tuple(Fallback(node=node.name, operator=node.operator, reason=reason)
                        for node, reason in judged if reason),
        tool=Tool(name=ethos_n.RULES_NAME, version=ethos_n.RULES_VERSION))


def summarise(converted: Converted, compiled: Sequence[vela.Compiled], image_size: int,
              target: Target, route: Route, ranges: str) -> TargetReport:
    """Return one report of the pieces that Vela compiled.

    Pieces run one after the other: times add up, memory is that of the largest. MACs are Vela's;
    where an operator that multiplies is left to the CPU, the network's own count is the whole.
    """
    left = [*converted.outside, *(one for piece in compiled for one in piece.fallbacks)]
    on_npu = sum(piece.npu_operators for piece in compiled)
    macs_on_npu = sum(piece.macs for piece in compiled)
    multiplies = any(word in one.operator.lower() for one in left for word in _MULTIPLY)
    return TargetReport(
        path=route, operators=on_npu + len(left), operators_on_npu=on_npu,
        macs=max(macs_on_npu, converted.macs) if multiplies else macs_on_npu,
        macs_on_npu=macs_on_npu, estimated_cycles=sum(piece.cycles for piece in compiled),
        estimated_ms=sum(piece.milliseconds for piece in compiled),
        sram_kib=max(piece.sram_kib for piece in compiled),
        off_chip_kib=sum(piece.off_chip_kib for piece in compiled), image_size=image_size,
        assumptions=f'{target.assumptions}; the network up to its raw outputs, 8-bit ranges of '
                    f'{ranges}, by {converted.tool}',
        fallbacks=tuple(left), tool=Tool(name='ethos-u-vela', version=vela.VERSION))
