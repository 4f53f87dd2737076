"""What of a step is the head's: all that is behind the encoder, alone on the same runtime."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from vla_nav.contracts import PolicyError
from vla_nav.runtimes import open_graph
from vla_nav.runtimes.bundle import BundleConfig, FamilyBundle, load_config, read_bundle
from vla_nav.runtimes.graph import Arrays, Graph


class Head:
    """A graph of features and memory, ready to be timed; what it is fed takes no part in that."""

    def __init__(self, graph: Graph) -> None:
        """Take a graph whose sizes are all known."""
        self._graph = graph
        self._fed: Arrays = {
            name: np.zeros([int(size) for size in shape if size is not None], np.float32)
            for name, shape in graph.inputs.items()}

    def run_ns(self) -> int:
        """Run one step, its outputs in the processor's memory; return nanoseconds."""
        began = time.perf_counter_ns()
        self._graph.run(self._fed)
        return time.perf_counter_ns() - began


def open_head(bundle: Path, runtime: str, threads: int, work: Path) -> Head | None:
    """Return the head of a bundle on a runtime, or None where it cannot be told from the rest.

    It needs the network's weights, and PyTorch. A single exported graph does not tell; nor does
    an ensemble. For ONNX Runtime and OpenVINO the head is exported to the new directory ``work``.
    """
    try:
        config = read_bundle(bundle)
        if isinstance(config, FamilyBundle):
            own = 'eager'
        elif isinstance(config, BundleConfig) and config.files.model is not None:
            own = config.target
        else:
            return None
        runtime = own if runtime == 'auto' else runtime
        from vla_nav.policies.torch_graph import FROM_WEIGHTS
        from vla_nav.policies.traceable import load_traceable
        if runtime in FROM_WEIGHTS:
            network = load_traceable(bundle, 'head')
            return Head(FROM_WEIGHTS[runtime](network, 'auto', threads))
        from vla_nav.export.write import Order, export
        export(bundle, work, Order('onnx', part='head'))
        return Head(open_graph(work, load_config(work), 'auto', threads, runtime))
    except (ImportError, PolicyError):  # nothing to tell it by here, or no such part
        return None
