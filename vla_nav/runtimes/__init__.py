"""How a trained policy runs on the robot."""

from __future__ import annotations

from pathlib import Path

from vla_nav.contracts import Policy, PolicyError
from vla_nav.runtimes.bundle import EnsembleBundle, FamilyBundle, read_bundle
from vla_nav.runtimes.ensemble import load_ensemble
from vla_nav.runtimes.onnx_policy import OnnxPolicy
from vla_nav.runtimes.sessions import RuntimeReport, runtime_report

__all__ = ['RuntimeReport', 'load_policy', 'runtime_report']


def load_policy(path: str | Path, provider: str = 'auto', threads: int = 1) -> Policy:
    """Load the policy bundle in the directory ``path``; raise PolicyError with the remedy.

    ``provider`` is 'auto', 'cuda' or 'cpu'; what it runs on is in ``spec.provider``.
    """
    bundle = Path(path)
    config = read_bundle(bundle)
    if isinstance(config, EnsembleBundle):
        return load_ensemble(bundle, config, lambda member: load_policy(member, provider, threads))
    if isinstance(config, FamilyBundle):
        return _eager(bundle, config, provider, threads)
    return OnnxPolicy(bundle, provider, threads)


def _eager(bundle: Path, config: FamilyBundle, provider: str, threads: int) -> Policy:
    try:
        # Only here: a robot that runs an exported policy has no torch.
        from vla_nav.policies.eager import EagerPolicy
    except ModuleNotFoundError as error:
        raise PolicyError(f'{bundle}: a bundle of the VLA family needs {error.name}, which is not '
                          'installed here: `pip install "vla_nav[train]"`, or choose an exported '
                          'bundle') from error
    return EagerPolicy(bundle, config, provider, threads)
