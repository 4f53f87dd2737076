"""What the parts of vla_nav hand to each other: frames, action chunks, policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_nav.spaces import ActionSpace


class NotUnderstood(ValueError):
    """The instruction is outside of what the policy knows; the robot must stand still."""


class PolicyError(RuntimeError):
    """The policy failed to load, to run or to give finite numbers; the robot must stop."""


@dataclass(frozen=True)
class Frame:
    """One camera picture: ``image`` uint8 [H, W, 3] RGB, and the stamp of its exposure.

    ``catch_up``: whether there is time to run a network again for the pictures that were missed
    before this one.
    """

    image: NDArray[np.uint8]
    stamp_ns: int
    catch_up: bool = True


@dataclass(frozen=True)
class ActionChunk:
    """Velocities for the next K steps.

    ``velocities`` float32 [K, A] in SI units along ``spec.action_space.names``; row k is to be
    driven from ``stamp_ns + k * step_ns`` on. ``stamp_ns`` is the stamp of the newest frame
    behind the chunk. ``arrived`` is the policy's belief in [0, 1] that the task is done.
    ``uncertainty`` is at least 0, as a share of the limits; None where a policy cannot tell.
    """

    velocities: NDArray[np.float32]
    step_ns: int
    stamp_ns: int
    arrived: float = 0.0
    uncertainty: float | None = None


@dataclass(frozen=True)
class PolicySpec:
    """What a caller must know of a policy before it runs one.

    ``arrived_threshold`` is the belief in [0, 1] from which on the task counts as done.
    ``runtime`` is what runs the network and ``provider`` what it really runs on; ``fallback`` says
    why not on what was asked for.
    """

    name: str
    action_space: ActionSpace
    image_height: int
    image_width: int
    step_ns: int
    chunk: int
    max_observation_age_s: float
    arrived_threshold: float = 0.5
    provider: str = 'none'
    runtime: str = 'none'
    fallback: str = ''


class Policy(Protocol):
    """A policy: frames and one instruction in, chunks of velocities out.

    ``act`` encodes the given frame only; whatever else a policy remembers is in its state,
    which ``reset`` clears and which moves on once per ``spec.step_ns`` of image time, or once a
    picture where pictures are missed and there is no time to catch up.
    """

    @property
    def spec(self) -> PolicySpec:
        """Return the static description."""

    def reset(self) -> None:
        """Forget the past: a new episode begins."""

    def set_instruction(self, text: str) -> str:
        """Take a new instruction and return how it was read; raise :class:`NotUnderstood`."""

    def act(self, frame: Frame) -> ActionChunk:
        """Return the chunk for this frame; raise :class:`PolicyError` rather than invent one."""
