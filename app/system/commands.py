"""Commands that a person is shown, to be pasted into the system's shell."""

from __future__ import annotations

import shlex
import sys


def word(text: str) -> str:
    """As one word of such a command."""
    if sys.platform == "win32":
        return f'"{text}"' if set(text) & set(" &()'^%;,=") else text
    else:  # noqa: RET505 - for the type checker, which looks at one system at a time
        return shlex.quote(text)
