"""What the operating system must have before the window or the tests can run, and how to get it there. Standard library only.

A library counts as present when it can be loaded, whatever package it came from. As root on Debian and its relatives the missing
packages are installed (after asking, when someone is there to answer); everywhere else the exact command is printed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import ssl
import subprocess
import sys

FAMILIES = ("apt-get", "dnf", "pacman", "zypper")

# Each need: how it is looked for, and the package that brings it, in the order of FAMILIES. The libraries are the ones that the Qt
# wheels link to and do not bring along (read from their dynamic sections, Qt 6.12).
LIBRARIES = {
    "libEGL.so.1": ("libegl1", "libglvnd-egl", "libglvnd", "libglvnd"),
    "libGL.so.1": ("libgl1", "libglvnd-glx", "libglvnd", "libglvnd"),
    "libfontconfig.so.1": ("libfontconfig1", "fontconfig", "fontconfig", "fontconfig"),
    "libfreetype.so.6": ("libfreetype6", "freetype", "freetype2", "libfreetype6"),
    "libglib-2.0.so.0": ("libglib2.0-0", "glib2", "glib2", "libglib-2_0-0"),
    "libdbus-1.so.3": ("libdbus-1-3", "dbus-libs", "dbus", "libdbus-1-3"),
    "libX11.so.6": ("libx11-6", "libX11", "libx11", "libX11-6"),
    "libX11-xcb.so.1": ("libx11-xcb1", "libX11-xcb", "libx11", "libX11-xcb1"),
    "libxkbcommon.so.0": ("libxkbcommon0", "libxkbcommon", "libxkbcommon", "libxkbcommon0"),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0", "libxkbcommon-x11", "libxkbcommon-x11", "libxkbcommon-x11-0"),
    "libxcb.so.1": ("libxcb1", "libxcb", "libxcb", "libxcb1"),
    "libxcb-cursor.so.0": ("libxcb-cursor0", "xcb-util-cursor", "xcb-util-cursor", "libxcb-cursor0"),
    "libxcb-icccm.so.4": ("libxcb-icccm4", "xcb-util-wm", "xcb-util-wm", "libxcb-icccm4"),
    "libxcb-image.so.0": ("libxcb-image0", "xcb-util-image", "xcb-util-image", "libxcb-image0"),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1", "xcb-util-keysyms", "xcb-util-keysyms", "libxcb-keysyms1"),
    "libxcb-randr.so.0": ("libxcb-randr0", "libxcb", "libxcb", "libxcb-randr0"),
    "libxcb-render-util.so.0": ("libxcb-render-util0", "xcb-util-renderutil", "xcb-util-renderutil", "libxcb-render-util0"),
    "libxcb-render.so.0": ("libxcb-render0", "libxcb", "libxcb", "libxcb-render0"),
    "libxcb-shape.so.0": ("libxcb-shape0", "libxcb", "libxcb", "libxcb-shape0"),
    "libxcb-shm.so.0": ("libxcb-shm0", "libxcb", "libxcb", "libxcb-shm0"),
    "libxcb-sync.so.1": ("libxcb-sync1", "libxcb", "libxcb", "libxcb-sync1"),
    "libxcb-util.so.1": ("libxcb-util1", "xcb-util", "xcb-util", "libxcb-util1"),
    "libxcb-xfixes.so.0": ("libxcb-xfixes0", "libxcb", "libxcb", "libxcb-xfixes0"),
    "libxcb-xkb.so.1": ("libxcb-xkb1", "libxcb", "libxcb", "libxcb-xkb1"),
    "libwayland-client.so.0": ("libwayland-client0", "libwayland-client", "wayland", "libwayland-client0"),
    "libwayland-cursor.so.0": ("libwayland-cursor0", "libwayland-cursor", "wayland", "libwayland-cursor0"),
    "libwayland-egl.so.1": ("libwayland-egl1", "libwayland-egl", "wayland", "libwayland-egl1"),
}
PROGRAMS = {
    "xvfb-run": ("xvfb", "xorg-x11-server-Xvfb", "xorg-server-xvfb", "xvfb-run"),
    "xauth": ("xauth", "xorg-x11-xauth", "xorg-xauth", "xauth"),
    "dbus-run-session": ("dbus", "dbus-daemon", "dbus", "dbus-1"),
    "desktop-file-validate": ("desktop-file-utils", "desktop-file-utils", "desktop-file-utils", "desktop-file-utils"),
    "ip": ("iproute2", "iproute", "iproute2", "iproute2"),
    "curl": ("curl", "curl", "curl", "curl"),
    "gnome-keyring-daemon": ("gnome-keyring", "gnome-keyring", "gnome-keyring", "gnome-keyring"),
}
MODULES = {
    "venv": ("python3-venv", "python3", "python", "python3"),
    "ensurepip": ("python3-venv", "python3-libs", "python", "python3"),
}
CERTIFICATES = ("ca-certificates", "ca-certificates", "ca-certificates", "ca-certificates")
_INSTALL = ("apt-get install --no-install-recommends", "dnf install", "pacman -S --needed", "zypper install")


class NeedError(Exception):
    """Something is missing and was not installed. The text says what it is and gives the command that installs it."""


def missing_modules() -> list[tuple[str, ...]]:
    """Debian ships Python without the parts that make a virtual environment."""
    return [packages for name, packages in MODULES.items() if importlib.util.find_spec(name) is None]


def missing_libraries() -> list[tuple[str, ...]]:
    return [packages for name, packages in LIBRARIES.items() if not _loads(name)]


def missing_programs() -> list[tuple[str, ...]]:
    return [packages for name, packages in PROGRAMS.items() if shutil.which(name) is None]


def missing_certificates() -> list[tuple[str, ...]]:
    """The system's list of certificate authorities: without it no provider's certificate can be checked."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile and os.path.getsize(paths.cafile):
        return []
    if paths.capath and os.listdir(paths.capath):
        return []
    return [CERTIFICATES]


