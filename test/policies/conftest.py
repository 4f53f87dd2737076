"""Tiny checkpoints of both pretrained backbones, written once a session."""

from __future__ import annotations

from pathlib import Path

import checkpoints
import pytest


@pytest.fixture(scope='session')
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of a tiny Kosmos-2 and a tiny CLIP, by name."""
    return checkpoints.write_checkpoints(tmp_path_factory.mktemp('checkpoints'))
