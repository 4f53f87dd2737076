"""The folder of one run, ``runs/<time>/``, and the link ``runs/latest`` to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any


class RunFolder:
    """A fresh folder; ``log_dir``, ``video``, ``bag`` and ``summary`` are paths inside it."""

    def __init__(self, root: Path, started: datetime) -> None:
        """Make the folder, and point ``root/latest`` to it."""
        root.mkdir(parents=True, exist_ok=True)
        name = started.strftime('%Y-%m-%d_%H-%M-%S')
        for number in range(1, 1000):
            self.path = root / (name if number == 1 else f'{name}_{number}')
            try:
                self.path.mkdir()
                break
            except FileExistsError:
                continue
        self.log_dir = self.path / 'logs'
        self.video = self.path / 'run.mp4'
        self.bag = self.path / 'bag'
        self.summary = self.path / 'summary.json'
        _link(root / 'latest', self.path.name)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``."""
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        self.summary.write_text(text + '\n', encoding='utf-8')


def _link(link: Path, target: str) -> None:
    # Made aside and moved into place, so that the link never points nowhere.
    aside = link.with_name(f'.{link.name}.{os.getpid()}')
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(link)
