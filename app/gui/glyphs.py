"""The glyphs of the Phosphor font that the window uses: name -> code point.

The names and code points are those of Phosphor 1.3.0. `packaging/make_icons.py` cuts the font down to this list, so a new name here needs
that script to run again; a test compares the two.
"""

from __future__ import annotations

from typing import Final

GLYPHS: Final[dict[str, int]] = {
    "activity": 0xF371,
    "app-window": 0xF007,
    "arrow-bend-down-right": 0xF011,
    "arrow-clockwise": 0xF020,
    "arrow-down": 0xF022,
    "arrow-line-right": 0xF040,
    "arrow-right": 0xF044,
    "brackets-curly": 0xF09B,
    "caret-down": 0xF0C2,
    "caret-right": 0xF0C4,
    "caret-up": 0xF0C5,
    "chart-bar": 0xF0D2,
    "check": 0xF0E7,
    "check-circle-fill": 0xF851,
    "circle-dashed": 0xF0ED,
    "code": 0xF10A,
    "copy": 0xF114,
    "desktop": 0xF12E,
    "dots-three": 0xF145,
    "eye": 0xF15B,
    "eye-slash": 0xF15E,
    "file-text": 0xF170,
    "funnel": 0xF196,
    "git-branch": 0xF1A6,
    "globe": 0xF1AF,
    "hard-drives": 0xF1C4,
    "hourglass": 0xF1D0,
    "house-simple": 0xF1DA,
    "info-fill": 0xF94A,
    "key": 0xF1E4,
    "key-fill": 0xF94F,
    "list": 0xF1FA,
    "lock-key-fill": 0xF96A,
    "lock-key-open": 0xF201,
    "magnifying-glass": 0xF20A,
    "minus-circle": 0xF21B,
    "minus-circle-fill": 0xF984,
    "paper-plane-tilt": 0xF25C,
    "pause": 0xF25E,
    "pencil-simple": 0xF266,
    "play": 0xF27C,
    "plus": 0xF27F,
    "power": 0xF284,
    "prohibit": 0xF289,
    "record-fill": 0xFA05,
    "terminal-window": 0xF30E,
    "trash": 0xF334,
    "warning-fill": 0xFAC7,
    "x": 0xF36D,
    "x-circle-fill": 0xFAD7,
}
