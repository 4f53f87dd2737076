"""Two folders of the same episodes are compared; of others, nothing is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vla_nav.evaluation.closed_loop import Settings, run
from vla_nav.evaluation.paired import compare
from vla_nav.evaluation.records import write_records


@pytest.fixture
def folders(tmp_path):
    """Return two folders of four episodes: three won of the first, one of the second."""
    record = run(Settings('straight', 1))[0]
    for name, wins in (('a', (True, True, False, True)), ('b', (False, True, False, False))):
        (tmp_path / name).mkdir()
        write_records(tmp_path / name / 'episodes.jsonl', [
            replace(record, index=i, seed=i, success=win) for i, win in enumerate(wins)])
    return tmp_path / 'a', tmp_path / 'b'


def test_the_difference_is_that_of_the_episodes_where_they_differ(folders):
    found = compare(*folders)
    assert (found['first_rate'], found['second_rate']) == (0.75, 0.25)
    assert found['difference'] == 0.5 and found['ci95'][0] < 0.5 < found['ci95'][1]
    assert (found['only_first'], found['only_second'], found['p']) == (2, 0, 0.5)
    low, high = compare(*reversed(folders))['ci95']
    assert [-high, -low] == pytest.approx(found['ci95'])


def test_other_episodes_are_refused(folders):
    path = folders[1] / 'episodes.jsonl'
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(ValueError, match='not the same'):
        compare(*folders)
