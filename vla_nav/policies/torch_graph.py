"""PyTorch as a runtime: eager, compiled, and TorchScript."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vla_nav.contracts import PolicyError
from vla_nav.policies.device import torch_device
from vla_nav.policies.traceable import Traceable
from vla_nav.runtimes.bundle import BundleConfig, check_file
from vla_nav.runtimes.graph import METADATA, OUTPUTS, Arrays, Shapes, describe

# The profiling executor of TorchScript settles in its second and third run.
_WARM_UP = 3
_INTERFACE = 'inputs'


class TorchGraph:
    """A callable of tensors as a :class:`vla_nav.runtimes.graph.Graph`."""

    def __init__(self, call: Callable[..., Any], inputs: dict[str, list[int]],
                 outputs: dict[str, list[int]], source: str, device: str, metadata: str) -> None:
        """Take what is called with the inputs in their order, on ``device``."""
        self.source, self.provider, self.metadata, self.fallback = source, device, metadata, ''
        self.inputs: Shapes = dict(inputs)
        self.outputs: Shapes = dict(outputs)
        self._call = call

    def run(self, inputs: Arrays) -> Arrays:
        """Run one step; raise PolicyError where that fails."""
        try:
            with torch.inference_mode():
                out = self._call(*(torch.from_numpy(inputs[name]).to(self.provider)
                                   for name in self.inputs))
                return {name: value.float().cpu().numpy() for name, value in zip(OUTPUTS, out)}
        except Exception as error:  # of the compiler, the driver, or PyTorch itself
            raise PolicyError(f'{self.source}: the network failed to run: {error}') from error


def eager(network: Traceable, provider: str = 'auto', threads: int = 1) -> TorchGraph:
    """Return the network as PyTorch runs it without further ado."""
    device = torch_device(provider, threads)
    return _graph(network.module.to(device), network, device)


def compiled(network: Traceable, provider: str = 'auto', threads: int = 1) -> TorchGraph:
    """Return the network compiled by ``torch.compile``, with CUDA graphs on a GPU."""
    device = torch_device(provider, threads)
    mode = 'reduce-overhead' if device == 'cuda' else 'default'
    return _warm(_graph(torch.compile(network.module.to(device), mode=mode), network, device),
                 network)


def script(network: Traceable, provider: str = 'auto', threads: int = 1) -> TorchGraph:
    """Return the network traced to TorchScript and optimised for this device."""
    device = torch_device(provider, threads)
    return _warm(_graph(_optimised(trace(network, device)), network, device), network)


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
        graph = TorchGraph(_optimised(module.eval()), shapes['inputs'], shapes['outputs'],
                           str(path), device, _text(extra[METADATA]))
    except (RuntimeError, ValueError, KeyError) as error:
        raise PolicyError(f'{path}: PyTorch {torch.__version__} cannot load it: {error}; export '
                          'the bundle again') from error
    return graph


def save_script(network: Traceable, config: BundleConfig, path: Path) -> None:
    """Trace the network in the precision that ``config`` asks for, and write it."""
    assert config.export is not None
    dtype = {'fp32': None, 'fp16': torch.float16, 'bf16': torch.bfloat16}[config.export.precision]
    traced = trace(network, dtype=dtype)
    graph = _graph(traced, network, 'cpu')
    torch.jit.save(traced, str(path), _extra_files={
        METADATA: describe(config),
        _INTERFACE: json.dumps({'inputs': graph.inputs, 'outputs': graph.outputs})})


def trace(network: Traceable, device: str = 'cpu', dtype: torch.dtype | None = None) -> Any:
    """Return the traced module; ``dtype`` is what convolutions and products compute in."""
    module = network.module.to(device).eval()
    example = tuple(value.to(device) for value in network.inputs.values())
    with torch.inference_mode(), torch.autocast(device, dtype, dtype is not None,
                                                cache_enabled=False):
        return torch.jit.trace(module, example, check_trace=False)


def _optimised(module: Any) -> Any:
    return torch.jit.optimize_for_inference(torch.jit.freeze(module.eval()))


def _graph(call: Any, network: Traceable, device: str) -> TorchGraph:
    c = network.config
    outputs = {'actions': [1, c.chunk, len(c.action_space.names)], 'arrived': [1, 1],
               'next_state': [1, c.state_size]}
    shapes = {name: list(value.shape) for name, value in network.inputs.items()}
    return TorchGraph(call, shapes, outputs, str(network.directory / network.weights.name),
                      device, '')


def _warm(graph: TorchGraph, network: Traceable) -> TorchGraph:
    """Run a few times, so that what cannot be compiled is known before the robot drives."""
    for _ in range(_WARM_UP):
        graph.run({name: value.cpu().numpy() for name, value in network.inputs.items()})
    return graph


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
