"""The environments of the NPU tools: each its own, made by one command, driven by JSON.

The compiler and the converters pin versions of NumPy and torch that need not be ours, so each
lives in a virtual environment that nothing else is installed in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vla_nav.bringup.share import share_directory
from vla_nav.detection.npu.problems import NpuError

FOLDER_VARIABLE: Final = 'VLA_NAV_NPU_TOOLS'
_SCRIPTS = Path(__file__).parent / 'scripts'
_TAIL = 2000


@dataclass(frozen=True)
class Environment:
    """A virtual environment, what it is for, and what it takes of the disk."""

    name: str
    purpose: str
    size: str

    @property
    def folder(self) -> Path:
        """Return where it is or would be."""
        return tools_folder() / self.name

    @property
    def requirements(self) -> Path:
        """Return the file of its pinned versions."""
        return share_directory() / 'config' / 'detector' / 'tools' / f'{self.name}.txt'

    @property
    def python(self) -> Path:
        """Return its interpreter; NpuError names the command that makes a missing one."""
        if not self.ready:
            raise NpuError(
                f'{self.folder}: the environment for {self.purpose} is not there; make it with\n'
                f'  vla-nav detector tools --{self.name}\n({self.size}), or set '
                f'{FOLDER_VARIABLE} to the folder that holds it')
        return self.folder / 'bin' / 'python'

    @property
    def ready(self) -> bool:
        """Return whether it was installed to the end."""
        return (self.folder / _COMPLETE).is_file()

    def make(self) -> None:
        """Install it anew; subprocess's CalledProcessError where pip fails, having said why."""
        venv.create(self.folder, clear=True, with_pip=True)
        # Bytecode is left to the first import: most modules are never imported.
        subprocess.run([str(self.folder / 'bin' / 'python'), '-m', 'pip', 'install', '--quiet',
                        '--disable-pip-version-check', '--no-compile', '-r',
                        str(self.requirements)], check=True)
        (self.folder / _COMPLETE).write_text(self.requirements.read_text('utf-8'), 'utf-8')

    def run(self, command: Sequence[str | Path], cwd: Path | None = None) -> str:
        """Run its interpreter with arguments and return what it printed.

        Raises NpuError with the end of what it said where it fails.
        """
        # What a caller's PYTHONPATH holds is made for another interpreter.
        surroundings = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
        done = subprocess.run([str(self.python), *map(str, command)], cwd=cwd, text=True,
                              env=surroundings, capture_output=True, check=False)
        if done.returncode:
            raise NpuError(f'{self.name}: {command[0]} ended with status {done.returncode}:\n'
                           f'{(done.stdout + done.stderr)[-_TAIL:].strip()}')
        return done.stdout

    def call(self, script: str, request: dict[str, Any], work: Path) -> dict[str, Any]:
        """Run a script of :mod:`vla_nav.detection.npu.scripts` and return its answer."""
        asked, answered = work / f'{script}.request.json', work / f'{script}.answer.json'
        asked.write_text(json.dumps(request), 'utf-8')
        self.run([_SCRIPTS / f'{script}.py', asked, answered], cwd=work)
        answer: dict[str, Any] = json.loads(answered.read_text('utf-8'))
        return answer


_COMPLETE = 'requirements.txt'
VELA = Environment('vela', "Arm's compiler for Ethos-U", '75 MB')
TOSA = Environment('tosa', 'PyTorch to TOSA by ExecuTorch', '1.3 GB')
TFLITE = Environment('tflite', 'PyTorch to TFLite by LiteRT', '2.1 GB')
ENVIRONMENTS = {environment.name: environment for environment in (VELA, TOSA, TFLITE)}


def tools_folder() -> Path:
    """Return the folder of the environments: of the variable, the checkout, or the user."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / 'setup.py').is_file():
        return checkout / '.venv-npu'
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(cache) / 'vla_nav' / f'npu-{sys.version_info[0]}.{sys.version_info[1]}'
