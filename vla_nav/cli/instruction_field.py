"""The line in the live terminal into which a person types an instruction."""

from __future__ import annotations

import re
import unicodedata

# What arrows and other special keys send is one token; Escape by itself is another.
_TOKENS = re.compile(r'\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[A-Za-z]|.', re.DOTALL)
_ENTER, _ESCAPE, _BACKSPACE = '\r\n', '\x1b', '\x7f\b'
# Enter as well: under a Korean input method the key "i" is a vowel.
_OPEN = f'i{_ENTER}'


class InstructionField:
    """Closed until ``i`` or Enter opens it; then Enter sends, and Escape leaves it.

    ``text`` is what has been typed so far, None while closed; ``ended`` whether ``q`` was pressed
    while closed.
    """

    def __init__(self) -> None:
        """Begin closed."""
        self.text: str | None = None
        self.ended = False

    def press(self, keys: str) -> list[str]:
        """Take keys as a terminal sends them; return the instructions that they have sent.

        Enter on nothing but spaces closes the field and sends nothing.
        """
        sent = []
        for key in _TOKENS.findall(keys):
            if self.text is None:
                self.ended = self.ended or key == 'q'
                self.text = '' if key in _OPEN else None
            elif key in _ENTER:
                sent += [text] if (text := self.text.strip()) else []
                self.text = None
            elif key == _ESCAPE:
                self.text = None
            elif key in _BACKSPACE:
                self.text = self.text[:-1]
            elif key.isprintable():
                # Letters that some keyboards send in parts are one, also for backspace.
                self.text = unicodedata.normalize('NFC', self.text + key)
        return sent
