"""What a ROS 2 parameter file says of one node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def node_parameters(path: Path, node: str) -> dict[str, Any]:
    """Return a node's parameters, in whichever namespace; raise ValueError naming the file."""
    try:
        content = yaml.safe_load(path.read_text('utf-8'))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f'{path}: cannot be read: {error}') from error
    found: dict[str, Any] = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        if str(name).rpartition('/')[2] == node and isinstance(value, dict):
            found |= value.get('ros__parameters') or {}
    return found
