"""What a compiler or a set of rules says of a detector on an NPU: ``npu.json``, and a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_nav.detection.npu.problems import NpuError
from vla_nav.evaluation.markdown import table_lines

REPORT_NAME: Final = 'npu.json'
_SHOWN = 3  # of a damaged file's problems


class _Strict(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)


class Fallback(_Strict):
    """An operator that the NPU leaves to the CPU, and why."""

    node: str
    operator: str
    reason: str


class Tool(_Strict):
    """What judged."""

    name: str
    version: str


class TargetReport(_Strict):
    """A detector on a target. Times and memory are the compiler's estimates, None without one.

    Operators are those of the graph that ``tool`` was given, ``path`` says which: the whole ONNX
    graph with the decoding for rules, the network up to its raw outputs for a compiler.
    ``macs`` are multiply-accumulates for one picture. ``sram_kib`` is the peak use of fast memory,
    ``off_chip_kib`` that of flash or DRAM, weights included.
    """

    path: str
    operators: int = Field(ge=1)
    operators_on_npu: int = Field(ge=0)
    macs: int = Field(ge=0)
    macs_on_npu: int = Field(ge=0)
    estimated_cycles: int | None = None
    estimated_ms: float | None = None
    sram_kib: float | None = None
    off_chip_kib: float | None = None
    image_size: int
    assumptions: str
    fallbacks: tuple[Fallback, ...] = ()
    tool: Tool

    @property
    def operator_share(self) -> float:
        """Return the share of the operators that the NPU computes."""
        return self.operators_on_npu / self.operators

    @property
    def mac_share(self) -> float:
        """Return the share of the multiply-accumulates that the NPU computes."""
        return self.macs_on_npu / self.macs if self.macs else 1.0


def add_to(folder: Path, reports: Mapping[str, TargetReport]) -> Path:
    """Write reports into a folder's ``npu.json``, beside those of other targets; return it."""
    path = folder / REPORT_NAME
    known = read_reports(path) if path.exists() else {}
    content = {name: report.model_dump(mode='json') for name, report in
               sorted({**known, **reports}.items())}
    path.write_text(json.dumps(content, indent=2) + '\n', 'utf-8')
    return path


def read_reports(path: Path) -> dict[str, TargetReport]:
    """Return what ``npu.json`` holds; NpuError where it is damaged."""
    try:
        content = json.loads(path.read_text('utf-8'))
        return {name: TargetReport.model_validate(value) for name, value in content.items()}
    except ValidationError as error:
        problem = '; '.join(f'{".".join(map(str, one["loc"]))}: {one["msg"]}'
                            for one in error.errors(include_url=False)[:_SHOWN])
    except (OSError, ValueError, AttributeError) as error:
        problem = str(error)
    raise NpuError(f'{path}: cannot be read: {problem}; remove it and compile again')


def lines(reports: Mapping[str, TargetReport]) -> list[str]:
    """Return a table in Markdown: a line a report, whatever its key names."""
    return table_lines(
        ('', 'operators on the NPU', 'MACs on the NPU', 'estimated ms', 'SRAM, KiB',
         'flash or DRAM, KiB'),
        ((name, f'{r.operators_on_npu}/{r.operators} ({r.operator_share:.1%})',
          f'{r.macs_on_npu / 1e9:.2f} G ({r.mac_share:.1%})', number(r.estimated_ms, 1),
          number(r.sram_kib, 0), number(r.off_chip_kib, 0)) for name, r in reports.items()))


def reasons(fallbacks: Sequence[Fallback]) -> list[str]:
    """Return why operators fall back, each reason once, most frequent first, with a node."""
    found = Counter((one.operator, one.reason) for one in fallbacks)
    first = {(one.operator, one.reason): one.node for one in reversed(fallbacks)}
    return [f'{count} x {operator}: {reason} ({first[operator, reason]}'
            f'{", …" if count > 1 else ""})'
            for (operator, reason), count in found.most_common()]


def number(value: float | None, digits: int) -> str:
    """Return a figure as text, a dash where there is none."""
    return '–' if value is None else f'{value:,.{digits}f}'
