"""What a child process inherits: an environment built from a list, never the one we were started with.

Variables can redirect traffic (`*_PROXY`), write TLS keys to a file (`SSLKEYLOGFILE`), add certificate authorities (`SSL_CERT_*`) or
load foreign code (`LD_*`, `DYLD_*`, `PYTHON*`, `QT_PLUGIN_PATH`). None of them is on the list. Of those on it that name a plugin of Qt,
some values bring the network (`QT_QPA_PLATFORM=vnc` shows the window on port 5900 of every interface): only known ones pass. What was
found is shown, by name only: a proxy's value often holds a password.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

Child = Literal["engine", "gui", "vault", "writer"]

_ALL: Final = frozenset({
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TEMP", "TMP", "TMPDIR", "TZ", "USER", "XDG_RUNTIME_DIR",
    # Windows: without these even sockets and the random generator do not start
    "APPDATA", "COMSPEC", "LOCALAPPDATA", "NUMBER_OF_PROCESSORS", "PATHEXT", "PROGRAMDATA", "SYSTEMDRIVE", "SYSTEMROOT", "USERDOMAIN",
    "USERNAME", "USERPROFILE", "WINDIR",
})  # fmt: skip
_SESSION_BUS: Final = frozenset({"DBUS_SESSION_BUS_ADDRESS"})
_DISPLAY: Final = frozenset({
    "DESKTOP_SESSION", "DISPLAY", "GDK_BACKEND", "GTK_IM_MODULE", "ICEAUTHORITY", "QT_AUTO_SCREEN_SCALE_FACTOR", "QT_IM_MODULE",
    "QT_QPA_PLATFORM", "QT_SCALE_FACTOR", "SESSION_MANAGER", "WAYLAND_DISPLAY", "XAUTHORITY", "XCURSOR_SIZE", "XCURSOR_THEME",
    "XDG_ACTIVATION_TOKEN",
    "XDG_CACHE_HOME", "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_CURRENT_DESKTOP", "XDG_DATA_DIRS", "XDG_DATA_HOME", "XDG_SEAT",
    "XDG_SESSION_ID", "XDG_SESSION_TYPE", "XKB_DEFAULT_LAYOUT", "XMODIFIERS",
})  # fmt: skip

# What a process needs that opens nothing and asks nobody.
_BARE: Final = frozenset({"LANG", "SYSTEMDRIVE", "SYSTEMROOT", "WINDIR"})

# The engine talks to nothing but the keeper and its clients: it does not even learn where the session bus is.
_FOR: Final[Mapping[Child, frozenset[str]]] = {
    "engine": _ALL,
    "vault": _ALL | _SESSION_BUS | frozenset({"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_DATA_HOME"}),
    "gui": _ALL | _SESSION_BUS | _DISPLAY,
    "writer": _BARE,
}

# Plugins of Qt by their names; not the ones that listen (vnc) or bring QML and the network (qtvirtualkeyboard).
_PLUGINS: Final[Mapping[str, frozenset[str]]] = {
    "QT_QPA_PLATFORM": frozenset({"cocoa", "minimal", "offscreen", "wayland", "wayland-egl", "windows", "xcb"}),
    "QT_IM_MODULE": frozenset({"compose", "fcitx", "fcitx5", "ibus", "none", "simple", "wayland", "xim"}),
}

# Our own words to a child: where its modules are, and the folder in which it may change files.
MODULES: Final = "GATEHOUSE_MODULES"
FOLDER: Final = "GATEHOUSE_FOLDER"

_PREFIXES: Final = ("LC_",)
_SUSPECT_PREFIXES: Final = ("LD_", "DYLD_", "PYTHON", "SSL_CERT_", "OPENSSL_")
_SUSPECT_ENDINGS: Final = ("_PROXY",)
_SUSPECT: Final = frozenset({"SSLKEYLOGFILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH",
                             "GCONV_PATH", "NODE_EXTRA_CA_CERTS", "GTK_PATH", "GTK_MODULES", "RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES",
                             "KEYCHAIN_PATH"})  # fmt: skip


def constructed(
    child: Child, given: Mapping[str, str], display: Mapping[str, str] | None = None, *, folder: Path | None = None
) -> dict[str, str]:
    """The environment of `child`, taken from `given` (usually `os.environ`) by the list above.

    display: where a window should appear, as said by a second launch; it replaces what `given` says about that. folder: the one in which
    the child may change files; None: in none.
    """
    allowed = _FOR[child]
    chosen = {name: value for name, value in given.items() if name.upper() in allowed or name.startswith(_PREFIXES)}
    if display:
        chosen |= {name: value for name, value in display.items() if name in allowed & (_DISPLAY | _SESSION_BUS)}
    chosen = {name: value for name, value in chosen.items() if _is_known(name, value)}
    chosen[MODULES] = os.pathsep.join(module_folders())
    if folder is not None:
        chosen[FOLDER] = os.fspath(folder)
    return chosen


def module_folders() -> list[str]:
    """Where a child finds packages besides our own: this interpreter's, as they are here. No `.pth` file, no user's own packages and no
    current folder adds to that."""
    users = getattr(sys.modules.get("site"), "USER_SITE", None)
    names = ("site-packages", "dist-packages")
    return [each for each in sys.path if Path(each).name in names and Path(each).is_absolute() and each != users]


def display(given: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that says where a window should appear."""
    return {name: given[name] for name in sorted(_DISPLAY | _SESSION_BUS) if name in given}


def has_display(given: Mapping[str, str]) -> bool:
    """Is there a screen for a window? `offscreen` counts: somebody asked for it by name."""
    always = sys.platform in ("win32", "darwin")
    return always or bool(given.get("DISPLAY") or given.get("WAYLAND_DISPLAY") or given.get("QT_QPA_PLATFORM"))


def findings(given: Mapping[str, str]) -> tuple[str, ...]:
    """Names of variables that could have changed where traffic goes or what code runs, and that our children do not get."""
    return tuple(
        sorted(
            name
            for name in given
            if name.upper() in _SUSPECT
            or name.upper().startswith(_SUSPECT_PREFIXES)
            or name.upper().endswith(_SUSPECT_ENDINGS)
            or not _is_known(name, given[name])
        )
    )


def _is_known(name: str, value: str) -> bool:
    """False for a variable that names a plugin which we do not want. Several may be named, each with arguments: `wayland;xcb:x=1`."""
    known = _PLUGINS.get(name.upper())
    return known is None or all(part.partition(":")[0].strip().lower() in known for part in value.split(";") if part.strip())


def scrub() -> tuple[str, ...]:
    """Remove those variables from this process too, so that nothing it starts or imports later reads them. Returns their names."""
    found = findings(os.environ)
    for name in found:
        del os.environ[name]
    return found
