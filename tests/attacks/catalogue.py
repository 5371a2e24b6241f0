"""Where attacks are: importing a module registers its attacks."""

from __future__ import annotations

import os
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from tests.attacks import inside

MODULES: Final = (
    "web", "smuggling", "endless", "bodies", "stalls", "crowds", "paths", "members", "channels", "strangers", "folders", "repeated_keys",
    "traces", "exports", "hostile_exports", "providers", "supply",
)  # fmt: skip


def load() -> None:
    if os.name != "posix":
        return
    for name in MODULES:
        import_module(f"tests.attacks.{name}")
    for found in sorted(each.name for each in iter_modules(inside.__path__)):
        if found[:1] == "i" and found[1:3].isdigit():
            import_module(f"tests.attacks.inside.{found}")
