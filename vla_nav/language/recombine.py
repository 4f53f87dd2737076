"""More training patterns from the grammar's own: each way of passing in each way of asking.

The grammar writes whole sentences; here the routes of its *training* patterns are taken out and
put together anew, so that a reader learns the parts and not the sentences.
"""

from __future__ import annotations

import functools
import re

import numpy as np

from vla_nav.language.grammar import lexicon, templates
from vla_nav.language.lexicon import pick

# A route is what stands before the usual end of a sentence.
_ROUTE = {
    'en': re.compile(r'^([^.;:?]*?)(?:[,;]? and then|[,;]? then|,? and|;) \{stop\} \{goal\}$'),
    'ko': re.compile(r'^([^.,]*?) (?:\{goal\}\{at\} \{halt\}|\{goal\}까지 \{move\})$'),
}
# Openings that need the rest of their own sentence.
_NOT_ALONE = re.compile(r'^(after|when|see|there|before|I want|\[can|first|먼저|우선)\b')
_TO_SECOND = {'box': 'cone', 'side': 'side2', 'other': 'other2', 'its': 'its2', 'it': 'it2',
              'is': 'is2', 'stay': 'stay2'}
_SINGULAR = {'{its2}': 'its', '{it2}': 'it', '{is2}': 'is', '{stay2}': 'stays'}

_ONE = {
    'en': ('ROUTE and {stop} {goal}', 'ROUTE, then {stop} {goal}', 'ROUTE. {stop} {goal}',
           'ROUTE; {stop} {goal}', '{stop} {goal}; ROUTE', '{stop} {goal}. ROUTE',
           'first ROUTE, then {stop} {goal}', 'ROUTE, and after that {stop} {goal}',
           'ROUTE to [get to|reach] {goal}', '{goal}: ROUTE', 'ROUTE and {go} to {goal}',
           'ROUTE, {stop} {goal}', 'ROUTE until you {stop} {goal}', '{go} to {goal}, ROUTE',
           'the goal is {goal}, ROUTE', 'ROUTE and finally {stop} {goal}',
           'you should ROUTE and {stop} {goal}', 'to {stop} {goal}, ROUTE',
           'ROUTE, your target is {goal}', 'on the way to {goal}, ROUTE'),
    'ko': ('ROUTE {goal}{at} {halt}', 'ROUTE, {goal}{at} {halt}', 'ROUTE {goal}까지 {move}',
           'ROUTE {goal}으로/로 {move}', '먼저 ROUTE {goal}{at} {halt}',
           '목표는 {goal}. ROUTE {halt}', 'ROUTE 그다음 {goal}{at} {halt}',
           'ROUTE 이어서 {goal}까지 {move}', '{goal}까지 ROUTE {move}',
           'ROUTE 마지막으로 {goal}{at} {halt}', 'ROUTE {goal} 쪽으로 {move}',
           '우선 ROUTE {goal}{at} {halt}', '{goal}{at} {halt}, ROUTE',
           '{goal}으로/로 ROUTE {move}', 'ROUTE {goal}을/를 찾아 {halt}'),
}
_TWO = {
    'en': ('FIRST, then SECOND, and {stop} {goal}', 'FIRST, SECOND, and {stop} {goal}',
           'FIRST and SECOND, then {stop} {goal}', 'FIRST. then SECOND. {stop} {goal}',
           'first FIRST, then SECOND, and {stop} {goal}', '{stop} {goal}; FIRST and then SECOND',
           'FIRST, after that SECOND, and finally {stop} {goal}', 'FIRST; SECOND; {stop} {goal}',
           '{goal}: FIRST, then SECOND', 'FIRST, next SECOND, and {go} to {goal}',
           'to [get to|reach] {goal}, FIRST, then SECOND', 'FIRST then SECOND then {stop} {goal}',
           '{stop} {goal}. FIRST, then SECOND', 'before you {stop} {goal}, FIRST and SECOND'),
    'ko': ('FIRST SECOND {goal}{at} {halt}', 'FIRST, SECOND {goal}{at} {halt}',
           'FIRST 그다음 SECOND {goal}{at} {halt}', 'FIRST 이어서 SECOND {goal}까지 {move}',
           '먼저 FIRST 다음에 SECOND {goal}{at} {halt}', 'FIRST SECOND {goal}으로/로 {move}',
           '목표는 {goal}. FIRST SECOND {halt}', 'FIRST 그리고 SECOND {goal}{at} {halt}',
           '{goal}까지 FIRST SECOND {move}', 'FIRST SECOND 마지막으로 {goal}{at} {halt}'),
}


# The share of training sentences that are the grammar's own.
_OWN = 0.4


def draw(rng: np.random.Generator, language: str, split: str, two_gates: bool) -> str:
    """Return a pattern to learn from (own or recombined), or a held-out one to test with."""
    if split == 'train' and rng.random() >= _OWN:
        return pick(recombined(language, two_gates), rng)
    return pick(templates(language, split, two_gates), rng)


@functools.cache
def routes(language: str) -> tuple[str, ...]:
    """Return the ways of passing the box in the training patterns."""
    found = (_ROUTE[language].match(pattern) for pattern in templates(language, 'train', False))
    return tuple(match[1] for match in found if match and not _NOT_ALONE.match(match[1]))


@functools.cache
def recombined(language: str, two_gates: bool) -> tuple[str, ...]:
    """Return patterns made of training routes; none is one of the grammar's own."""
    words = lexicon(language)
    if two_gates:
        made = (frame.replace('FIRST', first).replace('SECOND', _second(second))
                for frame in _TWO[language] for first in routes(language)
                for second in routes(language))
    else:
        made = (frame.replace('ROUTE', route)
                for frame in _ONE[language] for route in routes(language))
    own = {*words.one_gate, *words.two_gate}
    return tuple(pattern for pattern in made if pattern not in own)


def _second(route: str) -> str:
    """Return the route of a box as one of the cone, which is always one."""
    route = re.sub(r'\{(\w+)\}', lambda match: f'{{{_TO_SECOND.get(match[1], match[1])}}}', route)
    for name, word in _SINGULAR.items():
        route = route.replace(name, word)
    return route
