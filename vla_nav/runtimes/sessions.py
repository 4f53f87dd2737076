"""Find ONNX Runtime on this machine and open sessions that leave the processor to others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, NamedTuple

from vla_nav.contracts import PolicyError

_LOG = logging.getLogger(__name__)
# In the order of preference.
_PROVIDERS = {'tensorrt': 'TensorrtExecutionProvider', 'cuda': 'CUDAExecutionProvider',
              'openvino': 'OpenVINOExecutionProvider', 'cpu': 'CPUExecutionProvider'}
_LABELS = {'tensorrt': 'TensorRT', 'cuda': 'CUDA', 'openvino': 'OpenVINO', 'cpu': 'the CPU'}
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


class Started(NamedTuple):
    """A session, what it really runs on, and why not on what comes before it in the order."""

    session: Any
    provider: str
    fallback: str


def start_session(model: bytes | str, source: str, provider: str = 'auto',
                  threads: int = 1) -> Started:
    """Start ``model`` (its bytes or path) on the first provider that takes it.

    ``provider`` is 'auto' (TensorRT, CUDA, OpenVINO, CPU: the first of those installed that
    starts) or one of them, behind which stands the CPU. What TensorRT cannot compute goes to
    CUDA, where that is there, before the CPU. A fall-back is logged once; ``source``
    names the model in errors. Raises PolicyError.
    """
    if provider not in PROVIDERS:
        raise PolicyError(f'unknown provider {provider!r}; known are {", ".join(PROVIDERS)}')
    report = runtime_report()
    installed = [name for name, full in _PROVIDERS.items() if full in report.providers]
    order = installed if provider == 'auto' else [provider, 'cpu']
    problems = []
    for name in dict.fromkeys(order):
        if name not in installed:
            problems.append(f'{_LABELS[name]} is not available to {report.distribution} '
                            f'{report.version}')
            continue
        try:
            session = _session(model, name, threads)
        # ONNX Runtime raises many types of its own, none with a common base besides Exception.
        except Exception as error:
            if name != 'cpu':
                problems.append(f'{_LABELS[name]} does not start ({error})')
                continue
            raise PolicyError(f'{source}: ONNX Runtime {report.version} cannot load it: {error}; '
                              'export the bundle again or install a newer runtime') from error
        if session.get_providers()[0] != _PROVIDERS[name]:
            problems.append(f'{_LABELS[name]} does not start')
            continue
        if problems:
            _LOG.warning('%s: %s; running on %s', source, '; '.join(problems), _LABELS[name])
        return Started(session, name, '; '.join(problems))
    raise PolicyError(f'{source}: {"; ".join(problems)}')


def open_session(model: bytes | str, source: str, provider: str = 'auto', threads: int = 1) -> Any:
    """Return the session of :func:`start_session` alone."""
    return start_session(model, source, provider, threads).session


def _session(model: bytes | str, provider: str, threads: int) -> Any:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that spin between frames would take the cores from the camera and the guard.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.log_severity_level = 3
    names = _with_those_behind(provider, onnxruntime.get_available_providers())
    # Of itself it would start again on the CPU where a provider fails, at the start or while
    # driving, and tell nobody: what the policy says it runs on would then be wrong.
    return onnxruntime.InferenceSession(model, options, providers=names, enable_fallback=0)


def _with_those_behind(provider: str, available: Sequence[str]) -> list[str]:
    """Return the providers of a session in order: what one cannot compute, the next one does."""
    order = [provider, *(['cuda'] if provider == 'tensorrt' else []), 'cpu']
    return [full for full in dict.fromkeys(_PROVIDERS[name] for name in order)
            if full in available]
