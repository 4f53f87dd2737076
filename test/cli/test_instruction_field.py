"""What is typed beside the live table: letters of any script, a terminal given back."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
import unicodedata

import pytest
from rich.console import Console

from vla_nav.cli.instruction_field import InstructionField
from vla_nav.cli.live import Display
from vla_nav.nodes.terminal import Keys
from vla_nav.recording.run_state import RunState

SAID = '컵 앞에서 멈춰'


@pytest.fixture
def field():
    return InstructionField()


@pytest.fixture
def terminal(monkeypatch):
    """Make a terminal of standard input; yield where its keys are pressed, and the terminal."""
    keys, stream = pty.openpty()
    with os.fdopen(stream) as stdin:
        monkeypatch.setattr(sys, 'stdin', stdin)
        yield keys, stream
    os.close(keys)


@pytest.mark.parametrize('opening', ['i', '\n', '\r'])
def test_enter_sends_what_has_been_typed(field, opening):
    assert field.press(f'{opening}stop at the cup') == [] and field.text == 'stop at the cup'
    assert field.press('\n') == ['stop at the cup'] and field.text is None


def test_q_ends_only_while_nothing_is_typed(field):
    assert field.press('iquite slowly\n') == ['quite slowly'] and not field.ended
    field.press('q')
    assert field.ended


def test_escape_and_an_empty_line_send_nothing(field):
    assert field.press('istop\x1b') == [] and field.text is None
    assert field.press('\n  \n') == [] and field.text is None
    assert field.press('igo\n') == ['go'], 'nothing is left of what was left'


def test_arrows_neither_leave_the_field_nor_get_into_it(field):
    field.press('i')
    field.press('a\x1b[D\x1b[1;5C\x1bOHb\t\x01')
    assert field.text == 'ab'


@pytest.mark.parametrize('form', ['NFC', 'NFD'])
def test_backspace_takes_a_whole_korean_letter(field, form):
    field.press('i' + unicodedata.normalize(form, '컵앞'))
    assert field.text == '컵앞'
    field.press('\x7f')
    assert field.text == '컵'
    field.press('\b\b\b')
    assert field.text == '' and field.press('\n') == []


def test_a_letter_may_come_in_parts(terminal, field):
    pressed, _ = terminal
    keys = Keys()
    keys.take()
    try:
        for byte in f'i{SAID}'.encode():
            os.write(pressed, bytes([byte]))
            field.press(keys.pressed())
        assert field.text == SAID
    finally:
        keys.close()


def test_the_terminal_is_restored_and_may_have_gone(terminal):
    pressed, stream = terminal
    before = termios.tcgetattr(stream)
    keys = Keys()
    keys.close()  # what was never taken
    assert termios.tcgetattr(stream) == before
    keys.take()
    assert not termios.tcgetattr(stream)[3] & (termios.ICANON | termios.ECHO)
    keys.close()
    keys.close()
    assert termios.tcgetattr(stream) == before
    keys.take()
    other = os.dup(pressed)
    os.dup2(os.open(os.devnull, os.O_RDWR), pressed)
    os.close(other)
    assert keys.pressed() is None
    keys.close()


def test_a_process_that_fails_restores_it_too(terminal):
    _, stream = terminal
    before = termios.tcgetattr(stream)
    failing = subprocess.run(
        [sys.executable, '-c', 'from vla_nav.nodes.terminal import Keys\n'
         'import sys, termios\nKeys().take()\n'
         'assert not termios.tcgetattr(sys.stdin)[3] & termios.ICANON\n'
         'raise OSError("as it fell")'],
        stdin=stream, capture_output=True, text=True, timeout=60)
    assert 'as it fell' in failing.stderr
    assert termios.tcgetattr(stream) == before


def test_in_the_background_of_a_shell_the_terminal_is_left_alone(terminal):
    _, stream = terminal
    shell = """
import os
from vla_nav.nodes.terminal import Keys, in_background
os.open(os.ttyname(0), os.O_RDWR)  # the leader of a session: now it is its terminal
assert not in_background(0)
keys = Keys()
keys.take()
job = os.fork()
if not job:
    os.setpgid(0, 0)
    assert in_background(0)
    keys.close()  # the shell would stop a job that touches it
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(job, os.WUNTRACED)[1]) == 7
"""
    told = subprocess.run([sys.executable, '-c', shell], stdin=stream, capture_output=True,
                          text=True, timeout=60, start_new_session=True)
    assert told.returncode == 0, told.stderr


def _screen(field):
    """Return what a terminal shows at the end."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Display(console, live=True, field=field) as display:
        display.update(RunState(), '', 0.0)
    return console.file.getvalue()


def test_the_table_shows_what_is_typed_and_which_keys_there_are(field):
    assert 'i or Enter: type an instruction' in _screen(field)
    field.press(f'i{SAID}')
    typing = _screen(field)
    assert SAID in typing and 'Enter sends it' in typing and 'Escape leaves it' in typing
    without = _screen(None)
    assert 'Ctrl-C stops the robot' in without and 'Enter' not in without
