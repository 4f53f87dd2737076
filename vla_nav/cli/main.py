"""``vla-nav``: one entry point; a command's code is imported only when it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

HELP = """Turn a camera and a sentence into safe motion of a mobile robot.

\b
  vla-nav run                               a simulated robot drives to an object
  vla-nav run --instruction "Pass the box on its left and stop at the red cup."
  vla-nav run --source drive.mp4            your pictures in the simulator's place
  vla-nav evaluate closed-loop --help       measure a policy over many episodes
  vla-nav data lint DIR                     find what is wrong with recordings
"""
# Command: module, attribute, help. The help stands here so that `vla-nav --help` need not import
# torch, MuJoCo and the rest.
COMMANDS = {
    'run': ('vla_nav.cli.run', 'run', 'Start the graph, watch it drive, keep a recording.'),
    'say': ('vla_nav.cli.say', 'say', 'Tell a running robot what to do.'),
    'teleop': ('vla_nav.cli.teleop', 'teleop', 'Drive by hand; a person goes before the policy.'),
    'monitor': ('vla_nav.cli.monitor', 'monitor', 'See a running robot in the browser.'),
    'record': ('vla_nav.cli.record', 'record', 'Record what the robot sees and does.'),
    'field-report': ('vla_nav.cli.field_report', 'field_report',
                     'Turn the recordings of a field test into its table.'),
    'evaluate': ('vla_nav.cli.evaluate', 'app', 'Measure policies and baselines.'),
    'results': ('vla_nav.cli.results', 'results', 'Measure all of docs/results.md again.'),
    'data': ('vla_nav.cli.data', 'app', 'Look at recorded episodes, check and convert them.'),
    'train': ('vla_nav.cli.train', 'app', 'Train a policy and write its bundle.'),
    'detector': ('vla_nav.cli.detector', 'app',
                 'Train, export and compare detectors for NPUs.'),
    'distill': ('vla_nav.cli.distill', 'distill', 'Teach a small policy what a large one does.'),
    'policies': ('vla_nav.cli.policies', 'app', 'List the VLA family; try one at full size.'),
    'export': ('vla_nav.cli.export', 'export', 'Export a policy to another runtime.'),
    'bench': ('vla_nav.cli.bench', 'app', 'Measure latencies and stop times.'),
}
# The extra that brings a module which may be missing.
EXTRAS = {
    **dict.fromkeys(('rclpy', 'geometry_msgs', 'sensor_msgs', 'std_msgs', 'nav_msgs'), 'ros'),
    **dict.fromkeys(('mujoco', 'gymnasium', 'scipy', 'av', 'rosbags', 'h5py', 'matplotlib',
                     'jinja2', 'backports'), 'sim'),
    **dict.fromkeys(('torch', 'onnx', 'onnxscript', 'safetensors', 'transformers', 'peft',
                     'accelerate'), 'train'),
    **dict.fromkeys(('ultralytics', 'polars'), 'detector'),
    'onnxruntime': 'cpu', 'openvino': 'openvino', 'rerun': 'monitor',
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the one command that ``arguments`` call for imported."""
    app = typer.Typer(name='vla-nav', help=HELP, no_args_is_help=True, add_completion=False,
                      rich_markup_mode='rich', pretty_exceptions_show_locals=False)
    app.callback(invoke_without_command=True)(_options)
    called = next((word for word in arguments if not word.startswith('-')), None)
    for name, (module, attribute, text) in COMMANDS.items():
        command = _load(name, module, attribute) if name == called else _not_called
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, help=text)
        else:
            app.command(name, help=command.__doc__ if name == called else text)(command)
    return app


def main() -> None:
    """Run the command line."""
    build(sys.argv[1:])()


def _options(
    version: Annotated[bool, typer.Option('--version', help='Print the version.')] = False,
) -> None:
    if version:
        from vla_nav import __version__
        typer.echo(__version__)
        raise typer.Exit


def _not_called() -> None:
    """Stand in for a command that is only listed."""


def _load(name: str, module: str, attribute: str) -> Any:
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or '').partition('.')[0]
        extra = EXTRAS.get(missing)
        if extra is None:
            raise
        hint = (' or source a ROS 2 installation' if extra == 'ros' else
                ', or "vla_nav[gpu]" for a CUDA machine' if extra == 'cpu' else
                # What it asks for itself would replace torch and OpenCV by other builds.
                '\n  pip install --no-deps -r requirements/ultralytics.txt'
                if extra == 'detector' else '')
        sys.exit(f'vla-nav {name} needs {missing}, which is not installed here. Install it with\n'
                 f'  pip install "vla_nav[{extra}]"{hint}')


if __name__ == '__main__':
    main()
