"""How long a robot goes on after its camera or its policy has failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What a graph may take on top of the limit: two timers and the scheduling of three processes.
ALLOWANCE_S = 0.05


@dataclass(frozen=True)
class Fault:
    """A way to fail: what happens to which process, and the limit that stops the robot.

    ``signal`` names a signal, ``mode`` what the trial camera is told to show.
    """

    name: str
    process: str
    limit: str
    signal: str = ''
    mode: str = ''


FAULTS = (
    Fault('camera killed', 'camera', 'camera_timeout', signal='SIGKILL'),
    Fault('camera stopped', 'camera', 'camera_timeout', signal='SIGSTOP'),
    Fault('camera frozen', 'camera', 'frozen_after', mode='frozen'),
    Fault('policy killed', 'policy', 'max_observation_age', signal='SIGKILL'),
    Fault('policy stopped', 'policy', 'max_observation_age', signal='SIGSTOP'),
    Fault('policy gives NaN', 'policy', 'at once', mode='black'),
)


@dataclass(frozen=True)
class Trial:
    """One failure: seconds to the first all-zero ``cmd_vel``, and whether it stayed at zero.

    ``silence_s`` is the longest time without any ``cmd_vel`` until then: long where the guard or
    the listener was held up, a period of the guard where it decided late.
    """

    fault: str
    limit_s: float
    delay_s: float
    stayed: bool
    silence_s: float = 0.0

    @property
    def passed(self) -> bool:
        """Return whether the robot stopped in time and stood."""
        return self.stayed and self.delay_s <= self.limit_s + ALLOWANCE_S


def trial_summary(trials: Sequence[Trial], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for each fault, and whether all trials passed."""
    rows = []
    for fault in dict.fromkeys(trial.fault for trial in trials):
        mine = [trial for trial in trials if trial.fault == fault]
        delays = sorted(trial.delay_s for trial in mine)
        slowest = max(mine, key=lambda trial: trial.delay_s)
        rows.append({
            'fault': fault, 'trials': len(mine), 'limit_s': mine[0].limit_s,
            'median_s': round(delays[len(delays) // 2], 4), 'max_s': round(delays[-1], 4),
            'silence_in_slowest_s': round(slowest.silence_s, 4),
            'over_limit_ms': round(1e3 * (delays[-1] - mine[0].limit_s), 1),
            'passed': all(trial.passed for trial in mine)})
    return {'faults': rows, 'allowance_s': ALLOWANCE_S,
            'passed': bool(rows) and all(row['passed'] for row in rows),
            'settings': dict(settings)}
