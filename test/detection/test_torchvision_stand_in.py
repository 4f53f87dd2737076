from __future__ import annotations

import importlib.metadata
import importlib.util
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.detection import torchvision_stand_in as stand_in

_CORNER = st.floats(0, 50, width=32)
_BOX = st.tuples(_CORNER, _CORNER, st.floats(1, 30, width=32), st.floats(1, 30, width=32))


def _iou(a: torch.Tensor, b: torch.Tensor) -> float:
    sides = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0)
    shared = float(sides.prod())
    return shared / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(_BOX, st.floats(0, 1, width=32)), max_size=12))
def test_suppression_keeps_the_best_of_what_overlaps(found):
    boxes = torch.tensor([[x, y, x + w, y + h] for (x, y, w, h), _ in found]).reshape(-1, 4)
    scores = torch.tensor([score for _, score in found])
    kept = stand_in.nms(boxes, scores, 0.5).tolist()
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    for i in range(len(found)):
        better = [j for j in kept if j != i and scores[j] >= scores[i]]
        worst = max((_iou(boxes[i], boxes[j]) for j in better), default=0.0)
        assert (i in kept and worst <= 0.5 + 1e-5) or (i not in kept and worst > 0.5 - 1e-5)


def _broken_torchvision(folder, monkeypatch):
    (folder / 'torchvision').mkdir()
    (folder / 'torchvision' / '__init__.py').write_text(
        'raise RuntimeError("operator torchvision::nms does not exist")')
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, 'torchvision', raising=False)


def test_it_stands_in_for_what_cannot_be_imported(tmp_path, monkeypatch):
    _broken_torchvision(tmp_path, monkeypatch)
    with stand_in.in_place():
        import torchvision
        assert torchvision.ops.nms is stand_in.nms
        assert torchvision.__version__.startswith('0.')
        assert importlib.metadata.version('torchvision')
        with stand_in.in_place():
            assert sys.modules['torchvision'] is torchvision
        assert sys.modules['torchvision'] is torchvision


def test_it_goes_again_so_that_no_other_library_takes_it_for_the_whole(tmp_path, monkeypatch):
    _broken_torchvision(tmp_path, monkeypatch)
    finders = list(sys.meta_path)
    with pytest.raises(KeyError), stand_in.in_place():
        raise KeyError
    assert not [name for name in sys.modules if name.startswith('torchvision')]
    assert sys.meta_path == finders


def test_a_torchvision_that_works_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / 'torchvision.py').write_text('mark = 1')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'torchvision', raising=False)
    try:
        with stand_in.in_place():
            import torchvision
            assert torchvision.mark == 1
    finally:
        del sys.modules['torchvision']  # or the tests after this one would find it
