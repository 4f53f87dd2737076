import os
import signal
import subprocess
import sys
import time

import pytest

from vla_nav.bringup.supervisor import FIRST_DELAY_S, HEALTHY_AFTER_S, Program, Supervisor

LONG = 'import time; time.sleep(1000)'


def program(name, code, **kwargs):
    return Program(name, [sys.executable, '-c', code], **kwargs)


def until(condition, patience_s=20.0):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.01)


@pytest.fixture
def supervise(tmp_path):
    made = []

    def make(*programs, **kwargs):
        made.append(Supervisor(programs, tmp_path / 'logs', **kwargs))
        return made[-1]
    yield make
    for supervisor in made:
        supervisor.stop(patience_s=0.3)


def dead(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f'/proc/{pid}/stat') as stat:
        return stat.read().rpartition(')')[2].split()[0] == 'Z'


def test_what_dies_comes_back_after_a_pause(supervise):
    said = []
    supervisor = supervise(program('node', LONG), say=said.append)
    supervisor.start(0.0)
    first = supervisor.running['node']
    os.kill(first, signal.SIGKILL)
    until(lambda: not supervisor.running)
    supervisor.poll(10.0)
    assert 'signal 9' in said[0]
    supervisor.poll(10.0 + 0.9 * FIRST_DELAY_S)
    assert not supervisor.running
    supervisor.poll(10.0 + 1.1 * FIRST_DELAY_S)
    assert supervisor.running['node'] != first
    assert supervisor.restarts == {'node': 1}


def test_the_pause_doubles_and_then_it_gives_up(supervise):
    said = []
    supervisor = supervise(program('node', 'print("my last words"); raise SystemExit(3)'),
                           max_restarts=2, say=said.append)
    supervisor.start(0.0)
    now = 0.0
    while not supervisor.given_up:
        until(lambda: not supervisor.running)
        now += 20.0
        supervisor.poll(now)
        if len(said) < 3:
            supervisor.poll(now + FIRST_DELAY_S * 2 ** (len(said) - 1))
    assert [text.partition(';')[2].strip()[:28] for text in said[:2]] == [
        'starting it again in 0.5 s. ', 'starting it again in 1 s. Se']
    assert 'giving up' in said[2]
    assert 'my last words' in supervisor.last_words('node')


def test_a_long_life_earns_the_restarts_back(supervise):
    supervisor = supervise(program('node', LONG), max_restarts=1)
    supervisor.start(0.0)
    now = 0.0
    for _ in range(3):
        now += HEALTHY_AFTER_S + 1
        os.kill(supervisor.running['node'], signal.SIGKILL)
        until(lambda: not supervisor.running)
        supervisor.poll(now)
        supervisor.poll(now + FIRST_DELAY_S)
        assert supervisor.running and not supervisor.given_up


def test_a_program_that_may_finish_is_not_started_again(supervise):
    supervisor = supervise(program('camera', 'pass', may_finish=True))
    supervisor.start(0.0)
    until(lambda: not supervisor.running)
    supervisor.poll(1.0)
    supervisor.poll(100.0)
    assert supervisor.finished == ['camera'] and not supervisor.running


def test_ctrl_c_is_passed_on_once(supervise, tmp_path):
    code = ('import signal, sys, time\n'
            'signal.signal(signal.SIGINT, lambda *_: (print("SIGINT", flush=True), '
            'signal.setitimer(signal.ITIMER_REAL, 0.3)))\n'
            'signal.signal(signal.SIGALRM, lambda *_: sys.exit())\n'
            'print("ready", flush=True)\n' + LONG)
    supervisor = supervise(program('node', code))
    supervisor.start(0.0)
    until(lambda: 'ready' in supervisor.last_words('node'))
    # A machine that swaps may take longer than a robot waits before it is ended the hard way.
    supervisor.stop(patience_s=60.0)
    assert supervisor.last_words('node').split() == ['ready', 'SIGINT']


def test_nothing_outlives_stop_however_stubborn(supervise, tmp_path):
    child = f'import subprocess, sys; p = subprocess.Popen([sys.executable, "-c", {LONG!r}])\n'
    code = (child + 'import signal\nfor s in (signal.SIGINT, signal.SIGTERM):\n'
            '    signal.signal(s, signal.SIG_IGN)\nprint(p.pid, flush=True)\n' + LONG)
    supervisor = supervise(program('node', code))
    supervisor.start(0.0)
    until(lambda: supervisor.last_words('node').strip().isdigit())
    pids = [supervisor.running['node'], int(supervisor.last_words('node'))]
    supervisor.stop(patience_s=0.3)
    until(lambda: all(map(dead, pids)))
    assert not supervisor.running


def test_the_programs_die_with_the_supervisor(tmp_path):
    code = ('import sys, time; from pathlib import Path\n'
            'from vla_nav.bringup.supervisor import Program, Supervisor\n'
            f's = Supervisor([Program("node", [sys.executable, "-c", {LONG!r}])], '
            f'Path({str(tmp_path)!r}))\n'
            's.start(0.0); print(s.running["node"], flush=True); time.sleep(1000)\n')
    owner = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    until(lambda: dead(pid))
