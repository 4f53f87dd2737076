"""ONNX Runtime: an exported graph without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla_nav.contracts import PolicyError
from vla_nav.runtimes.bundle import BundleConfig, read_graph
from vla_nav.runtimes.graph import METADATA, Arrays, Shapes, given
from vla_nav.runtimes.sessions import start_session

_ON_GPU = ('tensorrt', 'cuda')


class OnnxGraph:
    """A graph that ONNX Runtime runs; on a GPU its inputs are bound once."""

    runtime = 'onnx'
    inputs: Shapes
    outputs: Shapes

    def __init__(self, directory: Path, config: BundleConfig, provider: str = 'auto',
                 threads: int = 1) -> None:
        """Load ``policy.onnx``; raise PolicyError naming the file and the remedy."""
        files = config.files
        self.source = str(directory / files.policy.name)
        model = read_graph(directory, files.policy, files.weights)
        started = start_session(model, self.source, provider, threads)
        self._session = started.session
        self.provider, self.fallback = started.provider, started.fallback
        self.inputs, self.outputs = (
            {value.name: value.shape for value in values}
            for values in (self._session.get_inputs(), self._session.get_outputs()))
        self._given = given(self.outputs)
        self.metadata = self._session.get_modelmeta().custom_metadata_map.get(METADATA, '')
        self._bound = _Bound(self._session, self._given) if self.provider in _ON_GPU else None

    def run(self, inputs: Arrays) -> Arrays:
        """Run one step; raise PolicyError where that fails."""
        try:
            if self._bound is not None:
                return self._bound.run(inputs)
            return dict(zip(self._given, self._session.run(list(self._given), inputs)))
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise PolicyError(f'{self.source}: the network failed to run: {error}') from error


class _Bound:
    """Inputs written in place on the device: no allocation there for each step."""

    def __init__(self, session: Any, given: tuple[str, ...], device: str = 'cuda') -> None:
        import onnxruntime
        self._session, self._binding = session, session.io_binding()
        self._device, self._value = device, onnxruntime.OrtValue
        self._held: dict[str, Any] = {}
        self._given = given
        for name in given:
            self._binding.bind_output(name, 'cpu')

    def run(self, inputs: Arrays) -> Arrays:
        for name, array in inputs.items():
            array = np.ascontiguousarray(array)
            if name in self._held:
                self._held[name].update_inplace(array)
            else:
                self._held[name] = self._value.ortvalue_from_numpy(array, self._device, 0)
                self._binding.bind_ortvalue_input(name, self._held[name])
        self._session.run_with_iobinding(self._binding)
        return dict(zip(self._given, self._binding.copy_outputs_to_cpu()))
