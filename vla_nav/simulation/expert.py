"""The expert: plans with the true map, but acts only on what the robot's camera can see.

Where the goal is out of sight it does what a policy with the same picture could do: go through
the gates, look to the inner side, turn until the goal shows. Its labels can therefore be learned.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_nav.simulation.layout import PERSON_RADIUS_M, ROBOT_RADIUS_M, Scenario, wrap
from vla_nav.simulation.planner import Map, Ways
from vla_nav.simulation.world import CAMERA_X_M, World

SPEED = 0.5
TURN = 1.0
STOP_M = 0.42
_STEP_S = 0.1
_LAG = 0.55  # share of the commanded change that the base takes on within one step
# Before a gate the camera stays within this angle of the way ahead, so that the gate is in view.
_LOOK_AHEAD = 0.9
_PERSON_M = ROBOT_RADIUS_M + PERSON_RADIUS_M + 0.17


class Expert:
    """A driver with privileged state, and the source of labels for imitation.

    ``act`` returns the velocity (vx, vy, wz) for now; ``chunk`` the velocities for the next K
    steps, by driving a kinematic copy of the robot forward.
    """

    def __init__(self, world: World, scenario: Scenario | None = None) -> None:
        """Plan the ways for the world's scenario, or for one that differs in what is asked."""
        assert world.scenario is not None, 'load a scenario first'
        self.world, self.scenario = world, scenario or world.scenario
        self.map = Map(self.scenario)
        goal = self.scenario.goal
        self._goal_ways = self.map.ways_to(self.map.around(goal.x, goal.y, STOP_M - 0.03))
        self._passages: dict[int, tuple[float, tuple[float, float], tuple[float, float]]] = {}
        self._walker = False
        self._exit_ways: list[Ways | None] = [None] * len(self.scenario.gates)

    # -- what can be seen -----------------------------------------------------------------

    def visible(self, x: float, y: float, z: float, pose: tuple[float, float, float],
                target: tuple[str, ...]) -> bool:
        """Tell whether a point is in the picture and not hidden, seen from a pose.

        ``target`` names the bodies that the ray may end on (a prefix is enough).
        """
        u, v = self.project(x, y, z, pose)
        if not (0.025 < u < 0.975 and 0.015 < v < 0.985):
            return False
        eye = self._eye(pose)
        delta = np.array((x, y, z)) - eye
        hit = np.array([-1], np.int32)
        model = self.world.model
        mujoco.mj_ray(model, self.world.data, eye, delta, None, 1, self._robot_body(), hit, None)
        if hit[0] < 0:
            return True
        name = model.body(int(model.geom_bodyid[hit[0]])).name
        return name.startswith(target)

    def project(self, x: float, y: float, z: float,
                pose: tuple[float, float, float]) -> tuple[float, float]:
        """Return where a point shows, (u, v) in [0, 1] of the picture; (-1, -1) if behind."""
        look = self.scenario.look
        delta = np.array((x, y, z)) - self._eye(pose)
        c, s = math.cos(pose[2]), math.sin(pose[2])
        forward, left = c * delta[0] + s * delta[1], -s * delta[0] + c * delta[1]
        cp, sp = math.cos(look.camera_pitch), math.sin(look.camera_pitch)
        depth, up = cp * forward - sp * delta[2], sp * forward + cp * delta[2]
        if depth < 0.05:
            return -1.0, -1.0
        tangent = math.tan(math.radians(look.camera_fovy_deg) / 2)
        aspect = self.world.width / self.world.height
        return (0.5 - left / (2 * tangent * aspect * depth), 0.5 - up / (2 * tangent * depth))

    def _eye(self, pose: tuple[float, float, float]) -> NDArray[np.float64]:
        return np.array((pose[0] + CAMERA_X_M * math.cos(pose[2]),
                         pose[1] + CAMERA_X_M * math.sin(pose[2]),
                         self.scenario.look.camera_height))

    def _robot_body(self) -> int:
        return int(self.world.model.body('robot').id)

    def goal_visible(self, pose: tuple[float, float, float] | None = None) -> bool:
        """Tell whether the camera sees a part of the goal."""
        goal, pose = self.scenario.goal, pose or self.world.pose
        name = f'object{self.scenario.goal_index}_'
        return any(self.visible(goal.x, goal.y, z, pose, (name,)) for z in (0.2, 0.1))

    def stage(self, pose: tuple[float, float, float]) -> int:
        """Return how many gates lie behind the robot."""
        gates = self.scenario.gates
        return sum(1 for g in gates if pose[0] > g.exit_x)

    def _gate_visible(self, index: int, pose: tuple[float, float, float]) -> bool:
        """Tell whether enough of the gate shows to know where to go."""
        gate = self.scenario.gates[index]
        if abs(wrap(pose[2])) < _LOOK_AHEAD:
            return True
        near_x = min(gate.x, 2 * gate.x + 0.2 - gate.exit_x)
        angles = [wrap(math.atan2(y - pose[1], near_x - pose[0]) - pose[2])
                  for y in (gate.y - gate.half_y, gate.y, gate.y + gate.half_y)]
        return pose[0] < near_x and min(map(abs, angles)) < 0.7

    # -- what to do -----------------------------------------------------------------------

    def room(self, pose: tuple[float, float, float] | None = None) -> float:
        """Return the metres between the robot's edge and the nearest thing at rest."""
        x, y, _ = pose or self.world.pose
        return self.map.clear_at(x, y) - ROBOT_RADIUS_M

    def person_room(self) -> float:
        """Return the metres between the robot's edge and the person; infinite without one."""
        person, (x, y, _) = self.world.person_state, self.world.pose
        if person is None:
            return math.inf
        return math.hypot(person[0] - x, person[1] - y) - ROBOT_RADIUS_M - PERSON_RADIUS_M

    def act(self) -> NDArray[np.float64]:
        """Return the velocity (vx, vy, wz) in the base frame for the world as it is now."""
        return self._decide(self.world.pose, self.world.person_state)

    def chunk(self, steps: int) -> NDArray[np.float32]:
        """Return the velocities float32 [steps, 3] of the next steps, the first for now."""
        x, y, yaw = self.world.pose
        v = np.array(self.world.velocity)
        person = self.world.person_state
        out = np.zeros((steps, 3), np.float32)
        for k in range(steps):
            command = self._decide((x, y, yaw), person)
            out[k] = command
            v += _LAG * (command - v)
            c, s = math.cos(yaw), math.sin(yaw)
            x += _STEP_S * (c * v[0] - s * v[1])
            y += _STEP_S * (s * v[0] + c * v[1])
            yaw += _STEP_S * v[2]
            if person is not None:
                person = (person[0], person[1] + _STEP_S * person[2], person[2])
        return out

    def _decide(self, pose: tuple[float, float, float],
                person: tuple[float, float, float] | None) -> NDArray[np.float64]:
        x, y, yaw = pose
        goal, stage = self.scenario.goal, self.stage(pose)
        if stage < len(self.scenario.gates) and not self._gate_visible(stage, pose):
            return np.array((0.0, 0.0, TURN * 0.8))  # search: turn left until the gate shows
        inner = -1.0
        if stage:
            inner = -1.0 if self.scenario.gates[stage - 1].side == 'left' else 1.0
        if stage == len(self.scenario.gates):
            distance = math.hypot(goal.x - x, goal.y - y)
            bearing = wrap(math.atan2(goal.y - y, goal.x - x) - yaw)
            if not self.goal_visible(pose) and not (distance < 0.6 and abs(bearing) < 0.6):
                # Search towards the inner side, where the room opens.
                return np.array((0.0, 0.0, inner * TURN * 0.8))
            if distance < STOP_M + 0.02:
                turn = np.clip(1.5 * bearing, -TURN, TURN) if abs(bearing) > 0.25 else 0.0
                return np.array((0.0, 0.0, turn))
            ways, left = self._goal_ways, distance - STOP_M + 0.02
        else:
            ways, left = self._ways_through(stage, pose), 10.0
        return self._follow(ways, pose, left, person)

    def _ways_through(self, stage: int, pose: tuple[float, float, float]) -> Ways:
        """Return the ways to beyond the gate; to the goal where it can be seen."""
        if stage == len(self.scenario.gates) - 1 and self.goal_visible(pose):
            return self._goal_ways
        return self._exit(stage)

    def _exit(self, index: int) -> Ways:
        """Return the ways to just beyond a gate, on its named side."""
        ways = self._exit_ways[index]
        if ways is None:
            gate, where = self.scenario.gates[index], self.map
            beyond = np.abs(where.xs - (gate.exit_x + 0.15)) < 0.1
            beside = (where.ys > gate.y) if gate.side == 'left' else (where.ys < gate.y)
            near = np.abs(where.ys - gate.y) < gate.half_y + 0.6
            ways = self.map.ways_to(beyond[:, None] & (beside & near)[None])
            self._exit_ways[index] = ways
        return ways

    def passage(self, pose: tuple[float, float, float]) -> tuple[float, float] | None:
        """Return where the next gate is to be entered, or left once inside; None past all."""
        index = self.stage(pose)
        if index == len(self.scenario.gates):
            return None
        if index not in self._passages:
            gate = self.scenario.gates[index]
            front = 2 * gate.x + 0.2 - gate.exit_x
            out = 1.0 if gate.side == 'left' else -1.0
            way = self._exit(index).trace(front - 0.5, gate.y + out * (gate.half_y + 0.25), 9.0)
            first = [next((p for p in way if p[0] >= x), way[-1]) for x in (front, gate.exit_x)]
            self._passages[index] = (front, first[0], first[1])
        front, entry, leave = self._passages[index]
        return entry if pose[0] < front else leave

    def _follow(self, ways: Ways, pose: tuple[float, float, float], left: float,
                person: tuple[float, float, float] | None) -> NDArray[np.float64]:
        x, y, yaw = pose
        near, far = ways.ahead(x, y, 0.40), ways.ahead(x, y, 0.9)
        heading = math.atan2(near[1] - y, near[0] - x)
        face = math.atan2(far[1] - y, far[0] - x)
        goal = self.scenario.goal
        if left < 0.6:
            face = math.atan2(goal.y - y, goal.x - x)
        elif self.stage(pose) < len(self.scenario.gates):
            face = self._ahead(face, pose)
        error = wrap(face - yaw)
        room = self.room(pose)
        speed = SPEED * (0.6 + 0.4 * min(max(room, 0.0) / 0.2, 1.0))
        speed = min(speed, 0.08 + 1.1 * left) * max(0.15, math.cos(min(abs(error), 1.5)))
        way = wrap(heading - yaw)
        velocity = np.array((speed * math.cos(way), speed * math.sin(way),
                             np.clip(2.2 * error, -TURN, TURN)))
        if person is not None and self._person_seen(person, pose):
            velocity = self._give_way(velocity, pose, person)
        return velocity

    def _ahead(self, face: float, pose: tuple[float, float, float]) -> float:
        """Keep the camera on what comes: the gate before it, the way out within it."""
        gate = self.scenario.gates[self.stage(pose)]
        within = pose[0] > 2 * gate.x - gate.exit_x - 0.1
        limit = 0.25 if within else _LOOK_AHEAD - 0.25
        return float(np.clip(face, -limit, limit))

    # -- people ---------------------------------------------------------------------------

    def _person_seen(self, person: tuple[float, float, float],
                     pose: tuple[float, float, float]) -> bool:
        """Tell whether a walking person is in the picture's width, or was in it before."""
        angle = wrap(math.atan2(person[1] - pose[1], person[0] - pose[0]) - pose[2])
        self._walker |= abs(angle) < 0.9
        return self._walker and person[2] != 0.0

    def _give_way(self, wanted: NDArray[np.float64], pose: tuple[float, float, float],
                  person: tuple[float, float, float]) -> NDArray[np.float64]:
        """Go on if that stays clear of the person; else wait; else back away."""
        walk = self.scenario.person
        assert walk is not None
        times = np.arange(0.0, 4.0, 0.1)
        py = np.clip(person[1] + person[2] * times, min(walk.start_y, walk.end_y),
                     max(walk.start_y, walk.end_y))
        way = np.array([pose[:2], *self._goal_ways.trace(pose[0], pose[1], 1.9)[1:]])
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
        speed = max(0.25, float(np.hypot(wanted[0], wanted[1])))
        go_x, go_y = (np.interp(speed * times, along, way[:, i]) for i in (0, 1))
        back = -0.4 * np.minimum(times, 1.0)
        best, widest = wanted, -1.0
        for x, y, command in (
                (go_x, go_y, wanted),
                (pose[0], pose[1], np.array((0.0, 0.0, 0.0))),
                (pose[0] + back * math.cos(pose[2]), pose[1] + back * math.sin(pose[2]),
                 np.array((-0.4, 0.0, 0.0)))):
            gap = float(np.hypot(x - person[0], y - py).min())
            if gap > _PERSON_M:
                return command
            if gap > widest + 0.02:
                best, widest = command, gap
        return best
