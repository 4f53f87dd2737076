"""Slots, features and intents say the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.language import slots
from vla_nav.language.intent import COLOURS, KINDS, OTHER_KINDS, SIDES, Intent

INTENTS = st.builds(
    Intent, st.sampled_from(SIDES), st.sampled_from(KINDS + OTHER_KINDS),
    st.sampled_from((None, *COLOURS)), st.sampled_from((None, *SIDES)))


def certain(intent: Intent) -> np.ndarray:
    """Return slot probabilities [TOTAL] of an intent without doubt."""
    return np.concatenate([np.eye(size, dtype=np.float32)[label]
                           for size, label in zip(slots.SIZES, slots.labels(intent))])


@given(INTENTS)
def test_labels_round_trip(intent: Intent) -> None:
    """Each intent is one combination of slot values, and back."""
    assert slots.intent_of(slots.labels(intent)) == intent


@given(INTENTS)
def test_certain_slots_give_the_intents_features(intent: Intent) -> None:
    """The slots' features and the intent's own agree."""
    np.testing.assert_allclose(slots.features(certain(intent)), intent.features(), atol=1e-6)


@given(INTENTS, INTENTS, st.floats(0, 1))
def test_features_are_an_expectation(one: Intent, other: Intent, weight: float) -> None:
    """Doubt between two readings gives features in between."""
    mixed = slots.features(np.float32(weight) * certain(one)
                           + np.float32(1 - weight) * certain(other))
    expected = weight * one.features() + (1 - weight) * other.features()
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


@given(INTENTS)
def test_logits_give_values_and_confidence(intent: Intent) -> None:
    """Strong logits are confident; flat ones have the confidence of a guess."""
    logits = 50 * certain(intent)
    np.testing.assert_array_equal(slots.most_likely(logits), slots.labels(intent))
    np.testing.assert_allclose(slots.confidence(logits), 1.0, atol=1e-6)
    flat = slots.confidence(np.zeros(slots.TOTAL, np.float32))
    np.testing.assert_allclose(flat, [1 / size for size in slots.SIZES], atol=1e-6)
