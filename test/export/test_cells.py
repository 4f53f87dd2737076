"""Recurrent cells written as products are the cells that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from vla_nav.export.cells import as_products
from vla_nav.policies.config import HeadConfig
from vla_nav.policies.heads import GruHead, Head, LstmHead


@pytest.mark.parametrize('kind', [LstmHead, GruHead])
def test_products_are_the_cells(kind: Callable[[int, HeadConfig], Head], tmp_path: Path) -> None:
    torch.manual_seed(0)
    head = kind(5, HeadConfig(kind='lstm', hidden=8, layers=3, dropout=0.0)).eval()
    x, state = torch.randn(2, 4, 5), torch.randn(2, head.state_size)
    held = head.cells
    with torch.no_grad(), as_products(head):
        assert head.cells is not held
        found = head(x, state)
        torch.onnx.export(head, (x, state), str(tmp_path / 'head.onnx'), dynamo=False,
                          opset_version=18)
    assert head.cells is held
    with torch.no_grad():
        for one, other in zip(found, head(x, state)):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    graph = onnx.load(tmp_path / 'head.onnx').graph
    assert {node.op_type for node in graph.node}.isdisjoint({'LSTM', 'GRU', 'Gemm'})
    constant = {tensor.name for tensor in graph.initializer}
    assert sum(node.op_type == 'MatMul' and node.input[1] in constant
               for node in graph.node) == 3 * (1 + 4)


def test_cells_are_back_after_an_error() -> None:
    module = nn.Sequential(nn.GRU(2, 2))
    held = module[0]
    with pytest.raises(RuntimeError, match='no export'), as_products(module):
        raise RuntimeError('no export')
    assert module[0] is held
