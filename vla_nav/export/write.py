"""From a bundle to an exported one: build aside, prove equal, move into place."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_nav.contracts import PolicyError
from vla_nav.export import gate
from vla_nav.export.card import write_card
from vla_nav.export.cells import as_products
from vla_nav.export.drives import (
    Listening,
    calibration_drives,
    errors,
    hear,
    validation_drives,
)
from vla_nav.export.finite import check_network
from vla_nav.export.onnx_file import data_of, save_memory, save_onnx, save_text
from vla_nav.export.openvino_file import save_openvino
from vla_nav.policies.torch_graph import as_policy, eager, save_script
from vla_nav.policies.traceable import Traceable, load_traceable
from vla_nav.runtimes import graph_policy, open_graph
from vla_nav.runtimes.bundle import (
    BundleConfig,
    BundleFile,
    BundleFiles,
    Export,
    Part,
    Precision,
    Target,
)
from vla_nav.runtimes.graph import Arrays
from vla_nav.runtimes.graph_policy import GraphPolicy
from vla_nav.runtimes.memory import MemoryGraph

_GRAPHS = {'onnx': 'policy.onnx', 'torchscript': 'policy.pt', 'openvino': 'policy.xml'}
_UNKNOWN = {('onnx', 'bf16'): 'ONNX Runtime computes no bfloat16 on a processor',
            ('torchscript', 'int8'): 'TorchScript has no static QDQ form'}
_CALIBRATION_DRIVES = 12


@dataclass(frozen=True)
class Order:
    """What to export, and how to prove it.

    ``recordings`` to calibrate and validate on; without, the simulator's expert drives ``drives``
    to validate on. ``episodes`` are driven in closed loop by source and export each. ``catch_up``
    adds the memory by itself, for pictures that are missed.
    """

    target: Target
    precision: Precision = 'fp32'
    part: Part = 'full'
    recordings: Path | None = None
    drives: int = 4
    episodes: int = 4
    catch_up: bool = True


def export(policy: Path, out: Path, order: Order,
           say: Callable[[str], None] = lambda text: None) -> BundleConfig:
    """Export the bundle ``policy`` to the new directory ``out``.

    Raises PolicyError where that cannot be done and :class:`gate.NotEqual` where the result is
    not what its source is; ``out`` is then not there.
    """
    _check(out, order)
    network = load_traceable(policy, order.part, order.catch_up)
    check_network(network)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', dir=out.parent))
    try:
        say('writing the graph')
        config = _build(network, work, order)
        parity = _prove(network, config, work, order, say)
        assert config.export is not None
        config = config.model_copy(update={'export': config.export.model_copy(
            update={'parity': parity})})
        config.save(work)
        write_card(work, config)
        work.chmod(0o755)  # mkdtemp's is for one person
        os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return config


def _check(out: Path, order: Order) -> None:
    if out.exists():
        raise PolicyError(f'{out}: exists already, and an export overwrites nothing; choose '
                          'another --out or remove it')
    why = _UNKNOWN.get((order.target, order.precision))
    if why is None and order.part == 'head' and order.precision in ('bf16', 'int8'):
        why = 'a head alone cannot be judged on drives'
    if why is not None:
        raise PolicyError(f'--to {order.target} --precision {order.precision}: {why}; choose '
                          'another precision or target')


def _build(network: Traceable, work: Path, order: Order) -> BundleConfig:
    """Write all files but the configuration, and return that.

    Without a config.json nothing loads what a killed export leaves behind unproved.
    """
    c, graph = network.config, work / _GRAPHS[order.target]
    config = c.model_copy(update={'export': Export(
        target=order.target, precision=order.precision, part=order.part, source=c.name,
        source_sha256=network.weights.sha256)})
    weights: Path | None = None
    if order.target == 'torchscript':
        # PyTorch's own cells hide their weights from what stores them narrower, and its processor
        # has none in bfloat16.
        with nullcontext() if order.precision == 'fp32' else as_products(network.module):
            save_script(network, config, graph)
    else:
        onnx_file = work / _GRAPHS['onnx']
        fed = _fed(network, order) if order.precision == 'int8' and network.text is None else []
        save_onnx(network, config, onnx_file, fed)
        weights = data_of(onnx_file)
        if order.target == 'openvino':
            beside = save_openvino(onnx_file, config, graph)
            for stale in (onnx_file, weights):
                stale.unlink(missing_ok=True)
            weights = beside
    files: dict[str, Path | None] = {
        'policy': graph, 'weights': weights if weights and weights.exists() else None}
    reader = c.files.instruction
    if reader is not None:
        files['instruction'] = Path(shutil.copy(network.directory / reader.name, work))
    if network.memory is not None:
        memory = work / 'memory.onnx'
        save_memory(network, memory, order.precision)
        files['memory'] = memory
    if network.text is not None and order.part == 'full':
        text = work / 'text.onnx'
        save_text(network.text, text, order.precision)
        files |= {'text': text, 'tokens': work / 'tokens.json',
                  'text_weights': data_of(text) if data_of(text).exists() else None}
        (work / 'tokens.json').write_text(json.dumps(network.text.ids) + '\n', 'utf-8')
    return config.model_copy(update={'files': BundleFiles.model_validate(
        {key: BundleFile.of(path) for key, path in files.items() if path is not None})})


def _fed(network: Traceable, order: Order) -> list[Arrays]:
    """Return what the network is fed on training drives."""
    _need_drives(network, order)
    listening = Listening(eager(network, 'cpu'))
    policy = GraphPolicy(network.config, network.directory, listening)
    return list(hear(policy, listening, calibration_drives(order.recordings,
                                                           _CALIBRATION_DRIVES)))


def _need_drives(network: Traceable, order: Order) -> None:
    if order.recordings is None and not _simulated(network):
        raise PolicyError(f'{order.precision} needs drives to calibrate on, and this policy does '
                          'not follow instructions of the simulator: give --calibrate DIR with '
                          'recordings')


def _simulated(network: Traceable) -> bool:
    """Return whether the simulator's episodes are what the policy was made for."""
    return network.config.files.instruction is not None


