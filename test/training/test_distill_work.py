"""A distillation goes on with its own work only, and replaces no student."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_bundle

from vla_nav.contracts import PolicyError
from vla_nav.training import distill as module
from vla_nav.training.distill import DistillPlan, distill
from vla_nav.training.distill_work import claim

PLAN = DistillPlan(steps=2)


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """Return what a claimed work folder, ``work``, was claimed with."""
    for name in ('images', 'chunks'):
        path = tmp_path / 'data' / 'expert' / f'0000000.{name}.npy'
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.zeros(4))
    given = {'teacher': [write_bundle(tmp_path / 'teacher')], 'frames': tmp_path / 'data',
             'start': None, 'plan': PLAN}
    claim(tmp_path / 'work', **given)
    return given


def test_the_same_goes_on_even_where_the_teacher_has_moved(given: dict[str, Any],
                                                           tmp_path: Path) -> None:
    moved = shutil.move(tmp_path / 'teacher', tmp_path / 'moved')
    claim(tmp_path / 'work', **given | {'teacher': [Path(moved)]})


@pytest.mark.parametrize('other', ['teacher', 'frames', 'start', 'plan'])
def test_another_distillation_is_refused_by_what_differs(given: dict[str, Any], tmp_path: Path,
                                                         other: str) -> None:
    says = other
    if other == 'teacher':
        given['teacher'] = [write_bundle(tmp_path / 'other', (0.1, 0.0, 0.0))]
    elif other == 'frames':
        np.save(tmp_path / 'data' / 'expert' / '0000000.chunks.npy', np.ones(4))
    elif other == 'start':
        (tmp_path / 'start').mkdir()
        (tmp_path / 'start' / 'model.safetensors').write_bytes(b'weights')
        given['start'] = tmp_path / 'start'
    else:
        given['plan'], says = replace(PLAN, steps=3), r'steps \(2, asked for is 3\)'
    with pytest.raises(PolicyError, match=rf'distill\.json: .* another {says}; give another'):
        claim(tmp_path / 'work', **given)


def test_work_that_nobody_has_noted_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / 'work' / 'distill.json').unlink()
    (tmp_path / 'work' / 'labels').mkdir()
    with pytest.raises(PolicyError, match=r'holds a distillation, and no distill\.json'):
        claim(tmp_path / 'work', **given)


@pytest.mark.parametrize('there', ['out', 'work'])
def test_what_is_refused_is_so_before_any_work(given: dict[str, Any], tmp_path: Path, there: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'relabel', lambda *_: pytest.fail('has begun'))
    out, plan = tmp_path / 'student', PLAN
    if there == 'out':
        out.mkdir()
    else:
        plan = replace(PLAN, seed=1)
    says = 'student: exists already' if there == 'out' else r'another seed \(0'
    with pytest.raises(PolicyError, match=says):
        distill(given['teacher'], given['frames'], tmp_path / 'work', out,
                tmp_path / 'teacher' / 'instruction.onnx', plan)
