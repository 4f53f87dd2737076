"""What moves a policy's memory on where pictures were missed, without its encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import PolicyError
from vla_nav.runtimes.bundle import BundleFile, read_file
from vla_nav.runtimes.graph import FEATURES, Graph, Shapes
from vla_nav.runtimes.sessions import open_session


class Memory(Protocol):
    """The part of a network that remembers, batch 1."""

    source: str
    inputs: Shapes

    def after(self, features: NDArray[np.float32], state: Any) -> NDArray[np.float32]:
        """Return the state [1, S] after one more step on features [1, F]; raise PolicyError."""


class MemoryGraph:
    """``memory.onnx``: from features and state to the next state, on the processor."""

    def __init__(self, directory: Path, file: BundleFile, threads: int = 1) -> None:
        """Load the file; raise PolicyError naming it and the remedy."""
        self.source = str(directory / file.name)
        self._session = open_session(read_file(directory, file), self.source, 'cpu', threads)
        self.inputs: Shapes = {value.name: value.shape for value in self._session.get_inputs()}

    def after(self, features: NDArray[np.float32], state: Any) -> NDArray[np.float32]:
        """Return the state [1, S] after one more step on features [1, F]; raise PolicyError."""
        try:
            after: NDArray[np.float32] = self._session.run(
                ['next_state'], {FEATURES: features, 'state': state})[0]
            return after
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise PolicyError(f'{self.source}: the memory failed to run: {error}') from error


def check_memory(memory: Memory, graph: Graph) -> None:
    """Raise PolicyError where a memory does not go on from what ``graph`` gives."""
    wanted = {FEATURES: graph.outputs.get(FEATURES), 'state': graph.inputs.get('state')}
    for name, shape in wanted.items():
        found = memory.inputs.get(name)
        if shape is None or found is None or list(shape) != list(found):
            raise PolicyError(f'{memory.source}: it takes {name!r} as {found}, {graph.source} '
                              f'gives {shape}; the two are from different exports: export the '
                              'bundle again')
