"""OpenVINO: an exported graph, its own or an ONNX one, without torch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from vla_nav.contracts import PolicyError
from vla_nav.runtimes.bundle import BundleConfig, check_file
from vla_nav.runtimes.graph import METADATA, Arrays, Shapes, given, is_broken

_LOG = logging.getLogger(__name__)
# Where OpenVINO's own file keeps it, and where that of an ONNX file is put.
_PLACES = ([METADATA], ['framework', METADATA])


class OpenVinoGraph:
    """A graph that OpenVINO runs on a processor."""

    def __init__(self, directory: Path, config: BundleConfig, provider: str = 'auto',
                 threads: int = 1) -> None:
        """Load the graph; raise PolicyError naming the file and the remedy."""
        openvino = import_openvino()
        path = check_file(directory, config.files.policy)
        if config.files.weights is not None:
            check_file(directory, config.files.weights)
        self.source, self.provider = str(path), 'cpu'
        self.fallback = ('' if provider in ('auto', 'openvino', 'cpu') else
                         f'OpenVINO runs this bundle on the processor, not on {provider}')
        if self.fallback:
            _LOG.warning('%s: %s', path, self.fallback)
        precision = config.export.precision if config.export else 'fp32'
        settings = {'INFERENCE_NUM_THREADS': threads, 'PERFORMANCE_HINT': 'LATENCY',
                    # By itself it computes in bf16 where the processor can.
                    'INFERENCE_PRECISION_HINT': 'bf16' if precision == 'bf16' else 'f32'}
        try:
            model = openvino.Core().read_model(str(path))
            broken = _not_finite(model)
            self.inputs, self.outputs = _shapes(model.inputs), _shapes(model.outputs)
            compiled = openvino.Core().compile_model(model, 'CPU', settings)
        except Exception as error:  # OpenVINO raises types of its own, without a common base
            raise PolicyError(f'{path}: OpenVINO {openvino.__version__} cannot load it: '
                              f'{error}; export the bundle again') from error
        if broken:
            raise PolicyError(f'{path}: {len(broken)} constants hold NaN or infinity, such as '
                              f'{broken[0]}; the robot must not follow them: export the bundle '
                              'again, or train again')
        self.metadata = next((str(model.get_rt_info(place).value) for place in _PLACES
                              if model.has_rt_info(place)), '')
        self._request = compiled.create_infer_request()

    runtime = 'openvino'
    inputs: Shapes
    outputs: Shapes

    def run(self, inputs: Arrays) -> Arrays:
        """Run one step; raise PolicyError where that fails."""
        try:
            self._request.infer(inputs)
            # Copies: the next step writes into the same memory.
            return {name: self._request.get_tensor(name).data.astype('f4')
                    for name in given(self.outputs)}
        except Exception as error:  # as above
            raise PolicyError(f'{self.source}: the network failed to run: {error}') from error


def import_openvino() -> Any:
    """Return the module; raise PolicyError with the remedy."""
    try:
        import openvino
    except ImportError as error:
        raise PolicyError(f'openvino does not import ({error}): `pip install '
                          '"vla_nav[openvino]"`, or choose onnx instead') from error
    return openvino


def _not_finite(model: Any) -> list[str]:
    """Return the names of the constants that hold NaN or infinity.

    OpenVINO's operators do not all hand NaN on: what is driven then may well be finite, and wrong.
    """
    return [op.get_friendly_name() for op in model.get_ordered_ops()
            if op.get_type_name() == 'Constant' and op.get_element_type().is_real()
            and is_broken(op.get_data(dtype=np.float32))]


def _shapes(values: Any) -> Shapes:
    return {value.get_any_name(): [size.get_length() if size.is_static else None
                                   for size in value.partial_shape] for value in values}
