"""A trained policy run as an exported graph: explicit state, errors instead of guesses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import Frame
from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.language.reader import Reading
from vla_nav.runtimes.bundle import BundleConfig
from vla_nav.runtimes.graph import FEATURES, Arrays, Graph, Reads, check_graph
from vla_nav.runtimes.memory import Memory, check_memory
from vla_nav.runtimes.stepping import Step, SteppingPolicy


class GraphPolicy(SteppingPolicy):
    """A :class:`vla_nav.contracts.Policy` around a graph of whatever runtime."""

    def __init__(self, config: BundleConfig, directory: Path, graph: Graph,
                 threads: int = 1, text: Reads | None = None,
                 memory: Memory | None = None) -> None:
        """Take a loaded graph; raise PolicyError where it does not fit ``config``."""
        check_graph(graph, config)
        if memory is not None:
            check_memory(memory, graph)
        self._memory = memory
        self._graph, self._text = graph, text
        self._state_size = config.state_size
        super().__init__(config, directory, graph.source, graph.provider, threads,
                         graph.fallback, graph.runtime)

    def _initial_state(self) -> NDArray[np.float32]:
        return np.zeros((1, self._state_size), np.float32)

    def _told_by(self, text: str, reading: Reading | None) -> Arrays:
        told: Arrays = {} if self._text is None else self._text.read(text)
        if 'instruction' in self._graph.inputs:
            features = np.zeros(FEATURE_SIZE) if reading is None else reading.features
            told['instruction'] = np.asarray(features, np.float32).reshape(1, -1)
        return told

    def _step(self, image: NDArray[np.uint8], told: Any, state: Any) -> Step:
        out = self._graph.run({**told, 'image': image[None], 'state': state})
        self._seen = out.get(FEATURES)
        return Step(out['actions'][0], float(out['arrived'][0, 0]), out['next_state'])

    def _remember(self, frame: Frame, image: NDArray[np.uint8], state: Any, missed: int) -> Any:
        if self._memory is None or self._seen is None:
            return super()._remember(frame, image, state, missed)
        for _ in range(missed):  # without the encoder there is always time
            state = self._memory.after(self._seen, state)
        return state
