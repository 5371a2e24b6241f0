"""Handing a page to the person's browser. The caller decides which; here is only how."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping


def open_page(url: str, environment: Mapping[str, str]) -> bool:
    """Ask the desktop to open an https page. False when it has no way to. Does not wait for the browser."""
    if not url.startswith("https://"):
        return False
    try:
        if sys.platform == "win32":
            os.startfile(url)  # noqa: S606 - an https address of our own list
        else:
            command = "/usr/bin/open" if sys.platform == "darwin" else "xdg-open"
            opener = subprocess.Popen(
                [command, url],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            threading.Thread(target=opener.wait, name="open-page", daemon=True).start()  # leaves no zombie
    except OSError:
        return False
    return True
