"""Find ONNX Runtime on this machine and open sessions that leave the processor to others."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from vla_nav.contracts import PolicyError

_LOG = logging.getLogger(__name__)
_PROVIDERS = {'cuda': 'CUDAExecutionProvider', 'cpu': 'CPUExecutionProvider'}
PROVIDERS = ('auto', *_PROVIDERS)


@dataclass(frozen=True)
class RuntimeReport:
    """Which ONNX Runtime is installed: distribution name, version, execution providers."""

    distribution: str
    version: str
    providers: tuple[str, ...]


def runtime_report() -> RuntimeReport:
    """Say which ONNX Runtime is there; raise PolicyError where it is missing or twice there."""
    found = []
    for name in ('onnxruntime', 'onnxruntime-gpu'):
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            pass
    if len(found) > 1:
        # Both own the module `onnxruntime`; which of them is imported is then a matter of luck.
        raise PolicyError('onnxruntime and onnxruntime-gpu are both installed and overwrite each '
                          'other: `pip uninstall -y onnxruntime onnxruntime-gpu`, then '
                          '`pip install "vla_nav[cpu]"` or `pip install "vla_nav[gpu]"`')
    try:
        import onnxruntime
    except ImportError as error:
        raise PolicyError(f'onnxruntime does not import ({error}): `pip install "vla_nav[cpu]"`, '
                          'or `pip install "vla_nav[gpu]"` for an NVIDIA GPU') from error
    distribution, version = found[0] if found else ('unpackaged', onnxruntime.__version__)
    return RuntimeReport(distribution, version, tuple(onnxruntime.get_available_providers()))


def open_session(model: bytes, source: str, provider: str = 'auto', threads: int = 1) -> Any:
    """Return an ONNX Runtime session for ``model``; ``source`` names it in errors.

    ``provider`` is 'auto', 'cuda' or 'cpu'; where CUDA does not start, the CPU serves and a
    warning says so. Raises PolicyError.
    """
    if provider not in PROVIDERS:
        raise PolicyError(f'unknown provider {provider!r}; known are {", ".join(PROVIDERS)}')
    report = runtime_report()
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that spin between frames would take the cores from the camera and the guard.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.log_severity_level = 3
    wanted = ['cpu'] if provider == 'cpu' else ['cuda', 'cpu']
    names = [_PROVIDERS[w] for w in wanted if _PROVIDERS[w] in report.providers]
    try:
        session = onnxruntime.InferenceSession(model, options, providers=names)
    # ONNX Runtime raises many types of its own, none with a common base besides Exception.
    except Exception as error:
        raise PolicyError(f'{source}: ONNX Runtime {report.version} cannot load it: {error}; '
                          'export the bundle again or install a newer runtime') from error
    asked = provider == 'cuda' or (provider == 'auto' and _PROVIDERS['cuda'] in names)
    if asked and session.get_providers()[0] != _PROVIDERS['cuda']:
        _LOG.warning('%s: CUDA is not available to %s %s; running on the CPU', source,
                     report.distribution, report.version)
    return session


def short_provider(session: Any) -> str:
    """Return 'cuda' or 'cpu': what the session really runs on."""
    first = session.get_providers()[0]
    return next((short for short, name in _PROVIDERS.items() if name == first), first)
