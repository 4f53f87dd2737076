import pytest

from vla_nav.simulation import gl


def test_egl_comes_first_then_osmesa(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', '')
    tried = []
    monkeypatch.setattr(gl, 'works',
                        lambda back_end: tried.append(back_end) or back_end == 'osmesa')
    assert gl.ensure_gl() == 'osmesa'
    assert tried == ['egl', 'osmesa']
    assert gl.os.environ['MUJOCO_GL'] == 'osmesa'


def test_the_users_choice_is_not_questioned(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'glfw')
    monkeypatch.setattr(gl, 'works', lambda back_end: pytest.fail('probed'))
    assert gl.ensure_gl() == 'glfw'


def test_without_any_the_exact_command_is_named(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', '')
    monkeypatch.setattr(gl, 'works', lambda back_end: False)
    with pytest.raises(gl.NoGl, match=r'apt-get install -y .*libegl1 .*libosmesa6'):
        gl.ensure_gl()


def test_installing_without_apt_names_what_to_do(monkeypatch):
    monkeypatch.setattr(gl.shutil, 'which', lambda tool: None)
    with pytest.raises(gl.NoGl, match='not found; install EGL or OSMesa'):
        gl.install()


def test_a_back_end_that_is_not_there_does_not_work():
    assert not gl.works('nonsense')


def test_missing_mujoco_is_not_taken_for_a_missing_driver(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', '')
    monkeypatch.setattr(gl.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(gl.NoGl, match='pip install mujoco'):
        gl.ensure_gl()
