"""Draws the program's icon for the systems that take no SVG: `resources/icons/gatehouse.ico` (Windows) and `gatehouse.icns` (macOS).

Run it after a change of the SVG files, from the project folder:

    .venv/bin/python packaging/make_app_icons.py

Both formats hold PNG pictures with a small index: ICO as Windows reads it since Vista, ICNS as macOS reads it since 10.7.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtGui import QGuiApplication, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

ICONS = Path(__file__).resolve().parent.parent / "resources" / "icons"
ICO_SIZES = (16, 20, 24, 32, 40, 48, 64, 256)
ICNS_TYPES = {b"icp4": 16, b"icp5": 32, b"ic07": 128, b"ic08": 256, b"ic09": 512, b"ic10": 1024}


def main() -> int:
    application = QGuiApplication(sys.argv[:1])
    (ICONS / "gatehouse.ico").write_bytes(ico({size: picture(size) for size in ICO_SIZES}))
    (ICONS / "gatehouse.icns").write_bytes(icns({kind: picture(size) for kind, size in ICNS_TYPES.items()}))
    application.quit()
    return 0


def picture(size: int) -> bytes:
    """A PNG. Small ones come from the drawings that were made for a small grid."""
    name = "gatehouse-16.svg" if size < 20 else "gatehouse-24.svg" if size < 32 else "gatehouse.svg"
    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    QSvgRenderer(str(ICONS / name)).render(painter)
    painter.end()
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]  # the stubs lack this overload
    return bytes(buffer.data().data())


def ico(pictures: dict[int, bytes]) -> bytes:
    head = struct.pack("<HHH", 0, 1, len(pictures))
    offset = len(head) + 16 * len(pictures)
    for size, png in pictures.items():
        head += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(png), offset)
        offset += len(png)
    return head + b"".join(pictures.values())


def icns(pictures: dict[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack(">I", len(png) + 8) + png for kind, png in pictures.items())
    return b"icns" + struct.pack(">I", len(body) + 8) + body


if __name__ == "__main__":
    sys.exit(main())
