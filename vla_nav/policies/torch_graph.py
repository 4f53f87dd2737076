"""PyTorch as a runtime: eager, compiled, and TorchScript."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from vla_nav.contracts import PolicyError
from vla_nav.policies.device import torch_device
from vla_nav.policies.family_steps import TextStep
from vla_nav.policies.traceable import Traceable
from vla_nav.runtimes.bundle import BundleConfig, check_file
from vla_nav.runtimes.graph import FEATURES, METADATA, Arrays, Shapes, describe, given
from vla_nav.runtimes.graph_policy import GraphPolicy

# The profiling executor of TorchScript settles in its second and third run.
_WARM_UP = 3
_INTERFACE = 'inputs'


class TorchGraph:
    """A callable of tensors as a :class:`vla_nav.runtimes.graph.Graph`."""

    def __init__(self, runtime: str, call: Callable[..., Any], inputs: Shapes, outputs: Shapes,
                 source: str, device: str, metadata: str) -> None:
        """Take what is called with the inputs in their order, on ``device``."""
        self.runtime, self.source, self.provider = runtime, source, device
        self.metadata, self.fallback = metadata, ''
        self.inputs, self.outputs = inputs, outputs
        self._call = call

    def run(self, inputs: Arrays) -> Arrays:
        """Run one step; raise PolicyError where that fails."""
        try:
            with torch.inference_mode():
                out = self._call(*(torch.from_numpy(inputs[name]).to(self.provider)
                                   for name in self.inputs))
                return {name: value.float().cpu().numpy()
                        for name, value in zip(given(self.outputs), out)}
        except Exception as error:  # of the compiler, the driver, or PyTorch itself
            raise PolicyError(f'{self.source}: the network failed to run: {error}') from error


def eager(network: Traceable, provider: str = 'auto', threads: int = 1) -> TorchGraph:
    """Return the network as PyTorch runs it without further ado."""
    device = torch_device(provider, threads)
    return _graph('eager', network.module.to(device), network, device)


def compiled(network: Traceable, provider: str = 'auto', threads: int = 1) -> TorchGraph:
    """Return the network compiled by ``torch.compile``, with CUDA graphs on a GPU."""
    device = torch_device(provider, threads)
    mode = 'reduce-overhead' if device == 'cuda' else 'default'
    module = torch.compile(network.module.to(device), mode=mode)
    try:
        return _warm(_graph('compile', module, network, device), network)
    except PolicyError as error:
        raise PolicyError(f'{error}; if it is the C++ compiler that is missing, which '
                          'torch.compile needs, install one, such as g++; else choose runtime '
                          'eager') from error


def script(network: Traceable, provider: str = 'auto', threads: int = 1) -> TorchGraph:
    """Return the network traced to TorchScript and optimised for this device."""
    device = torch_device(provider, threads)
    module = _optimised(trace(network, device))
    return _warm(_graph('torchscript', module, network, device), network)


FROM_WEIGHTS = {'eager': eager, 'compile': compiled, 'torchscript': script}


def as_policy(network: Traceable, runtime: str = 'eager', provider: str = 'auto',
              threads: int = 1) -> GraphPolicy:
    """Return a network as a policy, on one of :data:`FROM_WEIGHTS`."""
    text = None if network.text is None else _Reader(network.text)
    memory = None if network.memory is None else TorchMemory(network, provider, threads)
    return GraphPolicy(network.config, network.directory,
                       FROM_WEIGHTS[runtime](network, provider, threads), threads, text, memory)


class TorchMemory:
    """A network's memory as a :class:`vla_nav.runtimes.memory.Memory`."""

    def __init__(self, network: Traceable, provider: str = 'auto', threads: int = 1) -> None:
        """Share the network's weights."""
        assert network.memory is not None
        self._device = torch_device(provider, threads)
        self._module = network.memory.to(self._device)
        self.source = str(network.directory / network.weights.name)
        self.inputs: Shapes = {FEATURES: [1, network.memory.features],
                               'state': [1, network.config.state_size]}

    def after(self, features: NDArray[np.float32], state: Any) -> NDArray[np.float32]:
        """Return the state [1, S] after one more step on features [1, F]; raise PolicyError."""
        try:
            with torch.inference_mode():
                after: NDArray[np.float32] = self._module(
                    *(torch.from_numpy(value).to(self._device) for value in (features, state))
                ).cpu().numpy()
                return after
        except RuntimeError as error:
            raise PolicyError(f'{self.source}: the memory failed to run: {error}') from error


