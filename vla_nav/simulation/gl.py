"""Find an OpenGL back end for MuJoCo on a machine without a screen.

``python -m vla_nav.simulation.gl --install`` also installs the Debian packages where none works.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

BACK_ENDS = ('egl', 'osmesa')
DEBIAN_PACKAGES = ('libegl1', 'libegl-mesa0', 'libgl1-mesa-dri', 'libgl1', 'libosmesa6')
# Importing mujoco is not enough: libEGL may be there without any driver to draw with.
_PROBE = """
import mujoco
context = mujoco.GLContext(32, 32)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string('<mujoco/>'), mujoco.mjtFontScale.mjFONTSCALE_100)
context.free()
"""


class NoGl(RuntimeError):
    """No back end can draw here; the message holds the command that installs one."""


def works(back_end: str) -> bool:
    """Tell whether MuJoCo can draw with ``back_end``, tried in a process of its own.

    With EGL chosen and libEGL missing, importing mujoco itself fails, once and for all.
    """
    env = {**os.environ, 'MUJOCO_GL': back_end, 'PYOPENGL_PLATFORM': back_end}
    probe = subprocess.run([sys.executable, '-c', _PROBE], env=env, capture_output=True,
                           timeout=120, check=False)
    return probe.returncode == 0


def ensure_gl() -> str:
    """Choose a back end, set ``MUJOCO_GL`` for this process and its children, and return it.

    A ``MUJOCO_GL`` that is set already is the user's choice and is left alone. Must be called
    before the first import of mujoco.
    """
    chosen = os.environ.get('MUJOCO_GL')
    if chosen:
        return chosen
    if importlib.util.find_spec('mujoco') is None:
        raise NoGl(f'{sys.executable} has no MuJoCo; install it with: pip install mujoco')
    for back_end in BACK_ENDS:
        if works(back_end):
            os.environ['MUJOCO_GL'] = back_end
            return back_end
    raise NoGl('MuJoCo finds neither EGL nor OSMesa, so the simulated camera cannot draw. '
               f'Install them with:\n  {" && ".join(" ".join(c) for c in install_commands())}')


def install_commands() -> list[list[str]]:
    """Return the commands that install a software renderer on Debian and Ubuntu."""
    as_root = [] if os.geteuid() == 0 else ['sudo']
    return [[*as_root, 'apt-get', 'update'],
            [*as_root, 'apt-get', 'install', '-y', '--no-install-recommends', *DEBIAN_PACKAGES]]


def install() -> None:
    """Install the Debian packages as root or through sudo; raise :class:`NoGl` if impossible."""
    commands = install_commands()
    missing = [tool for tool in {command[0] for command in commands} if not shutil.which(tool)]
    manual = ' && '.join(' '.join(command) for command in commands)
    if missing:
        raise NoGl(f'{missing[0]} not found; install EGL or OSMesa, on Debian by:\n  {manual}')
    for command in commands:
        if subprocess.run(command, check=False).returncode != 0:
            raise NoGl(f'"{" ".join(command)}" failed; run as a user who may:\n  {manual}')


def main() -> None:
    """Print the back end that works; exit 1 with the remedy if none does."""
    try:
        try:
            print(ensure_gl())
        except NoGl:
            if '--install' not in sys.argv[1:]:
                raise
            install()
            print(ensure_gl())
    except NoGl as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
