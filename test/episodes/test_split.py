"""Splits are whole, stratified and the same on every machine."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.episodes.split import split_episodes

_EPISODES = st.dictionaries(st.text(min_size=1, max_size=6), st.sampled_from('abc'), max_size=40)


@given(_EPISODES, st.floats(0.05, 0.95), st.integers(0, 5))
def test_every_episode_is_in_one_part_and_every_scenario_in_both(episodes, share, seed):
    train, validation = split_episodes(episodes, share, seed)
    assert sorted(train + validation) == sorted(episodes)
    for scenario, count in Counter(episodes.values()).items():
        held = sum(episodes[name] == scenario for name in validation)
        if count > 1:
            assert 1 <= held < count
            assert abs(held - share * count) <= 1


@given(st.integers(2, 30), st.floats(0.05, 0.95))
def test_scenarios_of_one_episode_share_one_stratum(count, share):
    train, validation = split_episodes({f'{i}.h5': f'scene {i}' for i in range(count)}, share)
    assert train and abs(len(validation) - share * count) <= 1 <= len(validation)


@given(_EPISODES, st.randoms())
def test_order_of_files_does_not_matter(episodes, random):
    shuffled = list(episodes.items())
    random.shuffle(shuffled)
    assert split_episodes(dict(shuffled)) == split_episodes(episodes)


def test_known_answer_and_seed():
    episodes = {f'{i:02d}.h5': 'one' for i in range(20)}
    assert split_episodes(episodes, 0.1)[1] == ['14.h5', '17.h5']
    assert len({tuple(split_episodes(episodes, 0.1, seed)[1]) for seed in range(5)}) > 1


@pytest.mark.parametrize('share', [0.0, 1.0, -1.0])
def test_shares_that_leave_a_part_empty_are_refused(share):
    with pytest.raises(ValueError, match='validation_share'):
        split_episodes({'a': 'x'}, share)
