"""What every runtime offers: named arrays in, named arrays out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import PolicyError
from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.runtimes.bundle import BundleConfig

Arrays = dict[str, NDArray[Any]]
Shapes = dict[str, Sequence[int | str | None]]
OUTPUTS = ('actions', 'arrived', 'next_state')
# What the encoder saw, of a bundle with a memory graph, which goes on from there.
FEATURES = 'features'
_USUAL = {'image', 'instruction', 'state'}
METADATA = 'vla_nav'  # the key under which a graph's file keeps what it is


class Reads(Protocol):
    """What a language backbone makes of an instruction."""

    def read(self, text: str) -> Arrays:
        """Return the graph's inputs that depend on the text alone; raise PolicyError."""


class Graph(Protocol):
    """A network that is ready to run, batch 1.

    ``runtime`` is what runs it, one of :data:`vla_nav.runtimes.RUNTIMES`; ``provider`` is what it
    really runs on, ``fallback`` why not on what was asked for ('' where it does).
    ``metadata`` is what the file says of itself, '' where it says nothing.
    """

    source: str
    runtime: str
    provider: str
    fallback: str
    inputs: Shapes
    outputs: Shapes
    metadata: str

    def run(self, inputs: Arrays) -> Arrays:
        """Return :func:`given` of its outputs, float32; raise PolicyError."""


def given(outputs: Shapes) -> tuple[str, ...]:
    """Return the names of what a graph gives: actions, arrived, next_state, perhaps features."""
    return (*OUTPUTS, FEATURES) if FEATURES in outputs else OUTPUTS


def describe(config: BundleConfig) -> str:
    """Return what an exported file says of itself, as JSON."""
    return json.dumps({
        'format_version': config.format_version, 'name': config.name,
        'architecture': config.architecture, 'action_space': config.action_space.model_dump(),
        'normalisation': 'actions in [-1, 1], each sign by its own limit; pixels inside the graph',
        'preprocessing': f'RGB uint8 [1, {config.image.height}, {config.image.width}, 3], centre '
                         'crop to the aspect, area averaging',
        'step_ns': config.step_ns, 'chunk': config.chunk,
        **(config.export.model_dump(include={'target', 'precision', 'part', 'source',
                                             'source_sha256'}) if config.export else {})},
        sort_keys=True)


def check_graph(graph: Graph, config: BundleConfig) -> None:
    """Raise PolicyError where a graph is not what its ``config.json`` says."""
    if config.export is not None and _parsed(graph.metadata) != _parsed(describe(config)):
        raise PolicyError(f'{graph.source}: it says of itself {graph.metadata or "nothing"!r}, '
                          'which is not what config.json says; the two are from different '
                          'exports: export the bundle again')
    actions = [1, config.chunk, len(config.action_space.names)]
    wanted: Shapes = {'state': [1, config.state_size]}
    if config.export is None or config.export.part == 'full':
        wanted['image'] = [1, config.image.height, config.image.width, 3]
        # Other inputs stand for a text that a backbone has read.
        if config.files.instruction is not None and not set(graph.inputs) - _USUAL:
            wanted['instruction'] = [1, FEATURE_SIZE]
    _compare(graph.source, wanted, graph.inputs)
    _compare(graph.source, {'actions': actions, 'arrived': [1, 1],
                            'next_state': [1, config.state_size]}, graph.outputs)


def is_broken(constant: NDArray[Any]) -> bool:
    """Return whether a constant of a graph holds NaN or infinity, and is no attention's mask.

    A mask is of 0 and -inf alone.
    """
    return not (np.isfinite(constant) | (constant == -np.inf)).all() or bool(
        np.isneginf(constant).any() and constant[np.isfinite(constant)].any())


def _parsed(metadata: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(metadata)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _compare(source: str, wanted: Shapes, found: Shapes) -> None:
    for name, shape in wanted.items():
        there = found.get(name)
        if there is None or len(there) != len(shape) or any(
                isinstance(f, int) and f != w for f, w in zip(there, shape)):
            raise PolicyError(f'{source}: {name!r} is {there}, config.json asks for {shape}; '
                              'the two are from different exports: export the bundle again')
