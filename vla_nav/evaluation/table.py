"""The table of what the shipped policy must show: measurements, rows, and their Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vla_nav.evaluation.metrics import paired_difference

# Training stays below 1,000,000 and chooses its checkpoint on seeds from there on: the table
# must stand on scenes that nothing was chosen by.
FIRST_SEED = 2_000_000
QUICK_EPISODES = 24


@dataclass(frozen=True)
class Measurement:
    """One run of ``vla-nav``: its sub-command, and options beside ``--policy`` and ``--out``.

    ``key`` names its folder. ``baseline`` is driven instead of the bundle where it is given.
    ``smoke`` holds options that replace those of the same name in a quick run.
    """

    key: str
    command: str
    options: Mapping[str, str] = field(default_factory=dict)
    episodes: int = 0
    baseline: str = ''
    smoke: Mapping[str, str] = field(default_factory=dict)

    def line(self, policy: str, quick: bool = False) -> str:
        """Return the command line that repeats it, without ``--out``."""
        words = ['vla-nav', self.command, '--policy', self.baseline or policy]
        if self.episodes:
            episodes = min(self.episodes, QUICK_EPISODES) if quick else self.episodes
            words += ['--episodes', str(episodes), '--first-seed', str(FIRST_SEED)]
        for name, value in {**self.options, **(self.smoke if quick else {})}.items():
            words += [f'--{name}', value] if value else [f'--{name}']
        return ' '.join(words)


def _loop(key: str, episodes: int, baseline: str = '', **options: str) -> Measurement:
    return Measurement(key, 'evaluate closed-loop',
                       {name.replace('_', '-'): value for name, value in options.items()},
                       episodes, baseline)


MEASUREMENTS = (
    _loop('seen', 480),
    _loop('layouts', 408, heldout='layouts'),
    _loop('appearance', 408, heldout='appearance'),
    _loop('hidden', 120, families='hidden'),
    _loop('two_step', 120, families='two_step'),
    _loop('person', 120, families='person'),
    _loop('swapped_side', 120, text='swapped-side'),
    _loop('swapped_goal', 120, text='swapped-goal'),
    _loop('phrasings', 240, heldout='phrasings'),
    _loop('english', 240, language='en'),
    _loop('korean', 240, language='ko'),
    _loop('blank_text', 120, text='blind'),
    _loop('blank_image', 120, image='blind'),
    _loop('step_index', 120, 'step-index'),
    _loop('straight', 120, 'straight'),
    _loop('always_left', 120, 'always-left'),
    _loop('constant', 120, 'constant'),
    _loop('expert', 1000, 'expert'),
    _loop('expert_hard', 480, 'expert', families='hidden,two_step,person'),
    _loop('dds', 24, over_dds=''),
    Measurement('offline', 'evaluate offline', {}, 96),
    Measurement('latency', 'bench latency', {'frames': '2000'}, smoke={'frames': '150'}),
    Measurement('pictures', 'bench pictures', {'seconds': '20'}, smoke={'seconds': '2'}),
    Measurement('safety', 'bench safety', {'trials': '20'}, smoke={'trials': '1'}),
)


@dataclass(frozen=True)
class Figure:
    """A measured value, its 95 % interval where it has one, and the number of samples."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None


Taken = Mapping[str, Mapping[str, Any]]  # measurement key -> its summary


@dataclass(frozen=True)
class Row:
    """A line of the table: ``must`` is a bound on the value, from above where ``at_most``.

    ``sources`` are the keys of the measurements that ``figure`` reads.
    """

    title: str
    sources: tuple[str, ...]
    figure: Callable[[Taken], Figure]
    must: float
    aim: float | None = None
    at_most: bool = False

    def met(self, figure: Figure) -> bool:
        """Tell whether the value is within the bound."""
        return figure.value <= self.must if self.at_most else figure.value >= self.must


def success(key: str) -> Callable[[Taken], Figure]:
    """Return what reads the success rate of a closed-loop measurement."""
    def read(taken: Taken) -> Figure:
        summary = taken[key]
        return Figure(summary['success_rate'], summary['episodes'], *summary['ci95'])
    return read


