"""What lies in the work folder of a distillation, and whose work that is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from vla_nav.contracts import PolicyError
from vla_nav.runtimes.bundle import CONFIG_NAME, sha256_of
from vla_nav.runtimes.ensemble import networks
from vla_nav.training.family.member import frame_folders

_NAME = 'distill.json'
_OF_A_RUN = ('checkpoint.safetensors', 'labels', 'own')


def claim(work: Path, teacher: Sequence[Path], frames: Path, start: Path | None,
          plan: Any) -> None:
    """Note in ``work`` what is distilled there; raise PolicyError where it is something else.

    ``plan`` is a dataclass of numbers. Labels and weights are told apart by their content, so that
    a teacher may move, but not be trained again.
    """
    assert is_dataclass(plan) and not isinstance(plan, type)
    path = work / _NAME
    wanted = {'teacher': [_teacher(bundle) for bundle in teacher], 'frames': _frames(frames),
              'start': None if start is None else _start(start), 'plan': asdict(plan)}
    if path.exists():
        _compare(path, json.loads(path.read_text('utf-8')), wanted)
        return
    if any((work / name).exists() for name in _OF_A_RUN):
        raise PolicyError(f'{work}: holds a distillation, and no {_NAME} that says of which '
                          'teacher; give another --work, or remove it')
    work.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    partial.write_text(json.dumps(wanted, indent=1) + '\n', 'utf-8')
    partial.replace(path)


def _compare(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    other = [key for key in ('teacher', 'frames', 'start') if found.get(key) != wanted[key]]
    plan = found.get('plan', {})
    other += [f'{key} ({plan.get(key)}, asked for is {value})'
              for key, value in wanted['plan'].items() if plan.get(key) != value]
    if other:
        raise PolicyError(f'{path}: is of a distillation with another {", ".join(other)}; give '
                          'another --work, or the same options to go on')


def _teacher(bundle: Path) -> list[list[Any]]:
    """Return who has a say, by the hash of a config.json, which has those of the weights."""
    return [[sha256_of(path / CONFIG_NAME), weight] for path, weight in networks(bundle)]


def _start(bundle: Path) -> str:
    path = bundle / 'model.safetensors'
    if not path.exists():
        raise PolicyError(f'{path}: missing; --start takes a compact bundle that training wrote')
    return sha256_of(path)


def _frames(frames: Path) -> str:
    """Return a hash of what is small in all shards, and of the names and sizes of pictures."""
    digest = hashlib.sha256()
    for folder in frame_folders(frames):
        for path in sorted(folder.glob('*.npy')):
            large = path.name.endswith('.images.npy')
            content = str(path.stat().st_size) if large else sha256_of(path)
            digest.update(f'{path.relative_to(frames)} {content}\n'.encode())
    return digest.hexdigest()
