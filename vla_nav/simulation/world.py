"""The world: one MuJoCo model, a scene set up in it, physics, and pictures."""

from __future__ import annotations

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_nav.simulation.assets import BLOCK_SLOTS, OBJECT_SLOTS, SHAPES, model_xml
from vla_nav.simulation.layout import Block, Look, Scenario

CAMERA_WIDTH, CAMERA_HEIGHT = 256, 192
CAMERA_X_M = -0.10
_AWAY = (0.0, 0.0, -9.0)
_WALL_HEIGHT = 2.6


class World:
    """A planar omnidirectional base of 50 kg in a furnished room.

    Poses are in the world frame (the odometry frame of the simulated robot), velocities in the
    base frame, SI units. The same scenario and the same calls give the same numbers.
    """

    def __init__(self, width: int = CAMERA_WIDTH, height: int = CAMERA_HEIGHT,
                 render: bool = True) -> None:
        """Compile the model; ``render=False`` needs no GL."""
        self.width, self.height = width, height
        xml, assets = model_xml(width, height)
        self.model = mujoco.MjModel.from_xml_string(xml, assets)
        self.data = mujoco.MjData(self.model)
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._render = render
        self._ids = {self.model.body(i).name: i for i in range(self.model.nbody)}
        self._tinted = {name: [g for g in range(self.model.ngeom)
                               if self.model.geom_bodyid[g] == body
                               and self.model.geom_rgba[g][0] > 0.5]
                        for name, body in self._ids.items() if name.startswith('object')}
        model = self.model
        self._unscaled = [(a, a.copy()) for a in (model.geom_size, model.geom_pos,
                                                  model.geom_rbound, model.geom_aabb)]
        self._robot_geom = self.model.geom('robot').id
        self._person_geoms = {self.model.geom(n).id for n in ('person', 'person_head')}
        self._camera = self.model.camera('camera').id
        self.scenario: Scenario | None = None
        self.command = np.zeros(3)

    # -- scene ---------------------------------------------------------------------------

    def load(self, scenario: Scenario) -> None:
        """Set up a scene and put the robot at its start, at rest, time zero."""
        model, data = self.model, self.data
        self.scenario = scenario
        mujoco.mj_resetData(model, data)
        for body in self._ids.values():
            if model.body_mocapid[body] >= 0:
                data.mocap_pos[model.body_mocapid[body]] = _AWAY
                data.mocap_quat[model.body_mocapid[body]] = (1, 0, 0, 0)
                self._show(body, False)
        for i, block in enumerate(scenario.blocks):
            if i >= BLOCK_SLOTS:
                raise ValueError(f'a scene holds at most {BLOCK_SLOTS} blocks')
            self._place_block(f'block{i}', block)
        self._place_walls(scenario)
        if len(scenario.objects) > OBJECT_SLOTS:
            raise ValueError(f'a scene holds at most {OBJECT_SLOTS} objects')
        for i, thing in enumerate(scenario.objects):
            assert thing.shape in SHAPES
            name = f'object{i}_{thing.shape}'
            self._move(name, thing.x, thing.y)
            self._scale(name, thing.size)
            for geom in self._tinted[name]:
                model.geom_rgba[geom] = (*thing.rgb, 1.0)
        if scenario.landmark:
            self._move('landmark', *scenario.landmark)
        if scenario.person:
            self._move('person', scenario.person.x, scenario.person.start_y)
        self._apply_look(scenario.look)
        data.qpos[:] = scenario.start
        self.command = np.zeros(3)
        self._person_started_s: float | None = None
        self.collided = self.person_collided = False
        mujoco.mj_forward(model, data)

    def _show(self, body: int, visible: bool) -> None:
        start, count = self.model.body_geomadr[body], self.model.body_geomnum[body]
        self.model.geom_rgba[start:start + count, 3] = float(visible)

    def _move(self, name: str, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> None:
        body = self._ids[name]
        mocap = self.model.body_mocapid[body]
        self.data.mocap_pos[mocap] = (x, y, z)
        self.data.mocap_quat[mocap] = (math.cos(yaw / 2), 0, 0, math.sin(yaw / 2))
        self._show(body, True)

    def _scale(self, body: str, factor: float) -> None:
        """Scale the geoms of a body from their size in the model; meshes keep theirs."""
        for geom in range(self.model.ngeom):
            if self.model.geom_bodyid[geom] != self._ids[body]:
                continue
            if self.model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_MESH:
                for values, unscaled in self._unscaled:
                    values[geom] = unscaled[geom] * factor

    def _place_block(self, name: str, block: Block) -> None:
        geom = self.model.geom(name).id
        half = np.array((block.half_x, block.half_y, block.height / 2))
        self._resize(geom, half)
        self.model.geom_matid[geom] = self._material(name, block.texture, block.rgb)
        self._move(name, block.x, block.y, block.height / 2, block.yaw)
        self.model.geom_rgba[geom] = (*block.rgb, 1.0)

    def _place_walls(self, scenario: Scenario) -> None:
        x0, x1, y0, y1 = scenario.room
        thick, look = 0.1, scenario.look
        middle, span = ((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) / 2, (y1 - y0) / 2)
        for i, (x, y, hx, hy) in enumerate((
                (x0 - thick, middle[1], thick, span[1] + 2 * thick),
                (x1 + thick, middle[1], thick, span[1] + 2 * thick),
                (middle[0], y0 - thick, span[0], thick),
                (middle[0], y1 + thick, span[0], thick))):
            geom = self.model.geom(f'wall{i}').id
            self._resize(geom, np.array((hx, hy, _WALL_HEIGHT / 2)))
            self.model.geom_matid[geom] = self._material('wall', look.wall_texture, look.wall_rgb)
            self._move(f'wall{i}', x, y, _WALL_HEIGHT / 2)

    def _resize(self, geom: int, half: NDArray[np.float64]) -> None:
        self.model.geom_size[geom] = half
        # Broad-phase collision and rendering use these derived sizes.
        self.model.geom_rbound[geom] = float(np.linalg.norm(half))
        self.model.geom_aabb[geom, 3:] = half

    def _material(self, surface: str, texture: str, rgb: tuple[float, float, float]) -> int:
        material = self.model.material(f'{surface}_{texture}').id
        self.model.mat_rgba[material] = (*rgb, 1.0)
        return int(material)

    def _apply_look(self, look: Look) -> None:
        model = self.model
        model.geom_matid[model.geom('floor').id] = self._material(
            'floor', look.floor_texture, look.floor_rgb)
        model.vis.headlight.ambient[:] = look.ambient
        model.light_diffuse[0] = look.light
        model.light_pos[0] = (look.light_x, look.light_y, 3.5)
        model.cam_pos[self._camera] = (CAMERA_X_M, 0.0, look.camera_height)
        model.cam_fovy[self._camera] = look.camera_fovy_deg
        # MuJoCo cameras look along -z with +y up: x right = -y of the base, pitched down.
        s, c = math.sin(look.camera_pitch), math.cos(look.camera_pitch)
        axes = np.array([[0.0, s, -c], [-1.0, 0.0, 0.0], [0.0, c, s]])
        mujoco.mju_mat2Quat(model.cam_quat[self._camera], axes.flatten())

    # -- motion --------------------------------------------------------------------------

    def advance(self, velocity: NDArray[np.floating] | tuple[float, ...], seconds: float) -> None:
        """Drive with (vx, vy, wz) in the base frame for a multiple of 10 ms."""
        assert self.scenario is not None, 'load a scenario first'
        self.command = np.asarray(velocity, np.float64)
        model, data = self.model, self.data
        for _ in range(round(seconds / model.opt.timestep)):
            c, s = math.cos(data.qpos[2]), math.sin(data.qpos[2])
            vx, vy, wz = self.command
            data.ctrl[:] = (c * vx - s * vy, s * vx + c * vy, wz)
            self._walk()
            mujoco.mj_step(model, data)
            if self.contact:
                self.collided = True
                touched = set(data.contact.geom[:data.ncon].ravel().tolist())
                self.person_collided |= bool(touched & self._person_geoms)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)

    def _walk(self) -> None:
        person = self.scenario.person if self.scenario else None
        if person is None:
            return
        if self._person_started_s is None:
            if self.data.qpos[0] < person.trigger_x:
                return
            self._person_started_s = self.time_s
        way = person.end_y - person.start_y
        walked = min(person.speed * (self.time_s - self._person_started_s), abs(way))
        self._move('person', person.x, person.start_y + math.copysign(walked, way))

    @property
    def time_s(self) -> float:
        """Return the simulated time since :meth:`load`."""
        return float(self.data.time)

    @property
    def pose(self) -> tuple[float, float, float]:
        """Return (x, y, yaw) of the base in the world frame."""
        x, y, yaw = self.data.qpos
        return float(x), float(y), float(yaw)

    @property
    def velocity(self) -> tuple[float, float, float]:
        """Return (vx, vy, wz) of the base in the base frame."""
        vx, vy, wz = self.data.qvel
        c, s = math.cos(self.data.qpos[2]), math.sin(self.data.qpos[2])
        return float(c * vx + s * vy), float(-s * vx + c * vy), float(wz)

    @property
    def contact(self) -> bool:
        """Tell whether the robot touches anything now."""
        pairs = self.data.contact.geom[:self.data.ncon]
        return bool((pairs == self._robot_geom).any())

    @property
    def person_state(self) -> tuple[float, float, float] | None:
        """Return the person's (x, y, velocity along y), or None where there is none."""
        person = self.scenario.person if self.scenario else None
        if person is None:
            return None
        x, y, _ = self.data.mocap_pos[self.model.body_mocapid[self._ids['person']]]
        moving = self._person_started_s is not None and abs(person.end_y - y) > 1e-6
        return float(x), float(y), math.copysign(person.speed, person.end_y - y) * moving

    # -- pictures ------------------------------------------------------------------------

    def render(self) -> NDArray[np.uint8]:
        """Return the robot's camera picture, uint8 [height, width, 3] RGB."""
        return self._renderer('camera', self.width, self.height).render()

    def segmentation(self) -> NDArray[np.int32]:
        """Return the geom that each pixel of :meth:`render` shows, [height, width]; -1: none."""
        renderer = self._renderer('camera', self.width, self.height)
        renderer.enable_segmentation_rendering()
        shown: NDArray[np.int32] = renderer.render()[..., 0]
        renderer.disable_segmentation_rendering()
        return shown

    def render_top(self, width: int, height: int) -> NDArray[np.uint8]:
        """Return the room from above, +x up, uint8 [height, width, 3] RGB."""
        assert self.scenario is not None, 'load a scenario first'
        x0, x1, y0, y1 = self.scenario.room
        camera = self.model.camera('top').id
        fovy = math.radians(float(self.model.cam_fovy[camera]))
        extent = max(x1 - x0, (y1 - y0) * height / width) / 2 + 0.1
        # Walls are cut away by the near side: the camera is above them.
        self.model.cam_pos[camera] = ((x0 + x1) / 2, (y0 + y1) / 2,
                                      _WALL_HEIGHT + extent / math.tan(fovy / 2))
        mujoco.mj_camlight(self.model, self.data)
        return self._renderer('top', width, height).render()

    def _renderer(self, camera: str, width: int, height: int) -> mujoco.Renderer:
        if not self._render:
            raise RuntimeError('this world was made with render=False')
        renderer = self._renderers.get((width, height))
        if renderer is None:
            renderer = mujoco.Renderer(self.model, height, width)
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION,
                         mujoco.mjtRndFlag.mjRND_SKYBOX):
                renderer.scene.flags[flag] = 0
            self._renderers[width, height] = renderer
        renderer.update_scene(self.data, camera)
        return renderer

    def close(self) -> None:
        """Free the GL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
