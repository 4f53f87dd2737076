"""What a person sees in the terminal while the graph runs."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from vla_nav.cli.instruction_field import InstructionField
from vla_nav.recording.run_state import RunState

_COLOURS = {'driving': 'green', 'arrived': 'bold green', 'not_understood': 'yellow',
            'stopped': 'red', 'policy': 'green', 'teleop': 'cyan'}


class Display:
    """A live table on a terminal, with what is typed into ``field``; elsewhere a line a change."""

    def __init__(self, console: Console, live: bool,
                 field: InstructionField | None = None) -> None:
        self._console, self._field = console, field
        self._live = Live(console=console, refresh_per_second=8, transient=True) if live else None
        self._said: tuple[str, str, str] | None = None

    def __enter__(self) -> Display:
        """Begin to draw."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print an event above the table."""
        self._console.print(text, style='yellow', markup=False, highlight=False)

    def update(self, state: RunState, instruction: str, elapsed_s: float) -> None:
        """Show the newest state."""
        if self._live:
            self._live.update(_table(state, instruction, elapsed_s, self._field))
            return
        said = state.task_state, state.guard, state.nodes.get('policy', {}).get('message', '')
        if said != self._said:
            self._said = said
            task, guard, policy = said
            seen = f'  detector: {state.detector}' if state.detector else ''
            self._console.print(f'{elapsed_s:6.1f} s  task {task or "-"}  guard {guard or "-"}  '
                                f'policy: {policy or "-"}{seen}', markup=False, highlight=False)


def _table(state: RunState, instruction: str, elapsed_s: float,
           field: InstructionField | None) -> RenderableType:
    vx, vy, wz = state.velocity
    rows = [
        ('task', _coloured(state.task_state or ('no policy' if state.ready else 'starting'))),
        ('instruction', Text(state.instruction or instruction or '-')),
        ('understood as', Text(state.reading or '-')),
        ('velocity', Text(f'{vx:+.2f} m/s ahead  {vy:+.2f} m/s left  {wz:+.2f} rad/s')),
        ('guard', _coloured(state.guard or 'starting')),
        ('ages', Text(f'picture {_ms(state, "camera_age_ms")}   behind the command '
                      f'{_ms(state, "observation_age_ms")}')),
        ('latency', Text(f'picture to cmd_vel p50 {_ms(state, "picture_to_cmd_vel_p50_ms")}  '
                         f'p99 {_ms(state, "picture_to_cmd_vel_p99_ms")}')),
        *([('detector', Text(state.detector))] if state.detector else []),
        ('driven', Text(f'{state.driven_m:.1f} m in {elapsed_s:.0f} s')),
    ]
    keys = 'Ctrl-C stops the robot'
    if field is not None and field.text is not None:
        rows.append(('say', Text(f'{field.text}▏', style='bold')))
        keys = f'Enter sends it · Escape leaves it · {keys}'
    elif field is not None:
        keys = f'i or Enter: type an instruction · q or {keys}'
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style='dim'), value)
    return Panel(Group(table), title='vla-nav', title_align='left', width=96,
                 subtitle=keys, subtitle_align='right')


def _coloured(text: str) -> Text:
    return Text(text, style=_COLOURS.get(text.partition(',')[0], 'yellow'))


def _ms(state: RunState, key: str) -> str:
    value = state.figure('guard', key)
    return f'{value} ms' if value and value != 'never' else '-'
