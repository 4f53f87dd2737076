"""What the search looks through, which of it is trained, and what is kept: pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from vla_nav.detection.npu.problems import NpuError
from vla_nav.detection.npu.report import TargetReport

MOST: Final = 6
HEADS = ('bins', 'direct', 'two')
WIDTHS = (0.25, 0.125)
# A candidate of which more is left to the CPU is trained only where none has less left.
WHOLE_MACS = 0.995


@dataclass(frozen=True, order=True)
class Candidate:
    """A network of the search.

    ``width`` multiplies the channels. Heads: ``bins`` gives each distance as 16 bins (ultralytics'
    own), ``direct`` as one number, ``two`` as ``bins`` but without the stride of 8, for a robot
    that meets no object of a few pixels.
    """

    level: str
    activation: str
    width: float
    head: str

    @property
    def name(self) -> str:
        """Return a name that is a folder's too."""
        return f'{self.level}_{self.activation}_{self.width:g}_{self.head}'


def candidates(levels: Sequence[str], activations: Sequence[str], widths: Sequence[float],
               heads: Sequence[str]) -> list[Candidate]:
    """Return all combinations, each once."""
    return sorted({Candidate(*one) for one in itertools.product(
        levels, activations, widths, heads)})


def with_head(architecture: dict[str, Any], head: str) -> dict[str, Any]:
    """Return an architecture in ultralytics' form with another head; NpuError for no such one."""
    if head not in HEADS:
        raise NpuError(f'head {head!r} is not known; choose one of {", ".join(HEADS)}')
    if head == 'direct':
        return {**architecture, 'reg_max': 1}
    changed = {**architecture, 'reg_max': 16}
    if head == 'two':
        *before, last = architecture['head']
        sources, *rest = last
        changed['head'] = [*before, [sources[1:], *rest]]
    return changed


def cost(report: TargetReport) -> float:
    """Return what a candidate costs: estimated ms, or 1e9 MACs where nothing estimates time."""
    return report.macs / 1e9 if report.estimated_ms is None else report.estimated_ms


def choose(reports: Sequence[TargetReport], most: int = MOST) -> list[int]:
    """Return the numbers of the candidates to train, cheapest first, ``most`` of them or fewer.

    Of those that the NPU computes nearly wholly (all, where none is so), the ones nearest to even
    steps of the logarithm of cost between the cheapest and the dearest, both of which are always
    among them. Of two that are equally near the one with more MACs is taken: more can be learned
    in the same time.
    """
    whole = [i for i, report in enumerate(reports) if report.mac_share >= WHOLE_MACS]
    left = whole or list(range(len(reports)))
    if len(left) <= most:
        return sorted(left, key=lambda i: cost(reports[i]))
    logs = {i: math.log(max(cost(reports[i]), 1e-9)) for i in left}
    low, high = min(logs.values()), max(logs.values())
    chosen = []
    # From both ends inwards, so that no step in between takes an end.
    for step in sorted(range(most), key=lambda k: (min(k, most - 1 - k), k)):
        aim = low + (high - low) * step / max(most - 1, 1)
        best = min(left, key=lambda i: (abs(logs[i] - aim), -reports[i].macs, i))
        chosen.append(best)
        left.remove(best)
    return sorted(chosen, key=lambda i: cost(reports[i]))


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return which (cost, worth) no other beats, cheapest first.

    One is beaten by another that costs no more and is worth no less, and is better in one of the
    two; of equals all stay.
    """
    found: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not found or points[i][1] > points[found[-1]][1] or points[i] == points[found[-1]]:
            found.append(i)
    return found
