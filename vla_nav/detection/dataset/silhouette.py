"""How large a thing would be in the picture if nothing stood before it.

All geoms are convex, so that the silhouette of each is the convex hull of its projected surface
points. That costs a tenth of rendering each thing alone, and sees beyond the picture's edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_nav.simulation.world import World

_NEAR_M = 0.05
# As many as MuJoCo draws round bodies with.
_SLICES, _STACKS = 28, 16
# Small things are filled on a finer grid: a polygon's filled edge is up to half a cell too wide.
_FINEST, _MOST_CELLS = 8.0, 512.0
_FIXED_POINT = 4

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Silhouette:
    """A thing's area in square pixels: within the picture, and the share of it that is within.

    ``inside`` is 0 where it is out of sight; overlaps of its geoms count once.
    """

    inside: float
    share_inside: float


class View:
    """The robot's camera in the scene that is loaded, as a pinhole."""

    def __init__(self, world: World) -> None:
        """Read the camera's pose and its focal length in pixels of ``world.render``."""
        camera = world.model.camera('camera').id
        self._model, self._data = world.model, world.data
        self._position = world.data.cam_xpos[camera]
        self._axes = world.data.cam_xmat[camera].reshape(3, 3)
        self._width, self._height = world.width, world.height
        fovy = math.radians(float(world.model.cam_fovy[camera]))
        self._focal = world.height / 2 / math.tan(fovy / 2)
        self._frame = np.array([(0, 0), (world.width, 0), (world.width, world.height),
                                (0, world.height)], np.float32)

    def silhouette(self, geoms: Sequence[int]) -> Silhouette:
        """Return how much of the picture the geoms would cover alone."""
        outlines = [self._outline(geom) for geom in geoms]
        drawn = [hull for hull in outlines if len(hull) >= 3]
        if not drawn:
            return Silhouette(0.0, 0.0)
        whole = cv2.convexHull(np.concatenate(drawn))
        full = cv2.contourArea(whole)
        within, _ = cv2.intersectConvexConvex(whole, self._frame)
        return Silhouette(self._filled(drawn), min(1.0, within / full) if full else 0.0)

    def _outline(self, geom: int) -> NDArray[np.float32]:
        """Return the convex hull of a geom's projection [N, 2] in pixels; N is 0 behind."""
        rotation = self._data.geom_xmat[geom].reshape(3, 3)
        points = _surface(self._model, geom) @ rotation.T + self._data.geom_xpos[geom]
        seen = _cut((points - self._position) @ self._axes)
        if len(seen) < 3:
            return np.zeros((0, 2), np.float32)
        # The camera looks along -z, with +y up.
        pixels = self._focal * seen[:, :2] / -seen[:, 2:] * (1, -1) + (
            self._width / 2, self._height / 2)
        return np.asarray(cv2.convexHull(pixels.astype(np.float32)), np.float32).reshape(-1, 2)

    def _filled(self, hulls: Sequence[NDArray[np.float32]]) -> float:
        """Return the area within the picture of the union of convex outlines."""
        clipped = []
        for hull in hulls:
            area, part = cv2.intersectConvexConvex(hull, self._frame)
            if area > 0 and part is not None:
                clipped.append(part.reshape(-1, 2))
        if len(clipped) == 1:
            return float(cv2.contourArea(clipped[0]))
        if not clipped:
            return 0.0
        corners = np.concatenate(clipped)
        low, size = corners.min(axis=0), np.ptp(corners, axis=0)
        scale = min(_FINEST, _MOST_CELLS / max(1.0, float(size.max())))
        cells = np.ceil(size * scale).astype(int) + 1
        mask = np.zeros((cells[1], cells[0]), np.uint8)
        for part in clipped:
            # OpenCV's whole numbers are cells' centres.
            corner = ((part - low) * scale - 0.5) * (1 << _FIXED_POINT)
            cv2.fillConvexPoly(mask, corner.round().astype(np.int32), 1, shift=_FIXED_POINT)
        return float(mask.sum()) / scale ** 2


def _cut(points: Points) -> Points:
    """Return what spans the part of the convex hull of ``points`` before the near plane."""
    before = points[:, 2] < -_NEAR_M
    if before.all():
        return points
    near, far = points[before], points[~before]
    if not len(near):
        return near
    # Where the lines from each point before the plane to each behind it cross it.
    along = (near[:, None, 2] + _NEAR_M) / (near[:, None, 2] - far[None, :, 2])
    crossings = near[:, None] + along[..., None] * (far[None] - near[:, None])
    return np.concatenate([near, crossings.reshape(-1, 3)])


def _surface(model: mujoco.MjModel, geom: int) -> Points:
    """Return points [N, 3] in the geom's frame whose convex hull is the geom."""
    kind, size = model.geom_type[geom], model.geom_size[geom]
    kinds = mujoco.mjtGeom
    if kind == kinds.mjGEOM_BOX:
        return _CORNERS * size
    if kind == kinds.mjGEOM_CYLINDER:
        return _RIMS * (size[0], size[0], size[1])
    if kind == kinds.mjGEOM_SPHERE:
        return _SPHERE * size[0]
    if kind == kinds.mjGEOM_ELLIPSOID:
        return _SPHERE * size
    if kind == kinds.mjGEOM_CAPSULE:
        ball, shift = _SPHERE * size[0], np.array((0, 0, size[1]))
        return np.concatenate([ball + shift, ball - shift])
    if kind == kinds.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        points: Points = model.mesh_vert[first:first + model.mesh_vertnum[mesh]]
        return points
    raise ValueError(f'geom {geom} is of a type without a known surface: {kind}')


def _sphere() -> Points:
    turn = np.linspace(0, 2 * np.pi, _SLICES, endpoint=False)
    rise = np.linspace(-np.pi / 2, np.pi / 2, _STACKS + 1)
    a, b = np.meshgrid(turn, rise)
    return np.stack([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)], -1).reshape(-1, 3)


def _rims() -> Points:
    turn = np.linspace(0, 2 * np.pi, _SLICES, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.ones(_SLICES)], -1)
    return np.concatenate([ring, ring * (1, 1, -1)])


_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_RIMS, _SPHERE = _rims(), _sphere()
