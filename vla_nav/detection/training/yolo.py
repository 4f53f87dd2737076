"""The one door to ultralytics: offline, nothing installed or sent, torchvision not needed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vla_nav.detection import torchvision_stand_in


@contextmanager
def ultralytics(part: str = '') -> Iterator[Any]:
    """Give the library, or a module of it, for work within this context.

    ``with ultralytics('nn.tasks') as tasks: tasks.DetectionModel(...)``. ImportError where it is
    not installed.
    """
    # The last one: what a bundle says of its network is not evaluated as Python.
    os.environ |= {'YOLO_OFFLINE': 'True', 'YOLO_AUTOINSTALL': 'False',
                   'ULTRALYTICS_SAFE_LOAD': 'True'}
    os.environ.setdefault('YOLO_VERBOSE', 'False')
    with torchvision_stand_in.in_place():
        library = importlib.import_module('ultralytics')
        if library.settings['sync']:
            library.settings.update({'sync': False})
        yield importlib.import_module(f'ultralytics.{part}') if part else library
