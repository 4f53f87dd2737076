"""The bench of crews drives the same episodes with each, and says how fast."""

from __future__ import annotations

import yaml

from vla_nav.evaluation.bench_crew import measure


def test_each_crew_drives_the_same_episodes(tmp_path):
    path, said = tmp_path / 'tiny.yaml', []
    path.write_text(yaml.safe_dump({
        'name': 'tiny', 'version': '1', 'first_seed': 5_000_000, 'episodes': 2,
        'rows': [{'name': 'plain', 'title': 'plain scenes'}]}))
    result = measure(str(path), 'expert', 2, (1, 2), 1, lambda *step: said.append(step))
    assert result['episodes'] == 2 and result['identical']
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert result['speedup'][1] == 1.0 and result['speedup'][2] > 0
    assert result['passed'] is (result['speedup'][2] >= result['bound'])
