"""How a trained policy runs on the robot."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal, get_args

from vla_nav.contracts import Policy, PolicyError
from vla_nav.runtimes.bundle import (
    CONFIG_NAME,
    BundleConfig,
    EnsembleBundle,
    FamilyBundle,
    read_bundle,
)
from vla_nav.runtimes.ensemble import load_ensemble
from vla_nav.runtimes.graph import Graph
from vla_nav.runtimes.graph_policy import GraphPolicy
from vla_nav.runtimes.memory import MemoryGraph
from vla_nav.runtimes.onnx_graph import OnnxGraph
from vla_nav.runtimes.openvino_graph import OpenVinoGraph
from vla_nav.runtimes.sessions import RuntimeReport, runtime_report
from vla_nav.runtimes.text import TextGraph

__all__ = ['RUNTIMES', 'Runtime', 'RuntimeReport', 'graph_policy', 'load_policy', 'open_graph',
           'runtime_report']

Runtime = Literal['auto', 'onnx', 'openvino', 'eager', 'compile', 'torchscript']
RUNTIMES: tuple[str, ...] = get_args(Runtime)
_FROM_WEIGHTS = ('eager', 'compile', 'torchscript')


def load_policy(path: str | Path, provider: str = 'auto', threads: int = 1,
                runtime: str = 'auto') -> Policy:
    """Load the policy bundle in the directory ``path``; raise PolicyError with the remedy.

    ``provider`` is 'auto', 'tensorrt', 'cuda', 'openvino' or 'cpu'; what it runs on is in
    ``spec.provider``. ``runtime`` 'auto' is the bundle's own, which ``spec.runtime`` names; an
    ONNX bundle runs on OpenVINO too, and one with weights on PyTorch: eager, compile or
    torchscript.
    """
    return _load(Path(path), provider, threads, runtime, ())


def _load(bundle: Path, provider: str, threads: int, runtime: str,
          above: tuple[Path, ...]) -> Policy:
    """Load a bundle that is a member of the ensembles ``above``, each a member of the last."""
    config = read_bundle(bundle)
    if runtime not in RUNTIMES:
        raise PolicyError(f'unknown runtime {runtime!r}; known are {", ".join(RUNTIMES)}')
    if isinstance(config, EnsembleBundle):
        return load_ensemble(
            bundle, config,
            lambda member, inside: _load(member, provider, threads, runtime, inside), above)
    if isinstance(config, FamilyBundle):
        if runtime in ('auto', 'eager'):
            torch_side = _torch('eager', bundle)
            return torch_side.EagerPolicy(bundle, config, provider, threads)  # type: ignore
        if runtime in ('onnx', 'openvino'):
            raise PolicyError(f'{bundle / CONFIG_NAME}: has no exported graph for {runtime}; '
                              f'`vla-nav export --policy {bundle} --to {runtime} --out DIR` '
                              'makes one')
        network = _torch('traceable', bundle).load_traceable(bundle)
        torch_side = _torch('torch_graph', bundle)
        return torch_side.as_policy(network, runtime, provider, threads)  # type: ignore
    if config.export is not None and config.export.part == 'head':
        raise PolicyError(f'{bundle / CONFIG_NAME}: export.part is head: it takes features, not '
                          'pictures, and drives nothing by itself; export with --part full')
    return graph_policy(bundle, config, provider, threads, runtime)


def graph_policy(bundle: Path, config: BundleConfig, provider: str = 'auto', threads: int = 1,
                 runtime: str = 'auto') -> GraphPolicy:
    """Return the policy whose files lie in ``bundle``, as ``config`` says; raise PolicyError.

    Unlike :func:`load_policy` it needs no ``config.json`` there, which an export writes last.
    """
    graph = open_graph(bundle, config, provider, threads, runtime)
    text = None if config.files.text is None else TextGraph(bundle, config.files, threads)
    found = config.files.memory
    memory = None if found is None else MemoryGraph(bundle, found, threads)
    return GraphPolicy(config, bundle, graph, threads, text, memory)


def open_graph(bundle: Path, config: BundleConfig, provider: str = 'auto', threads: int = 1,
               runtime: str = 'auto') -> Graph:
    """Return the graph of a bundle, full or head alone, on a runtime; raise PolicyError."""
    if runtime == 'auto':
        runtime = config.target
    if runtime == config.target == 'torchscript':
        torch_side = _torch('torch_graph', bundle)
        return torch_side.load_script(bundle, config, provider, threads)  # type: ignore
    if runtime in _FROM_WEIGHTS:
        if config.files.model is None:
            raise PolicyError(f'{bundle / CONFIG_NAME}: files.model is missing: {runtime} runs a '
                              'network from its weights, and this bundle is without weights of '
                              'its own; choose runtime auto, or the bundle that training wrote')
        network = _torch('traceable', bundle).load_traceable(bundle)
        build = _torch('torch_graph', bundle).FROM_WEIGHTS[runtime]
        return build(network, provider, threads)  # type: ignore
    if runtime == 'openvino' and config.target in ('openvino', 'onnx'):
        return OpenVinoGraph(bundle, config, provider, threads)
    if runtime != config.target:
        raise PolicyError(f'{bundle / CONFIG_NAME}: export.target is {config.target}, which '
                          f'{runtime} does not run; export the bundle to {runtime}')
    return OnnxGraph(bundle, config, provider, threads)


def _torch(module: str, bundle: Path) -> Any:
    """Import a module of the torch side: only here, since a robot mostly has no torch."""
    try:
        return importlib.import_module(f'vla_nav.policies.{module}')
    except ModuleNotFoundError as error:
        raise PolicyError(f'{bundle}: needs {error.name}, which is not installed here: '
                          '`pip install "vla_nav[train]"`, or choose runtime auto and a bundle '
                          'that was exported to onnx') from error