def provide(missing: list[tuple[str, ...]], who: str) -> None:
    """Installs the missing packages where that is allowed. who: with its verb, as in "Gatehouse needs".

    NeedError, with the command, where it is not allowed or does not work.
    """
    if not missing:
        return
    family = next((number for number, tool in enumerate(FAMILIES) if shutil.which(tool)), None)
    if family is None:
        names = ", ".join(sorted({packages[0] for packages in missing}))
        raise NeedError(f"{who} system packages that are not here. On Debian they are called: {names}")
    packages = sorted({names[family] for names in missing})
    command = f"{_INSTALL[family]} {' '.join(packages)}"
    if FAMILIES[family] != "apt-get" or os.geteuid() != 0:
        prefix = "" if os.geteuid() == 0 else "sudo "
        raise NeedError(f"{who} system packages that are not here. Install them with:\n  {prefix}{command}")
    print(f"{who} these system packages: {' '.join(packages)}", flush=True)
    if not _agreed():
        raise NeedError(f"Not installed. The command is:\n  {command}")
    _apt(packages)


def _agreed() -> bool:
    """True when nobody is there to ask, or when the person says yes."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    try:
        return input("Install them now? [Y/n] ").strip().lower() in ("", "y", "yes")
    except EOFError:
        return False


def _apt(packages: list[str]) -> None:
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    # The package lists are fetched only when they do not know the packages: a fresh system has none, an old one stale ones.
    if subprocess.run([*install, "--simulate"], check=False, env=environment, capture_output=True).returncode != 0:
        _checked(["apt-get", "update", "-q"], environment, packages)
    if subprocess.run(install, check=False, env=environment, stdin=subprocess.DEVNULL).returncode == 0:
        return
    # Stale lists name files that the mirror no longer has, and an interrupted dpkg wants to be finished first.
    _checked(["dpkg", "--configure", "-a"], environment, packages)
    _checked(["apt-get", "update", "-q"], environment, packages)
    _checked(install, environment, packages)


def _checked(command: list[str], environment: dict[str, str], packages: list[str]) -> None:
    if subprocess.run(command, check=False, env=environment, stdin=subprocess.DEVNULL).returncode != 0:
        line = f"{' '.join(command)}\n(wanted: {' '.join(packages)})"
        raise NeedError(f"This did not work; its own message is above. Mend it and run the command again:\n  {line}")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
