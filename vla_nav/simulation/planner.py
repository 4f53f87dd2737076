"""Shortest safe ways on a grid: the privileged map behind the expert and behind SPL."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from vla_nav.simulation.layout import ROBOT_RADIUS_M, Scenario

CELL_M = 0.05
# 16 directions: the bends of an 8-connected path would show in the expert's commands.
_STEPS = [(1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2)]
_LANDMARK_RADIUS_M = 0.2
_OBJECT_RADIUS_M = 0.13


class Map:
    """Clearance and travel cost on a grid over one scenario's room; the person is not in it."""

    def __init__(self, scenario: Scenario) -> None:
        """Rasterise the scenario: ``clearance`` [X, Y] metres from cell centres to obstacles."""
        self.scenario = scenario
        x0, x1, y0, y1 = scenario.room
        self.xs = np.arange(x0 + CELL_M / 2, x1, CELL_M)
        self.ys = np.arange(y0 + CELL_M / 2, y1, CELL_M)
        self.centre_x, self.centre_y = self.xs.tolist(), self.ys.tolist()
        x, y = np.meshgrid(self.xs, self.ys, indexing='ij')
        clear = np.minimum.reduce([x - x0, x1 - x, y - y0, y1 - y])
        for b in scenario.blocks:
            c, s = np.cos(b.yaw), np.sin(b.yaw)
            dx, dy = x - b.x, y - b.y
            ox, oy = np.abs(c * dx + s * dy) - b.half_x, np.abs(-s * dx + c * dy) - b.half_y
            outside = np.hypot(np.maximum(ox, 0), np.maximum(oy, 0))
            clear = np.minimum(clear, outside + np.minimum(np.maximum(ox, oy), 0))
        circles = [(o.x, o.y, _OBJECT_RADIUS_M) for i, o in enumerate(scenario.objects)]
        if scenario.landmark:
            circles.append((*scenario.landmark, _LANDMARK_RADIUS_M))
        for cx, cy, radius in circles:
            clear = np.minimum(clear, np.hypot(x - cx, y - cy) - radius)
        self.clearance = clear
        self._rows, self._x0, self._y0 = clear.tolist(), x0, y0
        room = clear - ROBOT_RADIUS_M
        # Middle ways: a camera and a learned driver need the room that there is.
        cost = 1.0 + 8.0 * np.clip(1 - room / 0.3, 0, 1) ** 2
        cost = np.where(room < 0.015, 30.0, cost)
        cost = np.where(room < -0.08, 300.0, cost)
        # The wrong side of each gate is closed by a line from the landmark to the wall.
        for gate in scenario.gates:
            beside = (y < gate.y) if gate.side == 'left' else (y > gate.y)
            cost = np.where((np.abs(x - gate.x) < 2.5 * CELL_M) & beside, 3000.0, cost)
        self._graph = _grid_graph(cost)

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Return the indices of the cell at a world position, clipped into the room."""
        i, j = int((x - self._x0) / CELL_M), int((y - self._y0) / CELL_M)
        return min(max(i, 0), len(self.xs) - 1), min(max(j, 0), len(self.ys) - 1)

    def clear_at(self, x: float, y: float) -> float:
        """Return the distance in metres from a position to the nearest obstacle."""
        i, j = self.cell(x, y)
        return self._rows[i][j]

    def ways_to(self, targets: NDArray[np.bool_]) -> Ways:
        """Return the ways from everywhere to the nearest of the target cells [X, Y]."""
        sources = np.flatnonzero(targets)
        cost, before, _ = dijkstra(self._graph, directed=False, indices=sources, min_only=True,
                                   return_predecessors=True)
        return Ways(self, cost, before)

    def around(self, x: float, y: float, radius: float) -> NDArray[np.bool_]:
        """Return the mask [X, Y] of cells within ``radius`` metres, at least the nearest one."""
        mask = (self.xs[:, None] - x) ** 2 + (self.ys[None] - y) ** 2 <= radius ** 2
        mask[self.cell(x, y)] = True
        return mask

    def free(self, ax: float, ay: float, bx: float, by: float, clearance: float) -> bool:
        """Tell whether the straight line keeps ``clearance`` metres from every obstacle."""
        # Plain lists: for a dozen look-ups they are ten times faster than an array expression.
        count = max(2, int(math.hypot(bx - ax, by - ay) / CELL_M) + 1)
        rows, columns = len(self._rows) - 1, len(self._rows[0]) - 1
        ai, aj = (ax - self._x0) / CELL_M, (ay - self._y0) / CELL_M
        di, dj = (bx - ax) / CELL_M / count, (by - ay) / CELL_M / count
        for k in range(count + 1):
            i, j = int(ai + k * di), int(aj + k * dj)
            if self._rows[min(max(i, 0), rows)][min(max(j, 0), columns)] < clearance:
                return False
        return True


class Ways:
    """The tree of cheapest ways to a set of targets."""

    def __init__(self, where: Map, cost: NDArray[np.float64], before: NDArray[np.int32]) -> None:
        """Keep the map, the cost [cells] and each cell's next cell towards the target."""
        self.map, self.cost, self._next = where, cost, before.tolist()

    def trace(self, x: float, y: float, metres: float) -> list[tuple[float, float]]:
        """Return cell centres along the way from (x, y), up to about ``metres`` long."""
        here = self.map
        i, j = here.cell(x, y)
        index, columns = i * len(here.ys) + j, len(here.ys)
        points = [(here.centre_x[i], here.centre_y[j])]
        length = 0.0
        while length < metres and (after := self._next[index]) >= 0:
            index = after
            i, j = divmod(index, columns)
            point = (here.centre_x[i], here.centre_y[j])
            length += math.hypot(point[0] - points[-1][0], point[1] - points[-1][1])
            points.append(point)
        return points

    def ahead(self, x: float, y: float, metres: float) -> tuple[float, float]:
        """Return the farthest point within ``metres`` whose straight line cuts no corner.

        The line may come 1 cm nearer to an obstacle than the way itself does, no more.
        """
        points = self.trace(x, y, metres)
        rooms = [min(self.map.clear_at(*point), ROBOT_RADIUS_M + 0.12) for point in points]
        for end in range(len(points) - 1, 2, -2):
            if self.map.free(x, y, *points[end], min(rooms[:end + 1]) - 0.01):
                return points[end]
        return points[min(2, len(points) - 1)]

    def length(self, x: float, y: float) -> float:
        """Return the length in metres of the way from (x, y)."""
        points = np.array(self.trace(x, y, np.inf))
        return float(np.hypot(*np.diff(points, axis=0).T).sum())


def _grid_graph(cost: NDArray[np.float64]) -> csr_matrix:
    """Return the undirected graph whose edge weights are metres times the mean cell cost."""
    index = np.arange(cost.size).reshape(cost.shape)
    rows, columns, weights = [], [], []
    for di, dj in _STEPS:
        a = np.s_[:cost.shape[0] - di, max(0, -dj):cost.shape[1] - max(0, dj)]
        b = np.s_[di:, max(0, dj):cost.shape[1] + min(0, dj)]
        rows.append(index[a].ravel())
        columns.append(index[b].ravel())
        weights.append((CELL_M * np.hypot(di, dj) * (cost[a] + cost[b]) / 2).ravel())
    return csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
                      shape=(cost.size, cost.size))
