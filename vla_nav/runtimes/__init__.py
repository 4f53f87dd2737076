"""How a trained policy runs on the robot."""

from __future__ import annotations

from pathlib import Path

from vla_nav.contracts import Policy
from vla_nav.runtimes.onnx_policy import OnnxPolicy
from vla_nav.runtimes.sessions import RuntimeReport, runtime_report

__all__ = ['RuntimeReport', 'load_policy', 'runtime_report']


def load_policy(path: str | Path, provider: str = 'auto', threads: int = 1) -> Policy:
    """Load the policy bundle in the directory ``path``; raise PolicyError with the remedy.

    ``provider`` is 'auto', 'cuda' or 'cpu'; what it runs on is in ``spec.provider``.
    """
    return OnnxPolicy(Path(path), provider, threads)
