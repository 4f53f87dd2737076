"""A policy's blind twins: how far it gets without the words, or without the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_nav.contracts import ActionChunk, Frame, Policy
from vla_nav.language.intent import FEATURE_SIZE, Intent
from vla_nav.language.reader import Reading
from vla_nav.runtimes.ensemble import Ensemble
from vla_nav.runtimes.graph_policy import GraphPolicy
from vla_nav.runtimes.stepping import SteppingPolicy

_GREY = 128


class _Twin:
    """Another policy, but for what a subclass takes from it."""

    def __init__(self, policy: Policy) -> None:
        """Wrap ``policy``."""
        self._policy = policy
        self.spec = policy.spec

    def reset(self) -> None:
        """Forget the past."""
        self._policy.reset()

    def set_instruction(self, text: str) -> str:
        """Pass the text on."""
        return self._policy.set_instruction(text)

    def act(self, frame: Frame) -> ActionChunk:
        """Act on the frame."""
        return self._policy.act(frame)


class TextBlindPolicy(_Twin):
    """A policy whose networks get no words: all-zero features, an empty text.

    A bundle refuses an empty text and stands still, which says nothing about its network; this
    asks the network itself how far it gets without the words. The wrapped policy gets its words
    back with its next own instruction.
    """

    def set_instruction(self, text: str) -> str:
        """Ignore the text."""
        _tell_nothing(self._policy)
        return 'nothing'


class ImageBlindPolicy(_Twin):
    """A policy that is shown an even grey instead of the picture."""

    def act(self, frame: Frame) -> ActionChunk:
        """Act on a grey picture of the same size and stamp."""
        return self._policy.act(replace(frame, image=np.full_like(frame.image, _GREY)))


def _tell_nothing(policy: Policy) -> None:
    if isinstance(policy, Ensemble):
        for member, _ in policy._members:
            _tell_nothing(member)
    elif isinstance(policy, SteppingPolicy):
        zeros = Reading(np.zeros(FEATURE_SIZE, np.float32), Intent('left', 'cup'), 0.0)
        policy.reset()
        # An exported network takes features alone; others also read the text, which is empty.
        policy._told = policy._told_by('', zeros if isinstance(policy, GraphPolicy) else None)
