"""Where attacks are: importing a module registers its attacks."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Final

MODULES: Final = (
    "web", "smuggling", "endless", "bodies", "stalls", "crowds", "paths", "members", "channels", "strangers", "folders", "repeated_keys",
    "traces", "exports", "hostile_exports", "providers", "supply",
)  # fmt: skip


def load() -> None:
    if os.name != "posix":
        return
    for name in MODULES:
        import_module(f"tests.attacks.{name}")
