import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vla_nav
from vla_nav.bringup.graph import graph

ROOT = Path(__file__).parents[2]


def test_package_xml_is_valid_and_agrees_with_setup_py():
    from catkin_pkg.package import parse_package
    warnings = []
    package = parse_package(str(ROOT / 'package.xml'), warnings=warnings)
    package.validate(warnings=warnings)
    assert not warnings
    assert package.package_format == 3 and package.version == vla_nav.__version__
    assert package.get_build_type() == 'ament_python'
    setup = (ROOT / 'setup.py').read_text()
    assert f"version='{package.version}'" in setup
    assert f"maintainer_email='{package.maintainers[0].email}'" in setup
    needed = {'rclpy', 'sensor_msgs', 'geometry_msgs', 'nav_msgs', 'diagnostic_msgs', 'std_srvs',
              'cv_bridge', 'vision_msgs', 'launch', 'launch_ros'}
    assert needed <= {depend.name for depend in package.exec_depends}


def test_ci_installs_the_libraries_that_the_browser_needs():
    page = (ROOT / 'docs' / 'monitoring.md').read_text()
    needed = set(re.search(r'on Debian `(libnss3[^`]+)`', page)[1].split())
    installed = re.search(r'^packages=\(([^)]+)\)', (ROOT / '.ci' / 'run').read_text(), re.M)[1]
    assert needed <= set(installed.split())


def test_every_node_has_an_executable_stub():
    stubs = {path.name for path in (ROOT / 'scripts').iterdir()}
    used = {node.executable for kind in ('robot', 'sim', 'camera') for node in graph(kind, {})}
    assert used <= stubs
    for name in stubs:
        path = ROOT / 'scripts' / name
        assert path.stat().st_mode & stat.S_IXUSR
        assert path.read_text().startswith('#!/usr/bin/env python3\n')
        module = re.search(r'from (\S+) import main', path.read_text()).group(1)
        assert importlib.util.find_spec(module) is not None


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp('source') / 'vla_nav'
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(
        '.git', '.venv*', 'build', 'runs', 'data', '*.egg-info', '__pycache__', '.*_cache'))
    out = tmp_path_factory.mktemp('wheel')
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps',
                    '--no-build-isolation', '--wheel-dir', str(out), str(source)], check=True)
    with zipfile.ZipFile(next(out.glob('*.whl'))) as archive:
        yield archive


def test_the_wheel_holds_what_ros2_launch_looks_for(wheel):
    data = 'vla_nav-0.1.0.data/data/'
    names = {name.removeprefix(data): wheel.getinfo(name) for name in wheel.namelist()}
    for name in ('share/ament_index/resource_index/packages/vla_nav', 'share/vla_nav/package.xml',
                 'share/vla_nav/launch/robot.launch.py', 'share/vla_nav/launch/sim.launch.py',
                 'share/vla_nav/config/robot.yaml', 'share/vla_nav/config/dds/large_images.xml',
                 'share/vla_nav/config/dds/nodes.xml'):
        assert name in names
    for stub in os.listdir(ROOT / 'scripts'):
        assert names[f'lib/vla_nav/{stub}'].external_attr >> 16 & stat.S_IXUSR
    assert not [name for name in names if name.startswith('test/')]


def requirements(wheel):
    """Yield (name, whether an extra asks for it) of each requirement."""
    metadata = wheel.read('vla_nav-0.1.0.dist-info/METADATA').decode()
    for line in metadata.splitlines():
        if line.startswith('Requires-Dist: '):
            yield re.match(r'[\w.-]+', line.partition(' ')[2]).group().lower(), 'extra ==' in line


def test_what_a_robot_needs_carries_no_training_tools(wheel):
    assert {name for name, extra in requirements(wheel) if not extra} == {
        'numpy', 'opencv-python-headless', 'pydantic', 'pyyaml', 'rich', 'typer'}


def test_everything_that_is_installed_has_a_pinned_version(wheel):
    pins = (ROOT / 'requirements' / 'constraints.txt').read_text().lower()
    pinned = set(re.findall(r'^([\w.-]+)==', pins, re.MULTILINE))
    # The ROS wheels are pinned by the extra itself; the GPU's stand in for the CPU's.
    apart = {'ros-rclpy', 'ros-common-interfaces', 'onnxruntime-gpu'}
    assert {name for name, _ in requirements(wheel)} - apart <= pinned
