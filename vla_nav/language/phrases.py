"""The few ways to name the task of a policy that knows only one."""

from __future__ import annotations

from collections.abc import Sequence

from vla_nav.contracts import NotUnderstood
from vla_nav.language.tokenizer import normalise


def match_phrase(text: str, phrases: Sequence[str]) -> str:
    """Return the phrase that ``text`` is, whatever its case, spaces and final stop.

    A policy without an ear for language would do its task whatever it is told, "stop" included;
    so anything else raises NotUnderstood, which names what is taken.
    """
    said = _bare(text)
    for phrase in phrases:
        if _bare(phrase) == said:
            return phrase
    raise NotUnderstood(f'not understood: "{text}". This policy knows one task and takes only: '
                        + ', '.join(f'"{phrase}"' for phrase in phrases))


def _bare(text: str) -> str:
    return normalise(text).rstrip(' .!')
