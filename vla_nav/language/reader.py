"""From an instruction in words to the features that steer a policy, or a refusal."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import NotUnderstood, PolicyError
from vla_nav.language import slots
from vla_nav.language.intent import COLOURS, KINDS, OTHER_KINDS, Intent
from vla_nav.language.tokenizer import encode, normalise

UNDERSTOOD_THRESHOLD = 0.5
# Mean over the slots of the probability of the value chosen. A reader that is torn between two
# readings must not pick one, however valid the text looks as a whole.
CONFIDENCE_THRESHOLD = 0.8

_HELP = {
    'en': 'An instruction names the side to pass the box on and the object to stop at ({kinds}; '
          'colours: {colours}). For example: "go round the box on its left and stop at the red '
          'cup".',
    'ko': '지시에는 상자를 지나갈 쪽(왼쪽, 오른쪽)과 멈출 물체({kinds}; {colours})가 '
          '있어야 합니다. 예: "상자를 왼쪽으로 돌아서 빨간 컵 앞에서 멈춰 주세요".',
}
_KOREAN = {'cup': '컵', 'cone': '콘', 'ball': '공', 'thing': '물체', 'bottle': '병',
           'red': '빨강', 'orange': '주황', 'yellow': '노랑', 'green': '초록', 'cyan': '하늘색',
           'blue': '파랑', 'purple': '보라'}


@dataclass(frozen=True)
class Reading:
    """``features`` float32 [13], the most likely intent, and the belief that it is meant."""

    features: NDArray[np.float32]
    intent: Intent
    understood: float


def accepted(understood: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of B texts are taken, from ``understood`` [B, 1] and slot logits."""
    sure = slots.confidence(logits).mean(-1) >= CONFIDENCE_THRESHOLD
    return (understood[..., 0] >= UNDERSTOOD_THRESHOLD) & sure


def help_text(text: str) -> str:
    """Return what an instruction must hold, in the language of the text."""
    hangul = any('HANGUL' in unicodedata.name(letter, '') for letter in text)
    words = [_KOREAN[word] if hangul else word
             for word in (*KINDS, *OTHER_KINDS, *COLOURS)]
    kinds = len(KINDS) + len(OTHER_KINDS)
    return _HELP['ko' if hangul else 'en'].format(kinds=', '.join(words[:kinds]),
                                                  colours=', '.join(words[kinds:]))


class InstructionReader:
    """Reads instructions with an exported network, ``instruction.onnx``."""

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        """Load the network; raise :class:`PolicyError` where that fails."""
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=['CPUExecutionProvider'])
        except Exception as error:
            raise PolicyError(f'{path}: cannot load the instruction reader: {error}') from error
        names = [output.name for output in self._session.get_outputs()]
        if names != ['features', 'understood', 'slots']:
            raise PolicyError(f'{path}: outputs are {names}, expected features, understood and '
                              'slots; export the bundle again')

    def run(self, tokens: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        """Return features [B, 13], understood [B, 1] and slot logits of ids [B, LENGTH]."""
        return tuple(self._session.run(None, {'tokens': tokens}))

    def read(self, text: str) -> Reading:
        """Read one instruction; raise :class:`NotUnderstood` rather than guess."""
        if not normalise(text):
            raise NotUnderstood(f'the instruction is empty. {help_text(text)}')
        features, understood, logits = self.run(encode(text)[None])
        if not (np.isfinite(features).all() and np.isfinite(logits).all()
                and np.isfinite(understood).all()):
            raise PolicyError('the instruction reader gave numbers that are not finite')
        intent = slots.intent_of(slots.most_likely(logits)[0])
        if not accepted(understood, logits)[0]:
            raise NotUnderstood(f'not understood: "{text}" (nearest reading, not taken: '
                                f'{intent.describe()}). {help_text(text)}')
        return Reading(features[0], intent, float(understood[0, 0]))
