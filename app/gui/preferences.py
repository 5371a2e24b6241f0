"""What the window remembers between runs: its size, the text size, which base URL is copied, what closing means.

A small file in the window's folder, not the system's settings store, so that one data folder is one installation and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from app.gui.state import Dialect
from app.gui.theme import SCALES
from app.system.files import open_own

OnClose = Literal["ask", "tray", "quit"]
_NAME: Final = "window.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    width: int = 1240
    height: int = 820
    maximised: bool = False
    scale: float = 1.0
    dialect: Dialect = "openai"
    on_close: OnClose = "ask"


def load(folder: Path) -> Preferences:
    """What was remembered; what is missing or makes no sense is the default."""
    try:
        found: Any = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Preferences()
    if not isinstance(found, dict):
        return Preferences()
    default = Preferences()
    width, height = found.get("width"), found.get("height")
    fits = isinstance(width, int) and isinstance(height, int) and 960 <= width <= 16384 and 640 <= height <= 16384
    return replace(
        default,
        width=width if fits and isinstance(width, int) else default.width,
        height=height if fits and isinstance(height, int) else default.height,
        maximised=found.get("maximised") is True,
        scale=found["scale"] if found.get("scale") in SCALES else default.scale,
        dialect="anthropic" if found.get("dialect") == "anthropic" else "openai",
        on_close=found["on_close"] if found.get("on_close") in ("ask", "tray", "quit") else default.on_close,
    )


def save(folder: Path, preferences: Preferences) -> None:
    """Writes them in one step. A folder that cannot be written costs the memory, not the window."""
    path = folder / _NAME
    fresh = path.with_suffix(".json.new")
    with contextlib.suppress(OSError):
        descriptor = open_own(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(preferences), file)
        fresh.replace(path)
