"""The one door in: the window (no verb), `serve`, the command line's verbs, and the children that the keeper starts.

Imports are late on purpose: a child loads only what its process is allowed to know, and it loads it after it has given up what it will
never need. What a package does when it is imported happens behind the locks, too.

A child is started as this file, isolated and without the folders of packages, so that nothing which lies in one runs before the locks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.system.sandbox import Role

CHILDREN: Final = ("engine", "gui", "vault", "writer")
ROLES: Final[dict[str, Role]] = {"engine": "engine", "gui": "window", "vault": "vault", "writer": "writer"}


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    child = arguments[0] if arguments else ""
    if child in CHILDREN:
        _lock(child)
    if child == "engine":
        from app.engine.main import run as run_engine  # noqa: PLC0415

        return run_engine(arguments[1:])
    if child == "gui":
        from app.gui.main import run as run_window  # noqa: PLC0415

        return run_window(arguments[1:])
    if child == "vault":
        from app.keeper.vault_child import run as run_vault  # noqa: PLC0415

        return run_vault(arguments[1:])
    if child == "writer":
        from app.keeper.writer_child import run as run_writer  # noqa: PLC0415

        return run_writer(arguments[1:])
    from app.cli import main as run_verb  # noqa: PLC0415

    return run_verb(arguments)


def _find_modules() -> None:
    """Of an isolated child: ours, then what the keeper named (`environment.module_folders`), all after the standard library."""
    if sys.flags.isolated and sys.flags.no_site:
        sys.path.append(str(Path(__file__).resolve().parents[1]))
        from app.system.environment import MODULES  # noqa: PLC0415

        sys.path += [folder for folder in os.environ.pop(MODULES, "").split(os.pathsep) if folder]


def _lock(child: str) -> None:
    from app.egress import tripwire  # noqa: PLC0415
    from app.system import sandbox  # noqa: PLC0415
    from app.system.environment import FOLDER  # noqa: PLC0415

    role, folder = ROLES[child], os.environ.pop(FOLDER, "")
    sandbox.lock(role, folder=Path(folder) if folder else None)
    tripwire.arm(role)


def window() -> int:
    """The entry a double click uses: the window, whatever was on the command line besides."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    _find_modules()
    sys.exit(main())
