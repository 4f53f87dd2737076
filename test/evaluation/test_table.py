"""The results table: what is met, what is missing, and that its commands can be given."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest
import typer.testing
from bundles import write_bundle

from vla_nav.cli import results as command
from vla_nav.cli.evaluate import app as evaluate_app
from vla_nav.cli.main import build
from vla_nav.evaluation import readers, results_page
from vla_nav.evaluation.bench_detector import LIMITS
from vla_nav.evaluation.metrics import wilson_interval
from vla_nav.evaluation.must import MEASUREMENTS, SECTIONS
from vla_nav.evaluation.table import FIRST_SEED, Figure

ROWS = [row for section in SECTIONS for row in section.rows]


def summary(failed=(), n=200, **changes):
    """Return a closed-loop summary in which the episodes numbered ``failed`` fail."""
    rate = 1 - len(failed) / n
    interval = list(wilson_interval(n - len(failed), n))
    names = ('collision_rate', 'side_accuracy', 'goal_accuracy', 'spl')
    return {'success_rate': rate, 'ci95': interval, 'episodes': n, **dict.fromkeys(names, rate),
            'intervals': dict.fromkeys(names, interval),
            'distractor': {'shared': {'rate': rate, 'ci95': interval, 'n': n // 2}},
            'failed_seeds': [FIRST_SEED + i for i in failed], **changes}


def rows_of(taken, made=(), sha256='abc', kept=()):
    """Return the page's rows as they are with measurements ``taken``, by an unknown commit."""
    made = dict(made)
    sources = {m.key: results_page.Source(m.line('models/compact'), made.get(m.key, ''), sha256)
               for m in MEASUREMENTS}
    return results_page.rows(taken, sources, kept)


def test_the_issues_main_rows_have_enough_episodes():
    episodes = {m.key: m.episodes for m in MEASUREMENTS}
    assert min(episodes[key] for key in ('seen', 'layouts', 'appearance')) >= 400
    small = [key for key, n in episodes.items() if 0 < n < 100]
    assert small == ['dds', 'offline', 'int8_offline']  # the last two count pictures
    assert len({m.key for m in MEASUREMENTS}) == len(MEASUREMENTS)
    assert {key for row in ROWS for key in row.sources} <= set(episodes)


@pytest.mark.parametrize('measurement', [m for m in MEASUREMENTS if not m.kept], ids=str)
def test_every_command_is_one(measurement):
    words = [*shlex.split(measurement.line('models/none'))[1:], '--no-such-option']
    answer = typer.testing.CliRunner().invoke(build(words), words)
    assert answer.exit_code == 2
    assert 'no-such-option' in answer.output and answer.output.count('--') < 4, answer.output


@pytest.mark.parametrize('measurement', [m for m in MEASUREMENTS
                                         if m.command == 'evaluate closed-loop'])
def test_every_command_parses(measurement, monkeypatch):
    words = shlex.split(measurement.line('models/none'))[2:]
    words[words.index('--episodes') + 1] = '0'  # refused by its range, after all names passed
    answer = typer.testing.CliRunner().invoke(evaluate_app, words)
    assert answer.exit_code == 2 and 'No such option' not in answer.output


def test_bounds_from_both_sides():
    above = next(row for row in ROWS if row.title == 'success, seen layouts')
    below = next(row for row in ROWS if row.title == 'success with blank image')
    assert above.met(Figure(0.95, 400)) and not above.met(Figure(0.949, 400))
    assert below.met(Figure(0.05, 100)) and not below.met(Figure(0.051, 100))


def test_paired_rows_compare_the_same_seeds():
    taken = {'seen': summary(failed=range(150, 160)), 'phrasings': summary(failed=range(5), n=100)}
    figure = readers.lost('phrasings', 'seen')(taken)
    assert (figure.value, figure.n) == (pytest.approx(0.05), 100)
    assert figure.low < 0.05 < figure.high
    taken = {'english': summary(failed=range(4), n=100), 'korean': summary(n=100)}
    figure = readers.apart('korean', 'english')(taken)
    assert figure.value == pytest.approx(0.04) and figure.low < 0.04 < figure.high


def test_the_page_says_what_is_met_and_what_is_missing():
    taken = {'seen': summary(failed=range(20)),
             'blank_text': summary(failed=range(190)),
             'offline': {'samples': 9, 'predictors': {
                 name: {'joint': {'mae': value}} for name, value in (
                     ('policy', 0.02), ('constant mean', 0.1), ('constant median', 0.08),
                     ('step-index', 0.07), ('text-blind', 0.05), ('image-blind', 0.04))}}}
    found = rows_of(taken, made={'seen': 'abc1234, 2026-01-02'})
    lines = results_page.markdown(found).splitlines()
    seen = next(line for line in lines if line.startswith('| success, seen layouts'))
    assert '| 0.900 |' in seen and '**no**' in seen and seen.endswith('| 1 |')
    assert '| yes |' in next(line for line in lines if 'blank text' in line)
    assert '| 0.500 |' in next(line for line in lines if 'best baseline but' in line)
    assert '| 0.250 |' in next(line for line in lines if 'best constant' in line)
    assert 'not measured' in next(line for line in lines if 'hidden goal' in line)
    command, = (line for line in lines if line.startswith('1. '))
    assert '`vla-nav evaluate closed-loop --policy models/compact --episodes 480' in command
    assert command.endswith('(abc1234, 2026-01-02)')
    measured = {row['title'] for row in found}
    assert 'SPL' in measured and 'success, hidden goal' not in measured


