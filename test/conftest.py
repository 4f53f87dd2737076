"""Shared by all tests; pytest also puts this directory on sys.path, for ``bundles``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from vla_nav.simulation.gl import ensure_gl

# Before any test module imports torch: beside other workers one thread each is faster than many.
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')

# Before any test module imports MuJoCo, which looks for its GL back end at import.
ensure_gl()

# The same examples in every run: a test that fails, fails again. No deadline: machines are shared.
settings.register_profile('repeatable', derandomize=True, deadline=None)
settings.load_profile('repeatable')


@pytest.fixture(scope='session')
def donkeycar_tub() -> Path:
    """Return the archive of 1,000 real camera frames (MIT licence, donkeycar project)."""
    beside = Path(__file__).parents[2] / 'shared' / 'data'
    path = Path(os.environ.get('VLA_NAV_TEST_DATA', beside)) / 'donkeycar_tub.tar.gz'
    if not path.is_file():
        pytest.skip(f'{path} is not there; set VLA_NAV_TEST_DATA to its directory')
    return path
