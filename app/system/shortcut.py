"""The entry in the system's menu that a double click starts: desktop entry (Linux), Start menu link (Windows), Applications (macOS).

`install` writes it anew each time, so it also mends one whose program has moved; `remove` takes away only what `install` made, which it
knows by a mark inside. It works from a source folder as from an installed package.
"""

from __future__ import annotations

import os
import plistlib
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import app
from app.core.errors import AppError
from app.system.folders import unusable

MARK: Final = "gatehouse-shortcut"
_COMMENT: Final = "A private LLM gateway on this machine"
_BUNDLE: Final = "gatehouse-desktop.source"


@dataclass(frozen=True, slots=True)
class Changed:
    """paths: what was written or removed. note: what a person should know besides, or ""."""

    paths: tuple[Path, ...]
    note: str = ""


def install() -> Changed:
    """AppError when this copy cannot be started from elsewhere, when the folder cannot be written, or when a stranger's file is there."""
    command = starting_command()
    try:
        if sys.platform == "win32":
            changed = _install_link(_programs_folder(), command)
        elif sys.platform == "darwin":
            changed = install_bundle(Path.home() / "Applications", command)
        else:
            changed = install_entry(_entries_folder(), command)
    except OSError as error:
        raise unusable(Path(error.filename or "menu"), error) from error
    return changed


def remove() -> Changed:
    try:
        if sys.platform == "win32":
            changed = remove_marked(_programs_folder() / "Gatehouse.lnk", MARK.encode("utf-16-le"))
        elif sys.platform == "darwin":
            changed = remove_bundle(Path.home() / "Applications")
        else:
            changed = remove_marked(_entries_folder() / "gatehouse.desktop", MARK.encode())
    except OSError as error:
        raise unusable(Path(error.filename or "menu"), error) from error
    return changed


def starting_command() -> list[str]:
    """What starts the window from any folder. AppError when this copy can only be started from its own."""
    if getattr(sys, "frozen", False):
        return [sys.executable]
    python = Path(sys.executable)
    windowed = python.with_name("pythonw.exe")
    if sys.platform == "win32" and windowed.is_file():
        python = windowed  # no console window beside ours
    command = [str(python), "-I", "-m", "app"]
    place = "import importlib.util as u; s = u.find_spec('app'); print(s.origin if s else '')"
    found = subprocess.run([sys.executable, "-I", "-c", place], capture_output=True, text=True, check=False).stdout.strip()
    if not found or Path(found).resolve() != Path(app.__file__).resolve():
        raise AppError(
            "data_folder",
            "This copy of Gatehouse can be started from its own folder only, so a double click could not start it.",
            "Start it once with: python3 packaging/dev.py run",
        )
    return command


def resource(name: str) -> Path:
    package = Path(app.__file__).parent
    inside = package / "resources"  # in a wheel or a bundle; beside the package in a source folder
    return (inside if inside.is_dir() else package.parent / "resources") / name


# -- Linux: https://specifications.freedesktop.org/desktop-entry-spec/1.4/


def install_entry(folder: Path, command: list[str]) -> Changed:
    path = folder / "gatehouse.desktop"
    refuse_stranger(path, MARK.encode())
    lines = (
        "[Desktop Entry]",
        "Type=Application",
        "Version=1.4",
        "Name=Gatehouse",
        "GenericName=LLM gateway",
        f"Comment={_COMMENT}",
        f"Exec={_text(' '.join(_quoted(word) for word in command))}",
        f"TryExec={_text(command[0])}",
        f"Icon={_text(str(resource('icons/gatehouse.svg')))}",
        "Terminal=false",
        "Categories=Development;",
        "Keywords=LLM;AI;gateway;proxy;keys;usage;audit;",
        "StartupNotify=true",
        "StartupWMClass=gatehouse",
        f"X-Made-By={MARK}",
    )
    folder.mkdir(parents=True, exist_ok=True)
    _replace(path, ("\n".join(lines) + "\n").encode(), 0o644)
    return Changed((path,))


def _quoted(word: str) -> str:
    """One argument of an Exec line: quoted, with the characters escaped that mean something there, and % doubled (spec, "Exec key")."""
    for special in '\\"`$':
        word = word.replace(special, "\\" + special)
    return '"' + word.replace("%", "%%") + '"'


