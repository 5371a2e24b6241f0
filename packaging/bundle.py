"""Writes what of Qt a bundle of the program needs, and proves that nothing of it can fetch: `bundle.txt`, for Linux.

    .venv/bin/python packaging/bundle.py

The modules are those that the program imports, the plugins are chosen below, and the libraries are what both are linked to, at every
depth, as the files themselves say (ELF, dynamic section: gabi, "DT_NEEDED"). A package of Qt that opens connections (network, web engine,
QML and what is built on it) must not be among them: a test compares the list with the installed files, and with what a running window has
in its memory.
"""

from __future__ import annotations

import ast
import importlib.util
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "packaging" / "bundle.txt"

# Not taken though they are there: `platforms/vnc` listens for screens, `generic/tuio` and `platforminputcontexts/qtvirtualkeyboard` bring
# Qt's network and QML; nothing of the program reads PDF, TIFF or WebP.
PLUGINS = (
    "iconengines/libqsvgicon.so",
    "imageformats/libqico.so",
    "imageformats/libqsvg.so",
    "platforminputcontexts/libcomposeplatforminputcontextplugin.so",
    "platforminputcontexts/libibusplatforminputcontextplugin.so",
    "platforms/libqminimal.so",
    "platforms/libqoffscreen.so",
    "platforms/libqwayland.so",
    "platforms/libqxcb.so",
    "platformthemes/libqgtk3.so",
    "platformthemes/libqxdgdesktopportal.so",
    "wayland-decoration-client/libadwaita.so",
    "wayland-decoration-client/libbradient.so",
    "wayland-graphics-integration-client/libqt-plugin-wayland-egl.so",
    "wayland-shell-integration/libxdg-shell.so",
    "xcbglintegrations/libqxcb-egl-integration.so",
    "xcbglintegrations/libqxcb-glx-integration.so",
)
# Parts of Qt that open connections or run what was fetched; a name that begins with one of these is one of them.
FETCHING = (
    "Bluetooth", "Coap", "Grpc", "HttpServer", "Labs", "Location", "Mqtt", "Multimedia", "Network", "Nfc", "OpcUa", "Pdf", "Positioning",
    "Qml", "Quick", "RemoteObjects", "Scxml", "Sql", "VirtualKeyboard", "WaylandCompositor", "WebChannel", "WebEngine", "WebSockets",
    "WebView",
)  # fmt: skip


def modules() -> list[str]:
    """The modules of PySide6 that the program imports, late imports included."""
    found = set()
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" if node.module == "PySide6" else node.module for alias in node.names]
            found |= {name.split(".")[1] for name in names if name.startswith("PySide6.")}
    return sorted(found)


def needed(path: Path) -> list[str]:
    """The shared libraries that a 64-bit little-endian ELF file is linked to. ValueError when it is none."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path.name} is no 64-bit ELF file")
    table, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", data, table + size * number) for number in range(count)]
    loaded = [(address, offset, length) for kind, _, offset, address, _, length, _, _ in segments if kind == 1]
    dynamic = [struct.unpack_from("<QQ", data, at) for kind, _, offset, _, _, length, _, _ in segments if kind == 2
               for at in range(offset, offset + length, 16)]  # fmt: skip
    texts = next(value for tag, value in dynamic if tag == 5)
    start = next(offset + texts - address for address, offset, length in loaded if address <= texts < address + length)
    return [data[start + value : data.index(b"\0", start + value)].decode() for tag, value in dynamic if tag == 1]


def libraries(qt: Path, files: list[Path]) -> list[str]:
    """What of Qt's own libraries these files need, at every depth."""
    found: set[str] = set()
    waiting = list(files)
    while waiting:
        for name in needed(waiting.pop()):
            if name not in found and (qt / "lib" / name).exists():
                found.add(name)
                waiting.append(qt / "lib" / name)
    return sorted(found)


def installed() -> Path:
    """The folder of PySide6 that this Python has."""
    spec = importlib.util.find_spec("PySide6")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("PySide6 is not installed")
    return Path(spec.origin).parent


def lines() -> list[str]:
    """The list: bindings, plugins, libraries."""
    package = installed()
    bindings = [package / f"{name}.abi3.so" for name in modules()]
    plugins = [package / "Qt" / "plugins" / name for name in PLUGINS]
    return [
        *(f"module {path.name.removesuffix('.abi3.so')}" for path in bindings),
        *(f"plugin {name}" for name in PLUGINS),
        *(f"library {name}" for name in libraries(package / "Qt", [*bindings, *plugins])),
    ]


def fetching(listed: list[str]) -> list[str]:
    """Those lines that name a part of Qt which could fetch."""
    stems = ("Qt", "libQt6", "libq", "lib")
    return [line for line in listed if any(line.rpartition("/")[2].split()[-1].startswith(f"{stem}{part}") for stem in stems
                                           for part in (*FETCHING, *(each.lower() for each in FETCHING)))]  # fmt: skip


def main() -> int:
    listed = lines()
    if bad := fetching(listed):
        print("could fetch: " + ", ".join(bad))
        return 1
    LIST.write_text("\n".join(listed) + "\n", encoding="utf-8")
    print(f"{LIST.relative_to(ROOT)}: {len(listed)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
