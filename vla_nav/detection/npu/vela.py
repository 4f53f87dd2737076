"""Vela, Arm's compiler for Ethos-U: run it, and read what it estimates.

Vela 5.2.0 (``ethos-u-vela`` on PyPI, Apache-2.0). Its cycles come from a model of the NPU and of
the memories around it; Arm says of them that real figures need the chip, an FPGA or a simulation
of it. They order networks; they do not promise a frame rate.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from vla_nav.detection.npu.environments import VELA, Environment
from vla_nav.detection.npu.problems import NpuError
from vla_nav.detection.npu.report import Fallback
from vla_nav.detection.npu.targets import Target

VERSION = '5.2.0'  # as config/detector/tools/vela.txt pins it
_COUNT = re.compile(r'^(CPU|NPU) operators = (\d+)', re.MULTILINE)
_REASON = re.compile(r"^Warning \(supported operators\) operator: (\S+), ofm: '(.*)'\n"
                     r'Reason: ((?:.+\n?)+)', re.MULTILINE)
_LEFT = re.compile(r'^\s+CPU: (\S+)(?: = (.*?))?(?: \(outputs .*\))?\s*$', re.MULTILINE)


@dataclass(frozen=True)
class Compiled:
    """What Vela says of one graph; memory in KiB, ``macs`` those that the NPU computes."""

    npu_operators: int
    fallbacks: tuple[Fallback, ...]
    macs: int
    cycles: int
    milliseconds: float
    sram_kib: float
    off_chip_kib: float


def compile_graph(graph: Path, target: Target, work: Path, vela: Environment = VELA) -> Compiled:
    """Compile an int8 TFLite or a TOSA graph; raise NpuError where Vela refuses it."""
    folder = work / f'{graph.stem}.{target.name}'
    printed = vela.run([
        '-m', 'ethosu.vela', graph, '--accelerator-config', target.name,
        '--config', 'Arm/vela.ini', '--system-config', target.system,
        '--memory-mode', target.memory, '--output-dir', folder,
        '--output-format', 'raw' if graph.suffix == '.tosa' else 'tflite',
        '--show-cpu-operations', '--verbose-cycle-estimate'], cwd=work)
    summaries = sorted(folder.glob('*_summary_*.csv'))
    if not summaries:
        raise NpuError(f'{graph}: Vela wrote no summary:\n{printed[-1000:]}')
    return parse(printed, summaries[0].read_text('utf-8'))


def parse(printed: str, summary: str) -> Compiled:
    """Return what Vela printed and wrote as CSV; NpuError where it is not what we know."""
    rows = list(csv.DictReader(summary.splitlines()))
    counts = {where: int(count) for where, count in _COUNT.findall(printed)}
    # By the tensor that an operator writes, which is how Vela names it.
    reasons = {name: (operator, ' '.join(text.split()))
               for operator, name, text in _REASON.findall(printed)}
    left = []
    for operator, name in _LEFT.findall(printed):
        operator, reason = reasons.get(name, (operator, 'Vela gives no reason'))
        left.append(Fallback(node=name, operator=operator, reason=reason))
    try:
        if counts['CPU'] != len(left):
            raise ValueError(f'{counts["CPU"]} operators on the CPU, {len(left)} of them named')
        row = rows[-1]
        off_chip = sum(float(row[f'{area}_memory_used']) for area in
                       ('dram', 'on_chip_flash', 'off_chip_flash'))
        return Compiled(
            counts['NPU'], tuple(left), int(float(row['nn_macs'])),
            int(float(row['cycles_total'])), 1e3 * float(row['inference_time']),
            float(row['sram_memory_used']), off_chip)
    except (IndexError, KeyError, ValueError) as error:
        raise NpuError(f'Vela reports in another form than 5.2.0 does ({error!r}); make its '
                       f'environment again with\n  vla-nav detector tools --vela') from error