def _prove(network: Traceable, config: BundleConfig, work: Path, order: Order,
           say: Callable[[str], None]) -> dict[str, Any]:
    """Compare the export, as a robot loads it on the CPU, with its source; raise NotEqual."""
    pair = gate.Pair(eager(network, 'cpu'), open_graph(work, config, 'cpu'))
    say('comparing outputs')
    if order.part == 'head':
        differences = gate.parity(pair, _features(network))
        gate.check_bound(order.precision, differences)
        return {'max_abs_difference': differences, 'inputs': gate.RUNS * gate.STEPS,
                'steps': gate.STEPS}
    source = as_policy(network, 'eager', 'cpu')
    exported = graph_policy(work, config, 'cpu')
    memory = MemoryGraph(work, config.files.memory) if config.files.memory else None
    differences = gate.parity(pair, _pictures(network, source, exported), memory)
    gate.check_bound(order.precision, differences)
    found: dict[str, Any] = {'max_abs_difference': differences,
                             'inputs': gate.RUNS * gate.STEPS, 'steps': gate.STEPS}
    policies = (source, exported)
    if order.drives and (order.recordings or _simulated(network)):
        say('comparing errors on drives')
        mae = errors(policies, validation_drives(order.recordings, order.drives))
        found |= {'mae_source': mae[0], 'mae_export': mae[1]}
        gate.check_mae(order.precision, mae)
    else:
        gate.check_mae(order.precision, None)
    if order.episodes and _simulated(network):
        say('comparing drives in closed loop')
        found['closed_loop'] = gate.closed_loop(policies, order.episodes)
    return found


def _pictures(network: Traceable, source: GraphPolicy, exported: GraphPolicy) -> gate.Tell:
    """Return fresh pictures, and an instruction that changes between runs."""
    c, told = network.config, [dict[str, Any](), dict[str, Any]()]

    def tell(number: int, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        if number % gate.STEPS == 0:
            text = ''
            if network.text is not None:
                texts = list(network.text.ids)
                text = texts[int(rng.integers(len(texts)))]
            told[:] = [policy._told_by(text, None)
                       for policy in (source, exported)]
            if 'instruction' in network.inputs:
                features = rng.random(network.inputs['instruction'].shape, np.float32)
                for one in told:
                    one['instruction'] = features
        image = gate.picture(number, c.image.height, c.image.width, rng)
        return {**told[0], 'image': image}, {**told[1], 'image': image}
    return tell


def _features(network: Traceable) -> gate.Tell:
    shape = tuple(network.inputs['features'].shape)

    def tell(number: int, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        features = {'features': rng.normal(size=shape).astype(np.float32)}
        return features, features
    return tell
