"""The pictures of a run's video: camera, view from above, and a line of text."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.monitoring.overlay import overlay
from vla_nav.recording.run_state import RunState, Velocity

WIDTH, HEIGHT = 800, 432
_CAMERA_WIDTH, _PICTURE_HEIGHT = 512, 384
_SIDE_WIDTH = WIDTH - _CAMERA_WIDTH
_WHITE, _GREY, _DARK = (240, 240, 240), (150, 150, 150), (24, 26, 30)
_PATH, _ROBOT, _OBSTACLE = (255, 170, 0), (0, 200, 255), (230, 40, 40)
_ROBOT_RADIUS_M = 0.2
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(state: RunState, instruction: str, robot: str) -> NDArray[np.uint8]:
    """Return uint8 [HEIGHT, WIDTH, 3] RGB of the newest state; ``robot`` names the video."""
    canvas = np.full((HEIGHT, WIDTH, 3), _DARK, np.uint8)
    if state.camera:
        picture = _decode(state.camera)
        if state.boxes:
            picture = overlay(picture, (), state.boxes, '')
        _paste(canvas[:_PICTURE_HEIGHT, :_CAMERA_WIDTH], picture)
    side = canvas[:_PICTURE_HEIGHT, _CAMERA_WIDTH:]
    if state.top and state.scene:
        top = _decode(state.top)
        _draw_path(top, state)
        _paste(side, top)
    else:
        _draw_velocity(side, state.velocity)
    # OpenCV's fonts know ASCII only; for other text the policy's reading tells the same.
    shown = instruction if instruction.isascii() else state.reading
    vx, vy, wz = state.velocity
    _text(canvas, (8, _PICTURE_HEIGHT + 18), shown[:90], _WHITE)
    _text(canvas, (8, _PICTURE_HEIGHT + 38), f'{robot}   {state.task_state}   {state.guard}   '
          f'{vx:+.2f} {vy:+.2f} m/s {wz:+.2f} rad/s', _GREY)
    if state.detector:
        _text(canvas, (_CAMERA_WIDTH + 8, _PICTURE_HEIGHT + 18),
              f'detector {state.detector}'[:40], _GREY)
    return canvas


def _decode(encoded: bytes) -> NDArray[np.uint8]:
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None, 'pictures of the graph itself decode'
    return np.ascontiguousarray(bgr[..., ::-1])


def _paste(area: NDArray[np.uint8], picture: NDArray[np.uint8]) -> None:
    """Fit ``picture`` into ``area``, centred, its aspect kept."""
    scale = min(area.shape[0] / picture.shape[0], area.shape[1] / picture.shape[1])
    height, width = (round(side * scale) for side in picture.shape[:2])
    y, x = (area.shape[0] - height) // 2, (area.shape[1] - width) // 2
    area[y:y + height, x:x + width] = cv2.resize(picture, (width, height))


def _draw_path(top: NDArray[np.uint8], state: RunState) -> None:
    view = state.scene['top_view']
    height, width = top.shape[:2]

    def pixel(x: float, y: float) -> tuple[int, int]:
        return (round(width / 2 - (y - view['y']) / view['metres_per_pixel']),
                round(height / 2 - (x - view['x']) / view['metres_per_pixel']))

    points = np.array([pixel(x, y) for x, y, _ in state.path], np.int32)
    if len(points) > 1:
        cv2.polylines(top, [points.reshape(-1, 1, 2)], False, _PATH, 2, cv2.LINE_AA)
    if state.path:
        x, y, yaw = state.path[-1]
        radius = round(_ROBOT_RADIUS_M / view['metres_per_pixel'])
        nose = pixel(x + 1.6 * _ROBOT_RADIUS_M * math.cos(yaw),
                     y + 1.6 * _ROBOT_RADIUS_M * math.sin(yaw))
        cv2.circle(top, pixel(x, y), radius, _ROBOT, 2, cv2.LINE_AA)
        cv2.line(top, pixel(x, y), nose, _ROBOT, 2, cv2.LINE_AA)
        c, s = math.cos(yaw), math.sin(yaw)
        for ahead, left in state.obstacles:
            at = pixel(x + c * ahead - s * left, y + s * ahead + c * left)
            cv2.circle(top, at, 2, _OBSTACLE, -1, cv2.LINE_AA)


def _draw_velocity(area: NDArray[np.uint8], velocity: Velocity) -> None:
    """Draw the command where there is no view from above: an arrow, and the turn as an arc."""
    vx, vy, wz = velocity
    centre = (area.shape[1] // 2, area.shape[0] // 2)
    radius = area.shape[1] // 2 - 24
    panel = np.full(area.shape, _DARK, np.uint8)
    cv2.circle(panel, centre, radius, _GREY, 1, cv2.LINE_AA)
    tip = (round(centre[0] - vy * 1.5 * radius), round(centre[1] - vx * 1.5 * radius))
    cv2.arrowedLine(panel, centre, tip, _ROBOT, 3, cv2.LINE_AA, tipLength=0.2)
    # OpenCV's angles run clockwise from the right; a positive turn is counter-clockwise.
    cv2.ellipse(panel, centre, (radius, radius), 0, -90, -90 - math.degrees(wz), _PATH, 4,
                cv2.LINE_AA)
    _text(panel, (24, 28), 'commanded velocity', _GREY)
    area[:] = panel


def _text(canvas: NDArray[np.uint8], at: tuple[int, int], text: str,
          colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, at, _FONT, 0.45, colour, 1, cv2.LINE_AA)