def share(key: str, name: str) -> Callable[[Taken], Figure]:
    """Return what reads another rate or mean that has an interval."""
    def read(taken: Taken) -> Figure:
        summary = taken[key]
        return Figure(summary[name], summary['episodes'], *summary['intervals'][name])
    return read


def with_distractor(taken: Taken) -> Figure:
    """Return the success in scenes where another object shares the goal's kind or colour."""
    group = taken['seen']['distractor']['shared']
    return Figure(group['rate'], group['n'], *group['ci95'])


def lost(worse: str, better: str) -> Callable[[Taken], Figure]:
    """Return what reads the points of success lost against another run of the same seeds."""
    def read(taken: Taken) -> Figure:
        n = min(taken[better]['episodes'], taken[worse]['episodes'])
        value, low, high = paired_difference(_succeeded(taken[better], n),
                                             _succeeded(taken[worse], n))
        return Figure(value, n, low, high)
    return read


def apart(one: str, other: str) -> Callable[[Taken], Figure]:
    """Return what reads by how many points two runs of the same seeds differ, either way."""
    def read(taken: Taken) -> Figure:
        figure = lost(one, other)(taken)
        if figure.value >= 0 or figure.low is None or figure.high is None:
            return figure
        return Figure(-figure.value, figure.n, -figure.high, -figure.low)
    return read


def offline_ratio(against: Sequence[str]) -> Callable[[Taken], Figure]:
    """Return what reads the policy's MAE over the smallest of the named predictors'."""
    def read(taken: Taken) -> Figure:
        table = taken['offline']['predictors']
        best = min(table[name]['joint']['mae'] for name in against)
        return Figure(table['policy']['joint']['mae'] / best, taken['offline']['samples'])
    return read


def latency_p99(taken: Taken) -> Figure:
    """Return the 99th percentile from picture to ``cmd_vel``, in ms."""
    summary = taken['latency']
    return Figure(summary['picture_to_cmd_vel_ms']['p99'], summary['measured'])


def worst_transport(taken: Taken) -> Figure:
    """Return the share of large pictures answered over the transport that loses more."""
    summary = taken['pictures']
    return Figure(min(summary['answered_share'].values()), summary['published'])


def worst_stop(taken: Taken) -> Figure:
    """Return by how many ms the slowest stop was later than its limit; n is trials a fault."""
    faults = taken['safety']['faults']
    return Figure(max(fault['over_limit_ms'] for fault in faults),
                  min(fault['trials'] for fault in faults))


def _succeeded(summary: Mapping[str, Any], n: int) -> list[bool]:
    failed = set(summary['failed_seeds'])
    return [seed not in failed for seed in range(FIRST_SEED, FIRST_SEED + n)]


