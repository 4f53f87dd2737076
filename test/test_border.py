"""The border between the core and ROS, and what the robot's path must not carry or do."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PACKAGE = _ROOT / 'vla_nav'
_HEAVY = ('torch', 'transformers', 'ultralytics', 'mujoco', 'gymnasium', 'matplotlib', 'scipy')
# What of the detector runs on a robot; the rest trains, compiles and compares.
_DETECTOR = tuple(f'detection/{name}' for name in (
    'contracts', 'bundle', 'letterbox', 'decode', 'onnx_detector', 'lens', 'ground', 'free_ground',
    'own_body', 'obstacle_memory', 'lookout'))
_CORE = ('control', 'observations', 'runtimes', 'episodes', 'simulation', 'policies', 'language',
         'spaces', 'contracts', *_DETECTOR)
_CLOCKS = {('time', name) for name in (
    'time', 'time_ns', 'monotonic', 'monotonic_ns', 'perf_counter', 'perf_counter_ns', 'sleep',
    'process_time', 'localtime', 'gmtime', 'strftime')} | {
    ('datetime', 'now'), ('datetime', 'utcnow'), ('datetime', 'today'), ('date', 'today')}
# TorchScript's own reader makes tensors and no Python objects; it is used in this one place.
_TORCHSCRIPT = _PACKAGE / 'policies' / 'torch_graph.py'
_UNPICKLING = ('pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'shelve', 'marshal')


def _sources(*parts: str) -> list[Path]:
    found: list[Path] = []
    for part in parts:
        path = _PACKAGE / part
        found += sorted(path.rglob('*.py')) if path.is_dir() else [path.with_suffix('.py')]
    return [path for path in found if path.exists()]


def _modules_of_the_robot() -> list[str]:
    language = [_PACKAGE / 'language' / f'{name}.py'
                for name in ('intent', 'grammar', 'tokenizer', 'slots', 'reader')]
    nodes = [_PACKAGE / 'nodes' / f'{name}.py'
             for name in ('policy_node', 'guard_node', 'camera_node', 'detector_node')]
    files = [*_sources('spaces', 'contracts', 'observations', 'runtimes', 'control', *_DETECTOR),
             *language]
    if importlib.util.find_spec('rclpy'):
        files += nodes
    return ['.'.join(path.relative_to(_ROOT).with_suffix('').parts).removesuffix('.__init__')
            for path in files]


def test_the_robots_path_imports_nothing_heavy():
    modules = _modules_of_the_robot()
    assert {'vla_nav.runtimes.onnx_graph', 'vla_nav.detection.onnx_detector'} <= set(modules)
    check = ('import importlib, sys\n'
             f'for name in {modules}:\n'
             '    importlib.import_module(name)\n'
             f'    heavy = [m for m in {_HEAVY} if m in sys.modules]\n'
             '    assert not heavy, f"{name} imports {heavy}"\n')
    result = subprocess.run([sys.executable, '-c', check], cwd=_ROOT, capture_output=True,
                            text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]


def _imports(path: Path) -> set[str]:
    """Return the top-level names of all modules imported anywhere in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text('utf-8'), str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split('.')[0])
    return names


def test_rclpy_stays_in_the_nodes():
    files = [*_PACKAGE.rglob('*.py')]
    assert any('rclpy' in _imports(path) for path in files)  # else this looks in the wrong place
    outside = [str(path.relative_to(_ROOT)) for path in files
               if 'rclpy' in _imports(path) and _PACKAGE / 'nodes' not in path.parents]
    assert outside == []


def _clock_reads(source: str) -> list[str]:
    """Return the places that read a clock, or import a function which does, by any name."""
    tree = ast.parse(source)
    original = {'time': 'time', 'datetime': 'datetime', 'date': 'date'}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            original.update({alias.asname or alias.name: alias.name for alias in node.names})
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == 'time':
            found += [f'line {node.lineno}: from time import {alias.name}'
                      for alias in node.names if ('time', alias.name) in _CLOCKS]
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(
                node.value, 'id', '')
            if (original.get(owner, owner), node.attr) in _CLOCKS:
                found.append(f'line {node.lineno}: {owner}.{node.attr}')
    return found


@pytest.mark.parametrize('source', [
    'import time\ntime.monotonic()', 'import time as t\nclock = t.perf_counter',
    'from time import time', 'import datetime\ndatetime.datetime.now()',
    'from datetime import datetime as d\nd.now()', 'from datetime import date\ndate.today()'])
def test_the_search_for_clocks_finds_them(source):
    assert _clock_reads(source)


def test_the_core_reads_no_clock():
    files = _sources(*_CORE)
    assert {path.relative_to(_PACKAGE).parts[0] for path in files} >= {
        'control', 'observations', 'runtimes', 'spaces.py'}
    found = [f'{path.relative_to(_ROOT)}: {read}' for path in files
             for read in _clock_reads(path.read_text('utf-8'))]
    assert found == []


def _unpickles(source: str) -> list[str]:
    """Return the places that could run code from a file: pickles by whatever name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                     else [node.module or ''])
            found += [f'line {node.lineno}: imports {name}' for name in names
                      if name.split('.')[0] in _UNPICKLING]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in ('torch.load', 'torch.jit.load', 'pandas.read_pickle', 'pd.read_pickle'):
                found.append(f'line {node.lineno}: {name}')
            if options.get('allow_pickle', 'False') != 'False':
                found.append(f'line {node.lineno}: {name} with allow_pickle')
            if name.split('.')[0] == 'yaml' and name.endswith(('.load', '.unsafe_load')):
                found.append(f'line {node.lineno}: {name} builds any object')
    return found


@pytest.mark.parametrize('source', [
    'import pickle', 'from pickle import load', 'import torch\ntorch.load(path)',
    'np.load(path, allow_pickle=True)', 'yaml.load(text)'])
def test_the_search_for_pickles_finds_them(source):
    assert _unpickles(source)


def test_nothing_unpickles():
    found = [f'{path.relative_to(_ROOT)}: {place}' for path in sorted(_PACKAGE.rglob('*.py'))
             for place in _unpickles(path.read_text('utf-8'))
             if not (path == _TORCHSCRIPT and place.endswith('torch.jit.load'))]
    assert found == []


def test_every_directory_of_modules_is_installed():
    missing = {path.parent for path in _PACKAGE.rglob('*.py')
               if not (path.parent / '__init__.py').exists()}
    assert not missing, 'setuptools passes these over: no __init__.py'
