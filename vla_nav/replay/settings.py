"""What a replay is told, and the nodes' parameters from the graph's own parameter file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from vla_nav.bringup.parameter_file import node_parameters
from vla_nav.bringup.share import share_directory
from vla_nav.control.guard import GuardSettings
from vla_nav.control.pace import allowed_age_s
from vla_nav.control.task import TaskSettings
from vla_nav.detection.looking import LookingSettings

GUARD_RATE_HZ = 50.0


@dataclass(frozen=True)
class ReplaySettings:
    """``translation`` holds only what the user gave; the recording and its defaults add the rest.

    ``arrival_stamps`` takes the time of arrival for a picture's stamp. ``blind`` also runs the
    policy without the picture and without the text. ``real_time`` keeps the recording's pace.
    ``detector`` is a bundle whose obstacles the guard is told; '' for none.
    """

    policy: str
    instruction: str = ''
    translation: dict[str, Any] = field(default_factory=dict)
    arrival_stamps: bool = False
    blind: bool = True
    real_time: bool = False
    params_file: Path | None = None
    detector: str = ''


@dataclass(frozen=True)
class NodeSettings:
    """The settings of policy, guard and detector, the guard's rate in Hz, the model's delay in s.

    The guard is released, as it was when the recorded robot drove.
    """

    task: TaskSettings
    guard: GuardSettings
    guard_rate: float
    looking: LookingSettings
    model_delay: float = 0.0


class _Pace(BaseModel):
    # As the policy node has it.
    model_delay: float = Field(0.0, ge=0.0, le=4.0)


def node_settings(params_file: Path | None, max_observation_age_s: float) -> NodeSettings:
    """Return the nodes' settings as a launched graph has them.

    Raises ValueError naming the file and the key.
    """
    path = params_file or share_directory() / 'config' / 'robot.yaml'
    policy = node_parameters(path, 'policy')
    delay_s = _checked(_Pace, policy, path).model_delay
    guard = {'max_observation_age': allowed_age_s(max_observation_age_s, delay_s),
             **node_parameters(path, 'guard'), 'hold_on_start': False}
    return NodeSettings(
        _checked(TaskSettings, policy, path),
        _checked(GuardSettings, guard, path), float(guard.get('rate', GUARD_RATE_HZ)),
        _checked(LookingSettings, node_parameters(path, 'detector'), path), delay_s)


def _checked(model: type[BaseModel], given: dict[str, Any], path: Path) -> Any:
    """Validate what concerns the model; the rest of a node's parameters does not matter here."""
    try:
        return model.model_validate({key: value for key, value in given.items()
                                     if key in model.model_fields})
    except ValidationError as error:
        raise ValueError(f'{path}: {error}') from error