_CONSTANTS = ('constant mean', 'constant median')
ROWS = (
    Row('success, seen layouts', ('seen',), success('seen'), 0.95, 0.99),
    Row('success, held-out layouts', ('layouts',), success('layouts'), 0.88, 0.97),
    Row('success, held-out textures, colours, kind', ('appearance',), success('appearance'),
        0.85, 0.97),
    Row("success, scenes with a distractor of the goal's colour or kind", ('seen',),
        with_distractor, 0.90, 0.98),
    Row('success, hidden goal', ('hidden',), success('hidden'), 0.80, 0.95),
    Row('success, two steps', ('two_step',), success('two_step'), 0.80, 0.95),
    Row('success, crossing person', ('person',), success('person'), 0.80, 0.95),
    Row('any contact, crossing person', ('person',), share('person', 'collision_rate'),
        0.05, 0.01, at_most=True),
    Row('collisions per episode, plain families', ('seen',), share('seen', 'collision_rate'),
        0.03, 0.005, at_most=True),
    Row('SPL', ('seen',), share('seen', 'spl'), 0.85, 0.93),
    Row('side accuracy, true text', ('seen',), share('seen', 'side_accuracy'), 0.98, 0.998),
    Row('goal-object accuracy, true text', ('seen',), share('seen', 'goal_accuracy'),
        0.97, 0.998),
    Row('side swapped in the text: goes the other way', ('swapped_side',),
        share('swapped_side', 'side_accuracy'), 0.95, 0.99),
    Row('goal swapped in the text: reaches the other object', ('swapped_goal',),
        share('swapped_goal', 'goal_accuracy'), 0.93, 0.99),
    Row('held-out phrasings: success lost against seen ones, same scenes',
        ('phrasings', 'seen'), lost('phrasings', 'seen'), 0.05, 0.01, at_most=True),
    Row('Korean against English: difference in success, same scenes', ('korean', 'english'),
        apart('korean', 'english'), 0.03, 0.01, at_most=True),
    Row('success with blank text (zero features)', ('blank_text',), success('blank_text'),
        0.25, at_most=True),
    Row('success with blank image', ('blank_image',), success('blank_image'), 0.05,
        at_most=True),
    Row('success by the clock alone (step-index)', ('step_index',), success('step_index'),
        0.10, at_most=True),
    Row('success of a straight driver', ('straight',), success('straight'), 0.10, at_most=True),
    Row('success of an always-left driver', ('always_left',), success('always_left'), 0.30,
        at_most=True),
    Row('success of a constant action', ('constant',), success('constant'), 0.10, at_most=True),
    Row('success of the expert, plain', ('expert',), success('expert'), 0.99),
    Row('success of the expert, hard families', ('expert_hard',), success('expert_hard'), 0.97),
    Row('success through the real graph over DDS', ('dds',), success('dds'), 0.90, 1.0),
    Row('picture (1280×720 JPEG) to `cmd_vel` over DDS, p99, ms', ('latency',), latency_p99,
        20.0, 10.0, at_most=True),
    Row('1280×720 pictures at 30 Hz that the policy answers, raw or compressed, the worse',
        ('pictures',), worst_transport, 0.98, 1.0),
    Row('first all-zero `cmd_vel` after a fault, worst of six faults, ms beyond the limit',
        ('safety',), worst_stop, 50.0, 20.0, at_most=True),
    Row('offline MAE over the best baseline but previous action', ('offline',),
        offline_ratio((*_CONSTANTS, 'step-index', 'text-blind', 'image-blind')), 1.0,
        at_most=True),
    Row('offline MAE over the best constant', ('offline',), offline_ratio(_CONSTANTS), 1.0, 0.5,
        at_most=True),
)


def rows(taken: Taken) -> list[dict[str, Any]]:
    """Return the rows that were measured, as plain values."""
    done = []
    for row in ROWS:
        if all(key in taken for key in row.sources):
            figure = row.figure(taken)
            done.append({'title': row.title, 'must': row.must, 'at_most': row.at_most,
                         'aim': row.aim, 'met': row.met(figure), **asdict(figure)})
    return done


def markdown(taken: Taken, policy: str, quick: bool) -> str:
    """Return the table; a row whose measurement is missing says so."""
    lines = {m.key: m.line(policy, quick) for m in MEASUREMENTS if m.key in taken}
    number = {key: n for n, key in enumerate(lines, 1)}
    out = ['| | must | aim | measured | 95 % interval | n | met | command |', '|---' * 8 + '|']
    for row in ROWS:
        sign, aim = '≤' if row.at_most else '≥', '–' if row.aim is None else f'{row.aim:g}'
        out.append(f'| {row.title} | {sign} {row.must:g} | {aim} | ')
        if any(key not in taken for key in row.sources):
            out[-1] += 'not measured | | | | |'
            continue
        figure = row.figure(taken)
        interval = '' if figure.low is None else f'{figure.low:.3f} to {figure.high:.3f}'
        commands = ', '.join(str(number[key]) for key in row.sources)
        out[-1] += (f'{figure.value:.3f} | {interval} | {figure.n} '
                    f'| {"yes" if row.met(figure) else "**no**"} | {commands} |')
    out += ['', 'Commands:', '']
    out += [f'{number[key]}. `{line}`' for key, line in lines.items()]
    return '\n'.join([*out, ''])
