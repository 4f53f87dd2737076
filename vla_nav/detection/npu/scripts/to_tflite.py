"""Convert a program of ``torch.export`` to an int8 TFLite graph by LiteRT.

Request: ``program``, ``pictures`` (.npy, float32 [N, 3, S, S]) and ``folder``. Answer: ``graph``
(int8), ``float_graph`` and ``versions``.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import quantizer, recipe


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out the request and return the answer."""
    pictures = np.load(request['pictures'])
    folder = Path(request['folder'])
    network = torch.export.load(request['program']).module()
    example = (torch.from_numpy(pictures[:1]),)
    plain, eight = folder / 'float.tflite', folder / 'int8.tflite'
    litert_torch.convert(network, example).export(str(plain))
    work = quantizer.Quantizer(str(plain), recipe.static_wi8_ai8())
    ranges = work.calibrate({'serving_default': [{'args_0': one[None]} for one in pictures]})
    work.quantize(ranges).export_model(str(eight), overwrite=True)
    return {'graph': str(eight), 'float_graph': str(plain),
            'versions': {name: version(name) for name in (
                'litert-torch', 'ai-edge-quantizer', 'torch')}}


if __name__ == '__main__':
    answer = main(json.loads(Path(sys.argv[1]).read_text('utf-8')))
    Path(sys.argv[2]).write_text(json.dumps(answer), 'utf-8')
