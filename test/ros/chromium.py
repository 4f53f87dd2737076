"""A headless Chromium for tests: `python chromium.py URL PICTURE` waits until the page shows
colours, and keeps in PICTURE what it has seen last.

Chromium comes as Qt's web engine. Exits with 0 once the page has shown each of the two colours of
the test's picture, one after the other: the picture is there, and it is live.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

# Before Qt is loaded: no screen, no GPU, no sandbox (containers run tests as root).
os.environ['QT_QPA_PLATFORM'] = 'offscreen'
os.environ['QTWEBENGINE_DISABLE_SANDBOX'] = '1'
os.environ['QTWEBENGINE_CHROMIUM_FLAGS'] = (
    '--use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist '
    '--disable-dev-shm-usage')

COLOURS = {'magenta': (255, 0, 255), 'green': (0, 255, 0)}
_PIXELS = 400  # more than any letter or line of the page has in such a colour
_TOLERANCE, _EVERY_MS, _STEP = 24, 500, 4


def main(address, picture):
    # Here, since tests read COLOURS: Chromium stays out of their process.
    from PyQt6.QtCore import QTimer, QUrl
    from PyQt6.QtWebEngineWidgets import QWebEngineView
    from PyQt6.QtWidgets import QApplication
    application = QApplication(sys.argv[:1])
    view = QWebEngineView()
    view.resize(900, 600)
    view.show()
    seen = []

    def look():
        image = view.grab().toImage()
        image.save(picture)
        shown = colours_in(image)
        if len(shown) == 1 and shown[0] not in seen:
            seen.extend(shown)
            print('sees', *shown, flush=True)
        if len(seen) == len(COLOURS):
            application.quit()
    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(_EVERY_MS)
    view.load(QUrl(address))
    return application.exec()


def colours_in(image):
    """Return the names of the colours that fill a part of the page."""
    small = image.scaled(image.width() // _STEP, image.height() // _STEP)
    counts = Counter(small.pixelColor(x, y).getRgb()[:3]
                     for x in range(small.width()) for y in range(small.height()))
    return [name for name, colour in COLOURS.items() if _PIXELS < _STEP ** 2 * sum(
        count for found, count in counts.items()
        if max(abs(a - b) for a, b in zip(found, colour)) <= _TOLERANCE)]


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2]))