def test_what_must_be_known_to_judge_a_figure_stands_below_its_table():
    folds = {'folds': 5, 'below': {'ridge': 5}, 'below_constants': 5,
             'chunk_below_hold_from_the_eighth': 5}
    found = rows_of({'tub': {'summary': folds}, 'crew': {'episodes': 76, 'speedup': {'2': 2.1}}})
    page = results_page.markdown(found)
    scale, family = (page.split(f'## {title}')[1].split('## ')[0] for title in (
        'Scale, monitoring', 'Other members, other data'))
    assert 'standard suite, times <sup>a</sup> | ≥ 1.8' in scale and '- <sup>a</sup> ' in scale
    # One note for all rows of the tub, and none of what was not measured.
    assert family.count('<sup>a</sup>') == 3 + 1 and family.count('\n- ') == 1
    note = next(line for line in family.splitlines() if line.startswith('- '))
    assert 'chosen with an eye on this tub' in note
    assert all(row['note'] for row in found)


def test_rows_that_are_not_measured_again_stay_while_what_they_stand_on_is_the_same():
    page = rows_of({'seen': summary(), 'hidden': summary(failed=range(50))},
                   made={'seen': 'old, 2026-01-01', 'hidden': 'old, 2026-01-01'})
    page = json.loads(json.dumps(page))
    again = rows_of({'seen': summary(failed=range(10))}, made={'seen': 'new, 2026-02-02'},
                    kept=page)
    by_title = {row['title']: row for row in again}
    hidden = by_title['success, hidden goal']
    assert hidden['value'] == 0.75 and hidden['sources']['hidden']['made'] == 'old, 2026-01-01'
    assert by_title['success, seen layouts']['value'] == 0.95
    text = results_page.markdown(again)
    assert '(new, 2026-02-02)' in text and '(old, 2026-01-01)' in text
    other = {'success, seen layouts', 'success, hidden goal'} & {
        row['title'] for row in rows_of({}, sha256='of another bundle', kept=page)}
    assert not other


def test_what_is_read_from_benchmarks_exports_and_studies():
    seen = summary(n=1000)
    member = {'of_constant_mean': 0.4, 'success': 0.7, 'below': {'a': True, 'b': True}}
    taken = {
        'runtimes': {'steps': 300, 'subjects': {
            'compact · onnx': {'runtime': 'onnx', 'total_ms': {'p50': 2.0},
                               'network_ms': {'p50': 0.5}, 'faster_than_eager': 4.0},
            'compact · compile': {'runtime': 'compile', 'faster_than_eager': None}}},
        'int8': {'bytes': {'policy.onnx': 800_000}},
        'drives': seen, 'int8_drives': summary(failed=range(10), n=1000),
        'delay': {'episodes': 400, 'delays': [{'delay_ms': 0, 'relative': 1.0},
                                              {'delay_ms': 400, 'relative': 0.95}]},
        'student': {'episodes': 1000, 'second_rate': 0.96, 'ci95': [-0.025, 0.005]},
        'study': {'members': {'one': member, 'ensemble': {},
                              'two': {**member, 'of_constant_mean': 0.6, 'success': 0.9}},
                  'ensemble': {'weights': [0.7, 0.25, 0.05], 'test_episodes': 60,
                               'ensemble_minus_best': {'value': -0.01, 'low': -0.02,
                                                       'high': 0.0}}},
        'crew': {'episodes': 76, 'speedup': {'1': 1.0, '2': 1.9}},
    }
    found = {row['title']: row for row in rows_of(taken)}
    values = {title: row['value'] for title, row in found.items()}
    assert values['1280×720 JPEG to velocities without ROS, p50, ms'] == 2.0
    assert values['fastest runtime against eager PyTorch, times'] == 4.0
    assert values['int8: size, MB'] == 0.8
    lost = found['int8: success lost, same scenes, upper 95 % bound']
    assert 0.01 < lost['value'] == lost['high'] < 0.02 and lost['low'] < 0.01 and lost['met']
    assert values['success with a model that takes 400 ms, relative to none'] == 0.95
    student = found['student against its teacher: success lost, same scenes, upper 95 % bound']
    assert (student['low'], student['value']) == (-0.005, 0.025) and not student['met']
    assert values['the teacher of a student: success'] == 0.96
    assert values['two processes against one on the standard suite, times'] == 1.9
    worst = found['small forms: MAE over that of the constant mean, worst of three']
    assert worst['value'] == 0.6 and not worst['met']
    assert values['ensemble: members with a weight of at least 0.2'] == 2
    assert found["ensemble: MAE minus its best member's, test drives"]['met']