def _text(value: str) -> str:
    """A value of type string: the backslash escapes, and a line break would end the entry (spec, "Possible value types")."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _entries_folder() -> Path:
    given = os.environ.get("XDG_DATA_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".local" / "share") / "applications"


# -- macOS: a bundle whose program is a two-line script


def install_bundle(folder: Path, command: list[str]) -> Changed:
    bundle = folder / "Gatehouse.app"
    facts = bundle / "Contents" / "Info.plist"
    if bundle.exists() and not _is_our_bundle(facts):
        raise _stranger(bundle)
    program, icon = bundle / "Contents" / "MacOS" / "Gatehouse", bundle / "Contents" / "Resources" / "gatehouse.icns"
    for path in (program, icon):
        path.parent.mkdir(parents=True, exist_ok=True)
    described = {
        "CFBundleIdentifier": _BUNDLE,
        "CFBundleName": "Gatehouse",
        "CFBundleDisplayName": "Gatehouse",
        "CFBundleExecutable": program.name,
        "CFBundleIconFile": icon.name,
        "CFBundlePackageType": "APPL",
        "CFBundleShortVersionString": app.__version__,
        "CFBundleVersion": app.__version__,
        "LSMinimumSystemVersion": "13.0",
        "NSHighResolutionCapable": True,
    }
    _replace(facts, plistlib.dumps(described), 0o644)
    _replace(icon, resource("icons/gatehouse.icns").read_bytes(), 0o644)
    _replace(program, f"#!/bin/sh\nexec {shlex.join(command)}\n".encode(), 0o755)
    return Changed((bundle,))


def remove_bundle(folder: Path) -> Changed:
    """Removes the three files and then the folders, but none that holds anything else."""
    bundle = folder / "Gatehouse.app"
    contents = bundle / "Contents"
    if not bundle.exists():
        return Changed(())
    if not _is_our_bundle(contents / "Info.plist"):
        raise _stranger(bundle)
    for path in (contents / "MacOS" / "Gatehouse", contents / "Resources" / "gatehouse.icns", contents / "Info.plist"):
        path.unlink(missing_ok=True)
    for empty in (contents / "MacOS", contents / "Resources", contents, bundle):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()
    return Changed((bundle,), f"{bundle.name} held other files, which were left." if bundle.exists() else "")


def _is_our_bundle(facts: Path) -> bool:
    try:
        return bool(plistlib.loads(facts.read_bytes()).get("CFBundleIdentifier") == _BUNDLE)
    except (OSError, ValueError, AttributeError, plistlib.InvalidFileException):
        return False


# -- Windows: the Start menu

if sys.platform == "win32":

    def _install_link(folder: Path, command: list[str]) -> Changed:
        from app.system import shell_link  # noqa: PLC0415  COM is Windows alone

        path = folder / "Gatehouse.lnk"
        refuse_stranger(path, MARK.encode("utf-16-le"))
        shell_link.write(
            path,
            target=command[0],
            arguments=subprocess.list2cmdline(command[1:]),
            folder=str(Path.home()),
            # The mark is part of the description, because a link has no other place for one.
            description=f"{_COMMENT} ({MARK})",
            icon=str(resource("icons/gatehouse.ico")),
        )
        return Changed((path,))

    def _programs_folder() -> Path:
        roaming = os.environ.get("APPDATA") or str(Path.home() / "AppData" / "Roaming")
        return Path(roaming) / "Microsoft" / "Windows" / "Start Menu" / "Programs"


# -- on all of them


def refuse_stranger(path: Path, mark: bytes) -> None:
    """AppError when there is a file of this name that we did not make."""
    if path.exists() and mark not in path.read_bytes():
        raise _stranger(path)


def remove_marked(path: Path, mark: bytes) -> Changed:
    if not path.exists():
        return Changed(())
    refuse_stranger(path, mark)
    path.unlink()
    return Changed((path,))


def _stranger(path: Path) -> AppError:
    return AppError("data_folder", f"There is a “{path.name}” that this command did not make.", "Rename it, then try again.")


def _replace(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
