"""Many bags: pooled figures, a folder and a link for each, what goes on where it was cut off."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace
from pathlib import Path

import pytest
from bags import drive, write_bag
from bundles import write_bundle
from typer.testing import CliRunner

from vla_nav.cli.main import build
from vla_nav.episodes.schema import EpisodeError
from vla_nav.evaluation.crew import LocalCrew
from vla_nav.replay.many import evaluate_bags, name_bags, read_summary
from vla_nav.replay.pooled import pooled
from vla_nav.replay.settings import ReplaySettings

_SAID = 'stop at the red ball'


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp('constant'), (0.3, 0.0, 0.0))


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bags')
    write_bag(folder / 'monday' / 'take', drive(30, speed=0.25))
    write_bag(folder / 'tuesday' / 'take', drive(10, speed=0.5), 'sqlite3')
    (folder / 'broken').mkdir()
    (folder / 'broken' / 'broken.mcap').write_bytes(b'nothing')
    return folder


def _settings(bundle):
    return ReplaySettings(str(bundle), _SAID, blind=False)


def _call(*words):
    words = ['evaluate', 'bag', *map(str, words), '--instruction', _SAID, '--no-blind']
    return CliRunner().invoke(build(words), words)


def test_bags_of_one_name_are_told_apart_and_predictions_are_no_recordings(bags, tmp_path):
    assert list(name_bags([bags])) == ['broken', 'monday__take', 'tuesday__take']
    write_bag(tmp_path / 'out' / 'predictions', drive(3))
    with pytest.raises(EpisodeError, match='there is none'):
        name_bags([tmp_path])


def test_a_folder_may_be_called_like_a_folder_and_a_bag(tmp_path):
    for name in ('a__b', 'a/b', 'c'):
        write_bag(tmp_path / name, drive(1))
    named = name_bags([tmp_path])
    assert list(named) == ['a__b', 'a__b__2', 'c']
    assert {bag.relative_to(tmp_path).as_posix() for bag in named.values()} == {
        'a__b', 'a/b', 'c'}


class _Mortal:
    """A crew of this process, whose worker dies of some bags."""

    size = 1

    def submit(self, work, *arguments):
        future = Future()
        if arguments[1].parent.name == 'monday':
            future.set_exception(BrokenExecutor('a worker died'))
        else:
            future.set_result(work(*arguments))
        return future

    def renew(self):
        pass


def test_a_bag_that_no_worker_survives_is_told_beside_the_figures_of_the_others(bags, bundle,
                                                                                tmp_path):
    named, out = name_bags([bags]), tmp_path / 'out'
    did: list[str] = []
    runs = evaluate_bags(named, _settings(bundle), out, 'none', _Mortal(), did.append)
    assert sorted(did) == list(named)
    whole = pooled(runs, {'tuesday__take': read_summary(out, 'tuesday__take')})
    assert (whole['bags'], whole['evaluated']) == (3, 1)
    assert 'a worker died' in whole['failed']['monday__take']
    # It is tried again, as what could not be read.
    with LocalCrew(1) as crew:
        runs = evaluate_bags(named, _settings(bundle), out, 'none', crew)
    assert 'error' not in runs['monday__take']


def test_the_parameter_files_content_counts_and_its_place_does_not(bags, bundle, tmp_path,
                                                                   monkeypatch):
    named, out = name_bags([bags / 'tuesday']), tmp_path / 'out'
    params = tmp_path / 'params.yaml'
    monkeypatch.chdir(tmp_path)
    given = []

    def seen(work, *arguments):
        given.append(arguments[2].params_file)
        return _Mortal.submit(crew, work, *arguments)
    crew = _Mortal()
    crew.submit = seen

    def run(path, cap):
        path.write_text(f'guard:\n  ros__parameters:\n    speed_cap: {cap}\n', 'utf-8')
        settings = replace(_settings(bundle), params_file=path)
        return evaluate_bags(named, settings, out, 'none', crew)
    run(Path('params.yaml'), 0.1)
    assert given == [params]  # for workers that stand elsewhere
    run(tmp_path / 'moved.yaml', 0.1)
    assert len(given) == 1
    with pytest.raises(ValueError, match='another policy or other settings'):
        run(params, 0.2)
    with pytest.raises(ValueError, match=r'(?s)params\.yaml.*speed_cap'):
        run(params, 'fast')


def test_errors_are_pooled_over_all_pictures_and_what_is_broken_is_told(bags, bundle, tmp_path):
    out = tmp_path / 'out'
    result = _call('--bag', bags, '--policy', bundle, '--out', out, '--workers', '1')
    assert result.exit_code == 0, result.output
    summary = json.loads((out / 'summary.json').read_text())
    assert (summary['bags'], summary['evaluated']) == (3, 2)
    assert 'nothing can be read' in summary['failed']['broken']
    found = [read_summary(out, name)['errors'] for name in ('monday__take', 'tuesday__take')]
    samples = [one['samples'] for one in found]
    assert summary['errors']['samples'] == sum(samples) == summary['pictures']['evaluated'] == 40
    each = [one['predictors']['policy']['joint']['mae'] for one in found]
    mean = (samples[0] * each[0] + samples[1] * each[1]) / sum(samples)
    assert summary['errors']['mae']['policy']['value'] == pytest.approx(mean)
    page = (out / 'index.html').read_text()
    for name in ('monday__take', 'tuesday__take'):
        assert f'href="{name}/index.html"' in page and (out / name / 'index.html').is_file()
    assert summary['cost']['core_seconds_per_hour'] > 0


def test_a_run_goes_on_where_it_was_whatever_drives_it(bags, bundle, tmp_path):
    named, out = name_bags([bags]), tmp_path / 'out'
    with LocalCrew(1) as crew:
        first = evaluate_bags(named, _settings(bundle), out, 'none', crew)
        # As if it had been killed before the last file of a bag.
        (out / 'monday__take' / 'run.json').unlink()
        did: list[str] = []
        runs = evaluate_bags(named, _settings(bundle), out, 'none', crew, did.append)
    assert sorted(did) == ['broken', 'monday__take']  # what could not be read is tried again
    assert runs['tuesday__take'] == first['tuesday__take']
    alone = tmp_path / 'alone'
    with LocalCrew(2) as crew:
        others = evaluate_bags(named, _settings(bundle), alone, 'none', crew)

    def figures(where, runs):
        whole = pooled(runs, {name: read_summary(where, name)
                              for name in ('monday__take', 'tuesday__take')})
        del whole['cost']
        return whole
    assert figures(out, runs) == figures(alone, others)


def test_bags_of_another_kind_of_machine_are_evaluated_again_here(bags, bundle, tmp_path):
    out = tmp_path / 'out'
    words = ('--bag', bags, '--policy', bundle, '--out', out, '--workers', '1', '--write', 'none')
    assert 'kinds of machine' not in _call(*words).output
    assert json.loads((out / 'summary.json').read_text())['rechecked'] == 0
    for name in ('monday__take', 'tuesday__take'):
        run = json.loads((out / name / 'run.json').read_text())
        (out / name / 'run.json').write_text(json.dumps(run | {'machine': 'elsewhere'}))
    other = read_summary(out, 'monday__take')
    other['errors']['mae']['policy']['value'] += 1e-6
    (out / 'monday__take' / 'summary.json').write_text(json.dumps(other))
    result = _call(*words)
    assert result.exit_code == 0, result.output
    summary = json.loads((out / 'summary.json').read_text())
    assert (summary['rechecked'], summary['differing']) == (2, 1)
    assert summary['machines']['elsewhere'] == 2
    # The damaged bag is tried here each time, so that there are two kinds.
    assert '2 kinds of machine: 1 of 2 bags' in ' '.join(result.output.split())


def test_a_compressed_bag_that_has_changed_is_evaluated_again(bundle, tmp_path):
    named, out = {'take': tmp_path / 'take'}, tmp_path / 'out'
    did: list[str] = []
    for count in (10, 20, 20):
        shutil.rmtree(tmp_path / 'take', ignore_errors=True)
        bag = write_bag(tmp_path / 'take', drive(count), 'sqlite3', compression='file')
        with LocalCrew(1) as crew:
            runs = evaluate_bags(named, _settings(bundle), out, 'none', crew, did.append)
        assert read_summary(out, 'take')['pictures']['evaluated'] == count
        assert runs['take']['bytes'] == (bag / 'take.db3.zstd').stat().st_size
    assert did == ['take'] * 2


def test_another_policy_does_not_mix_with_what_is_there(bags, bundle, tmp_path):
    other = write_bundle(tmp_path / 'other', (0.1, 0.0, 0.0))
    named, out = name_bags([bags / 'monday']), tmp_path / 'out'
    with LocalCrew(1) as crew:
        evaluate_bags(named, _settings(bundle), out, 'none', crew)
        with pytest.raises(ValueError, match='another policy or other settings'):
            evaluate_bags(named, _settings(other), out, 'none', crew)


def test_several_bags_can_be_named_after_one_option(bags, bundle, tmp_path):
    result = _call('--bag', bags / 'monday' / 'take', bags / 'tuesday' / 'take', '--policy',
                   bundle, '--out', tmp_path / 'out', '--workers', '1', '--json')
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)['evaluated'] == 2