def test_what_is_read_of_the_detector():
    def model(scale):
        return {'deployed': 'int8', 'bytes': {'int8': 3_900_000},
                'accuracy': {'int8': {'map50': 0.9, 'interval': [0.88, 0.92]}},
                'change': {'map50': -0.004, 'interval': [-0.008, 0.001]},
                'npu': {target: {'operators': 100, 'operators_on_npu': 100, 'macs': 1000,
                                 'macs_on_npu': 1000 - scale * number}
                        for number, target in enumerate(('ethos-u55-256', 'ethos-u65-512'))}}
    taken = {
        'detectors': {'pictures': 1000, 'models': {'detector': model(0), 'L4_relu': model(3)},
                      'recommendations': {'ethos-u55-256': {'balanced': 'detector'},
                                          'ethos-u65-512': {'balanced': 'L4_relu'},
                                          'cpu': {'balanced': 'L4_relu'}}},
        'detector': {'steps': 300, 'bounds': {name: {'value': 5.0} for name in LIMITS}},
        'trials': {'episodes': 200, 'collisions': 0, 'ci95': [0.0, 0.018]}}
    found = {row['title']: row for row in rows_of(taken)}
    change = found['… int8 against fp32, points of mAP50 either way']
    assert (change['value'], change['low'], change['high']) == (0.004, -0.001, 0.008)
    assert found['mAP50 on unseen pictures, as shipped']['low'] == 0.88
    assert found['… size in int8, MB']['value'] == 3.9
    shares = found['multiply-accumulates on the NPU, the same']
    assert shares['value'] == 0.997 and shares['met'] and shares['n'] == 2
    trials = found['straight at a box, 10 Hz, 5 % of the pictures lost: collisions']
    assert trials['met'] and trials['high'] == pytest.approx(3.6)


def test_what_drives_an_export_waits_for_it(tmp_path, monkeypatch):
    export = next(m for m in MEASUREMENTS if m.key == 'int8')
    drives = next(m for m in MEASUREMENTS if m.key == 'int8_drives')
    bundle, folder = write_bundle(tmp_path / 'bundle'), tmp_path / 'results'
    assert command._take(drives, str(bundle), folder, False, True) is None

    def run(words, **_):
        if 'export' in words:
            out = folder / 'int8' / 'bundle'
            assert not out.exists() and words[words.index('--out') + 1] == str(out)
            write_bundle(out)
        else:
            assert words[words.index('--policy') + 1] == str(folder / 'int8' / 'bundle')
        return SimpleNamespace(stdout='{}', returncode=0)
    monkeypatch.setattr(command, 'made', lambda: 'abc1234, 2026-01-01')
    monkeypatch.setattr(subprocess, 'run', run)

    def taken(measurement):
        return command._take(measurement, str(bundle), folder, False, True)['summary']
    assert taken(export) == {}
    assert taken(drives) == {}
    write_bundle(bundle, actions=(0.1, 0.0, 0.0))
    assert taken(export) == {}, 'it was in the way'


def test_measurements_are_kept_for_the_same_command_and_bundle(tmp_path, monkeypatch):
    calls = []

    def run(words, **_):
        calls.append(words)
        assert words[0] == sys.executable and words[-3:-1] == ['--json', '--out']
        return SimpleNamespace(stdout=json.dumps(summary()), returncode=0)
    monkeypatch.setattr(command, 'made', lambda: 'abc1234, 2026-01-01')
    monkeypatch.setattr(subprocess, 'run', run)
    bundle = write_bundle(tmp_path / 'bundle')
    take = [MEASUREMENTS[0], str(bundle), tmp_path / 'results', False]
    assert command._take(*take, False) is None and not calls
    first = command._take(*take, True)
    assert first['summary'] == summary() and first['made'].startswith('abc1234, 20')
    assert command._take(*take, True) == first and len(calls) == 1
    write_bundle(bundle, actions=(0.1, 0.0, 0.0))
    command._take(*take, True)
    assert len(calls) == 2, 'another bundle must be measured anew'
    monkeypatch.setattr(subprocess, 'run', lambda *a, **k: SimpleNamespace(
        stdout='', returncode=1))
    assert command._take(MEASUREMENTS[1], *take[1:], True) is None


def test_what_hours_have_left_beside_the_page_says_when_it_was_made(tmp_path):
    bundle, docs = write_bundle(tmp_path / 'bundle'), tmp_path / 'docs'
    docs.mkdir()
    student = {'episodes': 1000, 'second_rate': 0.96, 'ci95': [-0.005, 0.025]}
    (docs / 'student.json').write_text(json.dumps({**student, 'made': 'abc1234, 2026-01-02'}))
    with pytest.raises(typer.Exit):  # the rest is not measured
        command.results(str(bundle), tmp_path / 'results', docs, only='student', quick=False)
    page = (docs / 'results.md').read_text()
    assert '1. `vla-nav evaluate paired runs/student_drives runs/teacher_drives` (abc1234' in page
