"""What a suite does to a robot: bad pictures, late ones, wheels that slip, a push."""

from __future__ import annotations

import zlib
from collections import deque
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vla_nav.contracts import Frame
from vla_nav.control.limits import Velocity
from vla_nav.evaluation.rollout import START_NS, STEP_NS, Border
from vla_nav.simulation.disturb import move_camera, push
from vla_nav.simulation.world import World

# A wheel keeps slipping for this long, and this far apart are the wheels of the two sides.
_SLIP_NS = 500_000_000
_TRACK_M = 0.4
_PUSH_STEPS = 3
# When the push comes: the robot is under way, and mostly not yet beside the box.
_PUSH_FROM_S, _PUSH_TO_S = 0.5, 2.0


class CameraShift(BaseModel):
    """How far the camera has moved on its mount; each scene draws the signs."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    up_m: float = Field(default=0.0, ge=0.0, le=0.5, description='Metres up or down.')
    roll_deg: float = Field(default=0.0, ge=0.0, le=45.0, description='About the way ahead.')
    pitch_deg: float = Field(default=0.0, ge=0.0, le=45.0, description='Up or down.')
    yaw_deg: float = Field(default=0.0, ge=0.0, le=45.0, description='To a side.')


class Disturbances(BaseModel):
    """What is done to the robot in each episode; nothing by default.

    ``key`` and an episode's seed decide every draw, ``key`` being what a suite calls the row.
    """

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    key: str = ''
    noise: float = Field(
        default=0.0, ge=0.0, le=128.0,
        description='Standard deviation of the noise of each pixel and colour, grey levels of '
                    '255.')
    blur: float = Field(
        default=0.0, ge=0.0, le=32.0,
        description="Standard deviation of a Gaussian blur, pixels of the simulator's camera.")
    exposure: float = Field(
        default=1.0, gt=0.0, le=8.0,
        description='What grey levels are multiplied by; brighter than white is white.')
    late_ms: int = Field(
        default=0, ge=0, le=2000, multiple_of=STEP_NS // 1_000_000,
        description='How late pictures come in, with the stamp of their exposure.')
    dropped: float = Field(
        default=0.0, ge=0.0, lt=1.0, description='Share of the pictures that never come in.')
    slip: float = Field(
        default=0.0, ge=0.0, le=0.5,
        description="Mean share of its way that a side's wheels lose; each side slips by itself, "
                    'half a second at a time.')
    push_n: float = Field(
        default=0.0, ge=0.0, le=1000.0,
        description='Newtons of a push from a side for three tenths of a second, early on.')
    camera: CameraShift = CameraShift()

    def changed(self) -> dict[str, Any]:
        """Return what is not as usual."""
        return self.model_dump(exclude_defaults=True, exclude={'key'})

    def border(self, seed: int) -> Border:
        """Return what lies between robot and world in the episode of a seed."""
        return Disturbed(self, seed) if self.changed() else Border()


class Disturbed(Border):
    """The disturbances of one episode; the same arguments disturb the same way."""

    def __init__(self, disturbances: Disturbances, seed: int) -> None:
        """Draw what holds for the whole episode."""
        self._settings, self._seed = disturbances, seed
        self.remembers = disturbances.late_ms > 0
        self._coming = deque[Frame]()
        rng = self._rng('push')
        start = round(rng.uniform(_PUSH_FROM_S, _PUSH_TO_S) * 1e9 / STEP_NS)
        self._pushed = range(START_NS + start * STEP_NS,
                             START_NS + (start + _PUSH_STEPS) * STEP_NS, STEP_NS)
        self._push_n = disturbances.push_n * float(rng.choice([-1, 1]))

    def enter(self, world: World) -> None:
        """Move the camera on its mount."""
        shift = self._settings.camera
        by = self._rng('camera').choice([-1.0, 1.0], 4) * (
            shift.up_m, *np.radians([shift.roll_deg, shift.pitch_deg, shift.yaw_deg]))
        if by.any():
            move_camera(world, *by.tolist())

    def see(self, image: NDArray[np.uint8], now_ns: int) -> Frame | None:
        """Spoil a picture, lose it or hold it back."""
        settings = self._settings
        if not self._rng('dropped', now_ns).random() < settings.dropped:
            self._coming.append(Frame(self._spoilt(image, now_ns), now_ns))
        if self._coming and self._coming[0].stamp_ns + settings.late_ms * 1_000_000 <= now_ns:
            return self._coming.popleft()
        return None

    def move(self, world: World, velocity: Velocity, now_ns: int) -> Velocity:
        """Let wheels slip, and push."""
        if self._push_n:
            push(world, 0.0, self._push_n if now_ns in self._pushed else 0.0)
        if not self._settings.slip:
            return velocity
        left, right = self._rng('slip', now_ns // _SLIP_NS).random(2) * 2 * self._settings.slip
        kept = 1 - (left + right) / 2
        # As of a base with two driven sides: the one that slips falls behind.
        turned = velocity.linear_x * (left - right) / _TRACK_M
        return Velocity(velocity.linear_x * kept, velocity.linear_y * kept,
                        velocity.angular_z * kept + turned)

    def _spoilt(self, image: NDArray[np.uint8], now_ns: int) -> NDArray[np.uint8]:
        settings = self._settings
        # As in a camera: optics first, then light, then the noise of the sensor.
        if settings.blur:
            image = cv2.GaussianBlur(image, (0, 0), settings.blur).astype(np.uint8, copy=False)
        if settings.exposure == 1.0 and not settings.noise:
            return image
        light = image.astype(np.float32) * settings.exposure
        if settings.noise:
            rng = self._rng('noise', now_ns)
            light += settings.noise * rng.standard_normal(image.shape, np.float32)
        return np.clip(np.rint(light), 0, 255).astype(np.uint8)

    def _rng(self, what: str, at: int = 0) -> np.random.Generator:
        """Return a generator of its own for each use, so that none depends on another's draws."""
        name = zlib.crc32(f'{self._settings.key} {what}'.encode())
        return np.random.default_rng([name, self._seed, at])
