"""The levels of config/detector, their activations and widths, and the network of a choice."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from vla_nav.bringup.share import share_directory
from vla_nav.detection.training.yolo import ultralytics

LEVELS = ('L0', 'L1', 'L2', 'L3', 'L4')
# By the name that is typed: how ultralytics is told of it, and what it must become.
ACTIVATIONS: dict[str, tuple[str, type[nn.Module]]] = {
    'silu': ('torch.nn.SiLU()', nn.SiLU),
    'relu': ('torch.nn.ReLU()', nn.ReLU),
    'relu6': ('torch.nn.ReLU6()', nn.ReLU6),
    'leaky': ('torch.nn.LeakyReLU(0.1)', nn.LeakyReLU),
}
LEAKY_SLOPE = 0.1


class LevelError(ValueError):
    """A level, activation or width that does not exist; the message says which do."""


def read_level(level: str, activation: str, width: float | None = None) -> dict[str, Any]:
    """Return a level's architecture in ultralytics' form.

    ``level`` is one of LEVELS or a YAML of one's own; ``width`` multiplies the channels that the
    YAML names (None: its own, 0.25). Raises :class:`LevelError`.
    """
    path = Path(level)
    if path.suffix not in ('.yaml', '.yml'):
        path = share_directory() / 'config' / 'detector' / f'{level}.yaml'
    if not path.is_file():
        raise LevelError(f'level is {level!r}; give one of {", ".join(LEVELS)}, or a YAML file')
    if activation not in ACTIVATIONS:
        raise LevelError(f'activation is {activation!r}; give one of {", ".join(ACTIVATIONS)}')
    if width is not None and not 0 < width <= 2:
        raise LevelError(f'width is {width}; give a factor above 0 and up to 2, such as 0.25')
    description = yaml.safe_load(path.read_text('utf-8'))
    if not isinstance(description, dict) or not {'backbone', 'head'} <= description.keys():
        raise LevelError(f'{path}: has no backbone and head; config/detector/L3.yaml shows how a '
                         'level is written')
    if description.get('end2end'):
        raise LevelError(f'{path}: end2end is {description["end2end"]}; remove it: a detector '
                         'here gives all its boxes, and the robot chooses among them')
    description['activation'] = ACTIVATIONS[activation][0]
    if width is not None:
        description['width_multiple'] = width
    return description


def build(architecture: dict[str, Any], classes: tuple[str, ...]) -> nn.Module:
    """Return a fresh network of :func:`read_level`; its weights depend on torch's seed."""
    with ultralytics('nn.tasks') as tasks, ultralytics('cfg') as configuration:
        model: nn.Module = tasks.DetectionModel(copy.deepcopy(architecture), ch=3,
                                                nc=len(classes), verbose=False)
        model.names = dict(enumerate(classes))  # type: ignore[assignment]
        model.args = configuration.get_cfg()  # the gains of the losses
    return model


def parameters(model: nn.Module) -> int:
    """Return how many numbers the network has learned."""
    return sum(parameter.numel() for parameter in model.parameters())


def gflops(model: nn.Module, image_size: int) -> float:
    """Return 1e9 operations per picture, two for each multiplication, as ultralytics counts."""
    with ultralytics('utils.torch_utils') as tools:
        return float(tools.get_flops(model, image_size))
