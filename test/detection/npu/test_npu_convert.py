"""A network is converted once for targets that take the same operators."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from vla_nav.detection.npu import convert
from vla_nav.detection.npu.targets import target


@pytest.fixture
def asked(monkeypatch):
    """Return the specifications that ExecuTorch is asked for; it converts nothing."""
    found: list[str] = []

    def call(script, request, work):
        found.append(request['specification'])
        return {'graphs': [f'{work}/net.tosa'], 'outside': [], 'versions': {'executorch': '1'}}
    monkeypatch.setattr(convert, 'save_program', lambda model, size, path: 7)
    monkeypatch.setattr(convert, 'TOSA', SimpleNamespace(call=call))
    return found


def test_u55_and_u65_share_a_conversion_and_u85_has_its_own(asked, tmp_path):
    pictures = np.zeros((1, 3, 32, 32), np.float32)
    made = [convert.by_route('tosa', nn.ReLU(), 32, pictures, tmp_path, target(name))
            for name in ('ethos-u55-256', 'ethos-u65-512', 'ethos-u85-512')]
    assert len(asked) == 2 and asked[0].endswith('u55') and not asked[1].endswith('u55')
    assert made[0] == made[1] != made[2]
    assert made[0].macs == 7 and made[0].tool == 'executorch 1'
    convert.by_route('tosa', nn.ReLU(), 32, pictures, tmp_path / 'other', target('ethos-u55-256'))
    assert len(asked) == 3