class _Reader:
    def __init__(self, text: TextStep) -> None:
        self._text = text

    def read(self, text: str) -> Arrays:
        if text not in self._text.ids:
            raise PolicyError(f'there are no tokens for {text!r}')
        with torch.inference_mode():
            out = self._text(*self._text.tokens(text))
        return {name: value.float().cpu().numpy()
                for name, value in zip(self._text.outputs, out)}


def load_script(directory: Path, config: BundleConfig, provider: str = 'auto',
                threads: int = 1) -> TorchGraph:
    """Load an exported TorchScript file and optimise it; raise PolicyError."""
    path = check_file(directory, config.files.policy)
    device = torch_device(provider, threads)
    extra = {METADATA: '', _INTERFACE: ''}
    try:
        # The one place that reads TorchScript: its C++ unpickler makes tensors and nothing else.
        module = torch.jit.load(str(path), map_location=device, _extra_files=extra)
        shapes = json.loads(extra[_INTERFACE])
        graph = TorchGraph('torchscript', _optimised(module.eval()), shapes['inputs'],
                           shapes['outputs'], str(path), device, _text(extra[METADATA]))
    except (RuntimeError, ValueError, KeyError) as error:
        raise PolicyError(f'{path}: PyTorch {torch.__version__} cannot load it: {error}; export '
                          'the bundle again') from error
    return graph


def save_script(network: Traceable, config: BundleConfig, path: Path) -> None:
    """Trace the network in the precision that ``config`` asks for, and write it."""
    assert config.export is not None
    precision = config.export.precision
    if precision == 'fp16':
        network = replace(network, module=_half_stored(network.module))
    traced = trace(network, dtype=torch.bfloat16 if precision == 'bf16' else None)
    graph = _graph('torchscript', traced, network, 'cpu')
    torch.jit.save(traced, str(path), _extra_files={
        METADATA: describe(config),
        _INTERFACE: json.dumps({'inputs': graph.inputs, 'outputs': graph.outputs})})


@contextmanager
def tracing() -> Iterator[None]:
    """Let modules run as they are written: fused attention is an operator of PyTorch alone."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def trace(network: Traceable, device: str = 'cpu', dtype: torch.dtype | None = None) -> Any:
    """Return the traced module; ``dtype`` is what convolutions and products compute in."""
    module = network.module.to(device).eval()
    example = tuple(value.to(device) for value in network.inputs.values())
    with tracing(), torch.autocast(device, dtype, dtype is not None, cache_enabled=False):
        return torch.jit.trace(module, example, check_trace=False)


class _Widen(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value.float()


def _half_stored(module: nn.Module) -> nn.Module:
    """Return a copy that keeps its weights in half precision and widens them before use."""
    copied = copy.deepcopy(module)
    for part in list(copied.modules()):
        for name, value in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(value.detach().half(), requires_grad=False))
            parametrize.register_parametrization(part, name, _Widen(), unsafe=True)
    return copied


def _optimised(module: Any) -> Any:
    return torch.jit.optimize_for_inference(torch.jit.freeze(module.eval()))


def _graph(runtime: str, call: Any, network: Traceable, device: str) -> TorchGraph:
    shapes: Shapes = {name: list(value.shape) for name, value in network.inputs.items()}
    return TorchGraph(runtime, call, shapes, network.outputs,
                      str(network.directory / network.weights.name), device, '')


def _warm(graph: TorchGraph, network: Traceable) -> TorchGraph:
    """Run a few times, so that what cannot be compiled is known before the robot drives."""
    for _ in range(_WARM_UP):
        graph.run({name: value.cpu().numpy() for name, value in network.inputs.items()})
    return graph


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
