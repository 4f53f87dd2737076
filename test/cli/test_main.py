import subprocess
import sys

import pytest
from typer.testing import CliRunner

from vla_nav import __version__
from vla_nav.cli import main

HEAVY = ('torch', 'mujoco', 'rclpy', 'onnxruntime', 'scipy', 'matplotlib', 'av', 'numpy')


def invoke(*arguments):
    return CliRunner().invoke(main.build(arguments), arguments)


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = ('import sys; sys.argv = ["vla-nav", "--help"]\nfrom vla_nav.cli.main import main\n'
            'try:\n    main()\nexcept SystemExit:\n    pass\n'
            f'print([m for m in {HEAVY} if m in sys.modules])')
    shown = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                           check=True)
    assert shown.stdout.splitlines()[-1] == '[]'
    for name in main.COMMANDS:
        assert name in shown.stdout


def test_version():
    assert invoke('--version').output.strip() == __version__


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(main.COMMANDS, 'run', ('vla_nav.cli.main', 'nothing', ''))

    def no_av(name):
        raise ModuleNotFoundError("No module named 'av'", name='av.video')
    monkeypatch.setattr(main.importlib, 'import_module', no_av)
    with pytest.raises(SystemExit) as stopped:
        main.build(['run'])
    assert 'needs av' in stopped.value.code and 'pip install "vla_nav[sim]"' in stopped.value.code


def test_a_missing_module_of_our_own_is_not_blamed_on_an_extra(monkeypatch):
    monkeypatch.setitem(main.COMMANDS, 'run', ('vla_nav.no_such_module', 'run', ''))
    with pytest.raises(ModuleNotFoundError):
        main.build(['run'])


@pytest.mark.parametrize(('arguments', 'says'), [
    (('run', '--scenario', '3box', '--policy', 'expert'), 'no cell begins with'),
    (('run', '--policy', '/nowhere'), 'holds no config.json'),
    (('run', '--runtime', 'tflite'), "'tflite' is not one of 'auto', 'onnx', 'openvino'")])
def test_wrong_choices_are_explained_before_anything_starts(arguments, says, tmp_path,
                                                            monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'egl')
    result = invoke(*arguments, '--out', str(tmp_path / 'runs'))
    assert result.exit_code == 2
    assert says in ' '.join(result.output.replace('│', ' ').split())
    assert not (tmp_path / 'runs').exists()
