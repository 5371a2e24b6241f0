"""From the command to a window that shows something, on a virtual display of its own (Xvfb), so that no screen is needed or disturbed."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, Scale, SkippedError
from tests.bench.processes import end, python, running, until
from tests.bench.rig import Rig
from tests.gateway import free_port

TITLE = "^Gatehouse"
_LIMIT_S = 30.0
_WIDTH, _HEIGHT = 1280, 800
_SHADES = 16  # smooth text alone has more


def window(rig: Rig, scale: Scale) -> Iterator[Figure]:
    """mapped: the system has the window. painted: text and shapes are on the screen, read from the display's memory."""
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        raise SkippedError("it needs Xvfb and xdotool (Debian: apt install xvfb xdotool)")
    folder = rig.folder / "window"
    folder.mkdir(mode=0o700)
    with _display(folder) as (display, screen):
        took = [_open(rig, folder, display, screen) for _ in range(scale.windows + 1)][1:]  # the first one warms the caches
    yield Figure(part="window", name="from the command to the window mapped", unit="ms", values={"gateway": [mapped for mapped, _ in took]})
    yield Figure(
        part="window", name="from the command to the window painted", unit="ms", values={"gateway": [shown for _, shown in took]}, goal=1500
    )


class _Screen:
    """The picture of the virtual display, as XWD in a file (X.org: XWDFile.h)."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._pixels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        head = struct.unpack(">25I", self._pixels[:100])
        self._start, self._line = head[0] + head[19] * 12, head[12]

    def colours(self) -> int:
        """How many different ones, looking at every fourth line."""
        lines = (self._pixels[self._start + y * self._line : self._start + (y + 1) * self._line] for y in range(0, _HEIGHT, 4))
        return len({colour for line in lines for colour in memoryview(line).cast("I")})

    def close(self) -> None:
        self._pixels.close()


@contextlib.contextmanager
def _display(folder: Path) -> Iterator[tuple[str, _Screen]]:
    read, write = os.pipe()
    words = [
        "Xvfb",
        "-displayfd",
        str(write),
        "-screen",
        "0",
        f"{_WIDTH}x{_HEIGHT}x24",
        "-fbdir",
        str(folder),
        "-nolisten",
        "tcp",
        "-noreset",
    ]
    process = subprocess.Popen(words, pass_fds=(write,), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        os.close(write)
        with os.fdopen(read) as told:
            number = told.readline().strip()
        screen = _Screen(folder / "Xvfb_screen0")
        try:
            yield f":{number}", screen
        finally:
            screen.close()
    finally:
        end(process)


def _open(rig: Rig, folder: Path, display: str, screen: _Screen) -> tuple[float, float]:
    """Milliseconds until the window was mapped, and until it was painted. The app is ended again."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "WAYLAND_DISPLAY")}
    environment |= {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
    blank = screen.colours()
    words = python("app", "--data-dir", str(folder / "data"), "--port", str(free_port()), "--vault", "session")
    search = ["xdotool", "search", "--sync", "--onlyvisible", "--limit", "1", "--name", TITLE]
    began = time.monotonic()
    mapped = 0.0
    with running(words, environment=environment) as app, running(search, environment=environment) as finder:

        def painted() -> bool:
            nonlocal mapped
            if app.poll() is not None:
                raise RuntimeError(f"the app ended with code {app.returncode}")
            if not mapped and finder.poll() == 0:
                mapped = time.monotonic()
            return bool(mapped) and screen.colours() > blank + _SHADES

        until(painted, "the window", _LIMIT_S)
        shown = time.monotonic()
    until(lambda: screen.colours() <= blank + _SHADES, "the window to go", 10)
    return (mapped - began) * 1000, (shown - began) * 1000
