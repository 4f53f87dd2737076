"""A model that thinks for long: how old its pictures get, and how far its chunks must reach.

A chunk comes a delay after its picture, and is driven until the next one comes, another delay
later. So a picture stands behind commands until it is two delays old, and what a chunk says of
the first of these has passed before it comes. The guard slows the robot down for that.
"""

from __future__ import annotations

import math

from vla_nav.contracts import PolicySpec

# A network runs again for a step whose picture was missed only where that takes less than this
# share of the step: a slow one would miss more for it.
_QUICK_SHARE = 0.1
# What a delay is rounded up to where a person is told to state it.
_ROUND_S = 0.05


def allowed_age_s(limit_s: float, model_delay_s: float) -> float:
    """Return how old a picture may be that a bundle limits to ``limit_s``, of a slow model."""
    return limit_s + 2 * model_delay_s


def blind_speed(blind_distance_m: float, limit_s: float) -> float:
    """Return the speed, m/s, at which no more than a distance is driven on one picture."""
    return blind_distance_m / limit_s


def has_time_to_catch_up(thinking_s: float, step_s: float) -> bool:
    """Return whether a network may run again for each step whose picture it has missed."""
    return thinking_s < _QUICK_SHARE * step_s


def too_slow(spec: PolicySpec, thinking_s: float, period_s: float, model_delay_s: float,
             reach_s: float) -> str:
    """Return why the robot stops in between, and what helps; '' where it drives on.

    ``thinking_s`` is how long the model takes, ``period_s`` the time between two pictures,
    ``model_delay_s`` what the guard was told. ``reach_s`` is how far a chunk reaches as it is
    driven, which for a slow model is longer than it was given.
    """
    if thinking_s <= period_s:
        return ''  # then it is the camera that sets the pace
    oldest_s = 2 * thinking_s + period_s
    limit_s = allowed_age_s(spec.max_observation_age_s, model_delay_s)
    if oldest_s > limit_s:
        delay_s = math.ceil(thinking_s / _ROUND_S) * _ROUND_S
        return (f'thinking takes {thinking_s:.2f} s, so that pictures get {oldest_s:.2f} s old, '
                f'and the guard allows {limit_s:.2f} s: start with model_delay:={delay_s:.2f}, '
                'which slows the robot down in turn, or choose a faster runtime')
    if oldest_s > reach_s:
        return (f'thinking takes {thinking_s:.2f} s, and a chunk of {reach_s:.2f} s does not '
                'reach from one to the next: the robot stands in between; choose a faster '
                'runtime (vla-nav bench policy) or a policy with longer chunks')
    return ''
