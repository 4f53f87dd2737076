"""A graph that reads instructions, with its weights in its file or beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vla_nav.contracts import PolicyError
from vla_nav.runtimes.bundle import BundleFile, BundleFiles
from vla_nav.runtimes.text import TextGraph

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(folder: Path, beside: bool) -> BundleFiles:
    graph = helper.make_graph(
        [helper.make_node('Gather', ['table', 'clip_tokens'], ['clip_text'])], 'text',
        [helper.make_tensor_value_info('clip_tokens', TensorProto.INT64, [1, 2])],
        [helper.make_tensor_value_info('clip_text', TensorProto.FLOAT, [1, 2, 3])],
        [numpy_helper.from_array(TABLE, 'table')])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)
    onnx.save_model(model, folder / 'text.onnx', save_as_external_data=beside,
                    location='text.onnx.data', size_threshold=0)
    (folder / 'tokens.json').write_text(json.dumps({'go': {'clip_tokens': [1, 3]}}))
    text, tokens = (BundleFile.of(folder / name) for name in ('text.onnx', 'tokens.json'))
    return BundleFiles(policy=text, text=text, tokens=tokens, text_weights=BundleFile.of(
        folder / 'text.onnx.data') if beside else None)


@pytest.mark.parametrize('beside', [False, True])
def test_an_instruction_is_read(tmp_path: Path, beside: bool) -> None:
    found = TextGraph(tmp_path, write(tmp_path, beside)).read('go')
    np.testing.assert_array_equal(found['clip_text'], TABLE[[1, 3]][None])


def test_damaged_weights_beside_the_graph_are_refused(tmp_path: Path) -> None:
    files = write(tmp_path, beside=True)
    (tmp_path / 'text.onnx.data').write_bytes(TABLE[::-1].tobytes())
    with pytest.raises(PolicyError, match=r'text\.onnx\.data: sha256 is'):
        TextGraph(tmp_path, files)
