import pytest

from vla_nav.control.diagnostics import Latency, OnChange, Rate, percentiles_ms

MS = 1_000_000


def test_rate_counts_intervals_in_the_window_and_falls_to_zero():
    rate = Rate()
    for k in range(21):
        rate.tick(k * 50 * MS)
    assert rate.per_second(1000 * MS) == pytest.approx(20.0)
    assert rate.per_second(10_000 * MS) == 0.0


def test_percentiles():
    assert percentiles_ms([]) == {}
    latency = Latency()
    for k in range(1, 102):
        latency.add(k * MS)
    found = latency.milliseconds()
    assert found['p50'] == pytest.approx(51) and found['max'] == 101
    assert found['p50'] <= found['p95'] <= found['p99'] <= found['max']


def test_on_change_speaks_once():
    change = OnChange()
    assert [change.changed(v) for v in (None, None, 'a', 'a', None)] == [
        True, False, True, False, True]
