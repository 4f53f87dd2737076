"""The NPUs that detectors are compiled for, and what an estimate assumes of the chip around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vla_nav.detection.npu.problems import NpuError


@dataclass(frozen=True)
class Target:
    """An NPU; ``system`` and ``memory`` are sections of Vela's own ``Arm/vela.ini``.

    An Ethos-N has neither: for it Arm publishes operator rules and no compiler of estimates.
    """

    name: str
    compiler: Literal['vela', 'ethos-n']
    chip: str
    system: str = ''
    memory: str = ''

    @property
    def assumptions(self) -> str:
        """Return in words what a figure for this target stands on."""
        if self.compiler == 'ethos-n':
            return f'{self.chip}; operator rules only, no time is estimated'
        return f'{self.chip}; Vela system {self.system}, memory {self.memory}'


# Clocks and bandwidths as Arm's vela.ini describes each chip at its best documented clock. A U55
# reads weights from flash beside its SRAM, the two others work from DRAM with an SRAM cache.
TARGETS = {target.name: target for target in (
    Target('ethos-u55-256', 'vela', '256 MACs a cycle, 500 MHz, SRAM 4 GB/s, flash 0.5 GB/s',
           'Ethos_U55_High_End_Embedded', 'Shared_Sram'),
    Target('ethos-u65-512', 'vela', '512 MACs a cycle, 1 GHz, SRAM 16 GB/s, DRAM 3.75 GB/s',
           'Ethos_U65_High_End', 'Dedicated_Sram_384KB'),
    Target('ethos-u85-512', 'vela', '512 MACs a cycle, 1 GHz, SRAM 32 GB/s, DRAM 12 GB/s',
           'Ethos_U85_SYS_DRAM_Mid', 'Dedicated_Sram_384KB'),
    Target('ethos-n78', 'ethos-n', '4 TOPS, 4 PLE lanes, 1 MiB SRAM'),
)}


def target(name: str) -> Target:
    """Return the target of that name; NpuError lists those there are."""
    if name not in TARGETS:
        raise NpuError(f'target {name!r} is not known; choose one of {", ".join(TARGETS)}')
    return TARGETS[name]
