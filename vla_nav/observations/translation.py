"""Which messages become which samples: topics, alignment and tolerances, kept with a recording.

Pictures are decoded by :mod:`vla_nav.observations.messages` and shaped by
:mod:`vla_nav.observations.preprocess`, live and offline alike; what is stated here is what a
live node need not know: how a command and an odometry find their picture.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vla_nav.spaces import AXES


class Translation(BaseModel):
    """Topics as the graph names them (any namespace in front matches), times in seconds."""

    model_config = ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)

    image_topic: str = Field(default='camera/image_raw', min_length=1)
    image_transport: Literal['auto', 'raw', 'compressed'] = 'auto'
    # As the nodes' parameter: the camera's header, or the time of arrival where its clock is off.
    stamp_source: Literal['header', 'arrival'] = 'header'
    command_topic: str = Field(default='cmd_vel', min_length=1)
    odometry_topic: str = Field(default='odom', min_length=1)
    instruction_topic: str = Field(default='instruction', min_length=1)
    action_names: tuple[str, ...] = AXES
    # Whoever drives answers a picture a little after it was taken.
    command_lead: float = Field(default=0.05, ge=0.0, le=1.0)
    # A base stops by itself when its commands are older than that.
    command_tolerance: float = Field(default=0.5, gt=0.0, le=10.0)
    odometry_tolerance: float = Field(default=0.1, gt=0.0, le=10.0)
    # Where pictures are further apart than that, one episode ends and the next begins.
    longest_gap: float = Field(default=1.0, gt=0.0, le=60.0)

    @field_validator('action_names')
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) != len(names) or set(names) - set(AXES):
            raise ValueError(f'must be out of {AXES}, each once')
        return names
