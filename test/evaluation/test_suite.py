"""A suite is data, driven once, resumed, and compared on the same scenes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml
from typer.testing import CliRunner

from vla_nav.cli import main
from vla_nav.evaluation import suite_run
from vla_nav.evaluation.crew import GivenUp, LocalCrew
from vla_nav.evaluation.suite import Suite, load_suite
from vla_nav.evaluation.suite_ledger import Ledger
from vla_nav.evaluation.suite_summary import holm, summary_of

POLICIES = {'expert': '', 'constant': ''}
TINY = {'name': 'tiny', 'version': '1', 'first_seed': 3_000_000, 'episodes': 2, 'rows': [
    {'name': 'plain', 'title': 'plain scenes', 'condition': {'cells': ['1box_hori_left_close']}},
    {'name': 'slip', 'title': 'wheels slip', 'condition': {'cells': ['1box_hori_left_close']},
     'disturbances': {'slip': 0.2}, 'beside': 'plain'}]}


@pytest.fixture(scope='module')
def tiny():
    return Suite.model_validate(TINY)


class HereCrew:
    """A crew that works in this process, where nothing has to be started."""

    size = 1

    def __init__(self):
        self.done = 0

    def submit(self, work, *arguments):
        from concurrent.futures import Future
        future = Future()
        try:
            future.set_result(work(*arguments))
            self.done += 1
        except Exception as error:
            future.set_exception(error)
        return future

    def renew(self):
        raise AssertionError('nobody dies here')


def driven(folder, suite, hashes=POLICIES, crew=None, episodes=None):
    ledger, crew = Ledger(folder, suite, hashes), crew or HereCrew()
    suite_run.run(suite, hashes, ledger, crew, episodes)
    return ledger, crew


@pytest.fixture(scope='module')
def whole(tmp_path_factory, tiny):
    """Return a folder with all eight episodes, and its ledger."""
    folder = tmp_path_factory.mktemp('whole')
    return folder, driven(folder, tiny)[0]


def test_the_standard_suite_has_what_it_promises():
    suite = load_suite('standard')
    rows = {row.name: row for row in suite.rows}
    changed = {name for row in suite.rows for name in row.disturbances.changed()}
    assert changed == {'noise', 'blur', 'exposure', 'late_ms', 'dropped', 'slip', 'push_n',
                       'camera'}
    conditions = {name: row.condition for name, row in rows.items()}
    assert conditions['paraphrased'].heldout == 'phrasings'
    assert conditions['misspelt'].text == 'misspelt' and conditions['korean'].language == 'ko'
    assert conditions['appearance'].heldout == 'appearance' and rows['slow'].delay_ms
    jobs = {name: suite.settings(row, 'expert').jobs() for name, row in rows.items()}
    for row in suite.rows:
        assert not row.beside or jobs[row.name] == jobs[row.beside]


@pytest.mark.parametrize(('change', 'told'), [
    ({'condition': {'text': 'loud'}}, 'text must be one of'),
    ({'condition': {'weather': 'fog'}}, 'weather'), ({'disturbances': {'fog': 1}}, 'fog'),
    ({'beside': 'plane'}, "beside is 'plane'"), ({'name': 'plain'}, 'the same name'),
    ({'condition': {'heldout': 'layouts'}}, 'has other scenes'),
    ({'disturbances': {'key': 'mine'}}, 'made from the names')])
def test_a_wrong_row_is_refused_with_the_file_and_the_reason(tmp_path, change, told):
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump({**TINY, 'rows': [TINY['rows'][0],
                                                     {**TINY['rows'][1], **change}]}))
    with pytest.raises(ValueError, match=f'mine.yaml(.|\n)*{told}'):
        load_suite(str(path))


def test_an_unknown_suite_names_those_there_are():
    with pytest.raises(ValueError, match='shipped are standard'):
        load_suite('hard')


def test_each_episode_is_driven_once_and_disturbed_rows_drive_the_same_scenes(whole):
    _, ledger = whole
    assert len(ledger.lines) == 8
    for policy in POLICIES:
        plain, slip = (ledger.lines[policy, row, 0].record for row in ('plain', 'slip'))
        assert (plain.seed, plain.cell, plain.instruction) == (slip.seed, slip.cell,
                                                               slip.instruction)
        assert plain.path_length_m != slip.path_length_m


def test_an_interrupted_run_goes_on_and_ends_with_the_same_file(tmp_path, tiny, whole):
    lines = (whole[0] / 'episodes.jsonl').read_text().splitlines(keepends=True)
    (tmp_path / 'suite.json').write_bytes((whole[0] / 'suite.json').read_bytes())
    (tmp_path / 'episodes.jsonl').write_text(''.join(lines[5:]) + lines[0] + lines[1][:40])
    _, crew = driven(tmp_path, tiny)
    assert crew.done == 4
    assert (tmp_path / 'episodes.jsonl').read_text() == ''.join(lines)


def test_more_episodes_and_policies_join_those_that_are_there(tmp_path, tiny):
    one = {'constant': ''}
    assert driven(tmp_path, tiny, one, episodes=1)[1].done == 2
    assert driven(tmp_path, tiny, one)[1].done == 2
    ledger, crew = driven(tmp_path, tiny, one, episodes=1)
    assert crew.done == 0
    assert {len(rows) for rows in suite_run.chosen(tiny, ['constant'], ledger, 1)[
        'constant'].values()} == {1}


def test_episodes_of_another_suite_or_bundle_are_refused(tmp_path, tiny):
    Ledger(tmp_path, tiny, {'a': 'hash of a'})
    Ledger(tmp_path, tiny, {'b': 'hash of b'})
    for suite, hashes in ((tiny.model_copy(update={'version': '2'}), {'a': 'hash of a'}),
                          (tiny.model_copy(update={'first_seed': 4_000_000}), {}),
                          (tiny, {'a': 'another hash'})):
        with pytest.raises(ValueError, match='choose another folder'):
            Ledger(tmp_path, suite, hashes)


def test_a_damaged_line_is_named(tmp_path, tiny):
    Ledger(tmp_path, tiny, {})
    (tmp_path / 'episodes.jsonl').write_text('{"policy": "expert"}\n')
    with pytest.raises(ValueError, match='line 1: not an episode'):
        Ledger(tmp_path, tiny, {})


def test_processes_drive_what_one_drives(tmp_path, tiny, whole):
    with LocalCrew(2) as crew:
        driven(tmp_path, tiny, crew=crew, episodes=1)
    ledger = whole[1]
    for key, line in Ledger(tmp_path, tiny, POLICIES).lines.items():
        assert line == ledger.lines[key]


def test_what_cannot_be_driven_is_named_and_the_rest_is_kept(tmp_path, tiny, monkeypatch):
    drive = suite_run.drive_episode

    def unlucky(settings, statistics, index, seed, cell):
        if (settings.policy, index) == ('constant', 1):
            raise MemoryError('no memory')
        return drive(settings, statistics, index, seed, cell)
    monkeypatch.setattr(suite_run, 'drive_episode', unlucky)
    with pytest.raises(GivenUp, match=r'2 of 4 episodes(.|\n)*constant, slip, seed 3000001: '
                                      r'failed 3 times.*no memory'):
        driven(tmp_path, tiny, {'constant': ''})
    assert len(Ledger(tmp_path, tiny, {'constant': ''}).lines) == 2


def test_episodes_of_another_kind_of_machine_are_driven_again_here(tmp_path, tiny, whole):
    ledger, about = whole[1], suite_run.recheck(tiny, POLICIES, whole[1], HereCrew())
    assert (about['rechecked'], about['differing']) == (0, 0) and len(about['machines']) == 1
    other = Ledger(tmp_path, tiny, POLICIES)
    first, *lines = ledger.lines.values()
    other.add(replace(first, record=replace(first.record, path_length_m=-1.0),
                      machine='elsewhere'))
    for number, line in enumerate(lines):
        other.add(replace(line, machine='elsewhere') if number < 2 else line)
    about = suite_run.recheck(tiny, POLICIES, other, HereCrew())
    assert (about['rechecked'], about['differing']) == (3, 1)
    assert about['machines']['elsewhere'] == 3


def test_the_summary_pairs_policies_and_rows_on_the_same_scenes(tiny, whole):
    records = suite_run.chosen(tiny, list(POLICIES), whole[1])
    summary = summary_of(tiny, records, POLICIES)
    expert, constant = (summary['policies'][name] for name in POLICIES)
    assert expert['rows']['plain']['success_rate'] == 1.0
    assert constant['success']['value'] == 0.0
    whole_difference = summary['paired']['constant']['success']
    assert whole_difference['value'] == pytest.approx(-expert['success']['value'])
    row = summary['paired']['constant']['rows']['plain']
    assert (row['only_first'], row['only_second'], row['p']) == (0, 2, 0.5)
    assert row['p_holm'] == 1.0
    assert 'lost' not in expert['rows']['plain']
    lost = expert['rows']['slip']['lost']
    assert lost['difference'] == 1.0 - expert['rows']['slip']['success_rate']


def test_holms_values_are_those_of_his_procedure():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_the_command_drives_writes_a_page_that_stands_alone_and_goes_on(tmp_path, tiny, whole):
    path, out = tmp_path / 'tiny.yaml', tmp_path / 'out'
    path.write_text(yaml.safe_dump(TINY))
    out.mkdir()
    for name in ('suite.json', 'episodes.jsonl'):  # all but one episode
        text = (whole[0] / name).read_text()
        (out / name).write_text(text if name == 'suite.json' else text.partition('\n')[2])
    arguments = ['evaluate', 'closed-loop', '--suite', str(path), '--policies', 'expert',
                 '--policies', 'constant', '--workers', '1', '--out', str(out), '--pictures', '1']
    result = CliRunner().invoke(main.build(arguments), arguments)
    assert result.exit_code == 0, result.output
    assert 'constant minus expert' in result.output
    assert (out / 'episodes.jsonl').read_bytes() == (whole[0] / 'episodes.jsonl').read_bytes()
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['policies']['expert']['rows']['plain']['success_rate'] == 1.0
    page = (out / 'index.html').read_text()
    assert 'constant minus expert' in page and 'src="data:video/mp4' in page
    assert 'wheels slip' in page and '://' not in page


@pytest.mark.parametrize(('arguments', 'told'), [
    (('--suite', 'standard', '--heldout', 'layouts'), '--heldout'),
    (('--policies', 'expert'), '--suite'), (('--ray-address', 'auto'), '--suite')])
def test_options_that_would_change_nothing_are_refused(arguments, told):
    line = ['evaluate', 'closed-loop', *arguments]
    result = CliRunner().invoke(main.build(line), line)
    assert result.exit_code == 2 and told in ' '.join(result.output.split())
