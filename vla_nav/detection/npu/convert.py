"""From a network to 8-bit graphs for NPU compilers, each route in an environment of its own.

Two routes lead to Vela. ExecuTorch quantises while the network is still PyTorch's and writes TOSA:
every activation becomes part of it, LeakyReLU as a table. LiteRT writes a float TFLite graph that
ai-edge-quantizer then rewrites; it has no 8-bit LeakyReLU, and leaves each one in float between a
DEQUANTIZE and a QUANTIZE, which an NPU cannot run. Hence ``ROUTE``: TOSA, for all activations
alike, so that their estimates differ by the activation alone. TFLite is for whoever deploys by
TensorFlow Lite Micro.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vla_nav.detection.npu.environments import TFLITE, TOSA
from vla_nav.detection.npu.exported import save_program
from vla_nav.detection.npu.problems import NpuError
from vla_nav.detection.npu.report import Fallback
from vla_nav.detection.npu.targets import Target

Route = Literal['tosa', 'tflite']
ROUTE: Final[Route] = 'tosa'
# U55 and U65 have no matrix product of two computed tensors and transpose less than U85.
_SPECIFICATION: Final = {False: 'TOSA-1.0+INT+int16+int4', True: 'TOSA-1.0+INT+int16+int4+u55'}


@dataclass(frozen=True)
class Converted:
    """8-bit graphs, mostly one; what stayed outside; MACs of the network for one picture."""

    graphs: tuple[Path, ...]
    outside: tuple[Fallback, ...]
    macs: int
    tool: str


def to_tosa(model: nn.Module, image_size: int, pictures: NDArray[np.float32], folder: Path,
            small: bool) -> Converted:
    """Write TOSA graphs into a folder, for U55 and U65 where ``small``, else for U85.

    ``pictures`` float32 [N, 3, S, S] give the ranges. A folder belongs to one network: what lies
    in it for the same specification, a minute's work, is taken as it is. Raises NpuError.
    """
    folder = folder / ('small' if small else 'large')
    done = folder / 'answer.json'
    if not done.is_file():
        macs, request = _request(model, image_size, pictures, folder)
        made = TOSA.call('to_tosa', {**request, 'specification': _SPECIFICATION[small]}, folder)
        done.write_text(json.dumps({**made, 'macs': macs}), 'utf-8')
    answer = json.loads(done.read_text('utf-8'))
    if not answer['graphs']:
        raise NpuError('ExecuTorch left the whole network to the CPU')
    return Converted(
        tuple(map(Path, answer['graphs'])),
        tuple(Fallback(node=one['node'], operator=one['operator'],
                       reason=f'not in {_SPECIFICATION[small]} as ExecuTorch writes it')
              for one in answer['outside']),
        answer['macs'], _named(answer['versions']))


def to_tflite(model: nn.Module, image_size: int, pictures: NDArray[np.float32],
              folder: Path) -> Converted:
    """Write an int8 TFLite graph into a folder; see :func:`to_tosa`."""
    macs, request = _request(model, image_size, pictures, folder)
    answer = TFLITE.call('to_tflite', request, folder)
    return Converted((Path(answer['graph']),), (), macs, _named(answer['versions']))


def by_route(route: Route, model: nn.Module, image_size: int, pictures: NDArray[np.float32],
             folder: Path, target: Target) -> Converted:
    """Convert for a target by one of the two routes."""
    if route == 'tflite':
        return to_tflite(model, image_size, pictures, folder)
    return to_tosa(model, image_size, pictures, folder, small='u85' not in target.name)


def _request(model: nn.Module, image_size: int, pictures: NDArray[np.float32],
             folder: Path) -> tuple[int, dict[str, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    program, ranges = folder / 'program.pt2', folder / 'pictures.npy'
    macs = save_program(model, image_size, program)
    np.save(ranges, pictures)
    return macs, {'program': str(program), 'pictures': str(ranges), 'folder': str(folder)}


def _named(versions: dict[str, str]) -> str:
    return ', '.join(f'{name} {version}' for name, version in versions.items())
