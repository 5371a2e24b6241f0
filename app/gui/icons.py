"""Icons out of the Phosphor font, and our own SVG files. The font is loaded when the first glyph is painted."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QIcon, QPainter, QPainterPath, QPixmap, QRawFont

from app.gui import theme
from app.gui.glyphs import GLYPHS

_FAMILY: Final = "Gatehouse Phosphor"
_raw: dict[int, QRawFont] = {}
_loaded = False
_SMOOTH: Final = QPainter.RenderHint.Antialiasing


def paint(painter: QPainter, rect: QRectF, name: str, colour: QColor, size: int) -> None:
    """Paints glyph `name`, `size` pixels square, in the middle of `rect`.

    The glyph's outline is filled, not drawn as text: text is placed by the font's line height, which differs between systems.
    """
    path, middle = _outline(name, size)
    painter.save()
    painter.setRenderHint(_SMOOTH)
    painter.translate(rect.center() - middle)
    painter.fillPath(path, colour)
    painter.restore()


@lru_cache(maxsize=512)
def _outline(name: str, size: int) -> tuple[QPainterPath, QPointF]:
    """The glyph's outline and the middle of its square. Kept: a table paints the same few again for every row."""
    raw = _font(size)
    path = raw.pathForGlyph(raw.glyphIndexesForString(chr(GLYPHS[name]))[0])
    # Phosphor draws in an em square whose baseline is its lower edge, 1/16 em above the descent.
    return path, QRectF(0, -raw.ascent(), size, raw.ascent() + raw.descent()).center()


def pixmap(name: str, size: int, colour: QColor, *, canvas: QSize | None = None, trailing: bool = False) -> QPixmap:
    """Glyph `name` at the sharpest screen's resolution, at the left (trailing: right) of `canvas`, or on its own square."""
    screens = QGuiApplication.screens()
    ratio = max((screen.devicePixelRatio() for screen in screens), default=1.0)
    area = canvas or QSize(size, size)
    result = QPixmap(area * ratio)
    result.setDevicePixelRatio(ratio)
    result.fill(Qt.GlobalColor.transparent)
    painter = QPainter(result)
    paint(painter, QRectF(area.width() - size if trailing else 0, 0, size, area.height()), name, colour, size)
    painter.end()
    return result


def icon(name: str, size: int, ink: str, *, gap: int = 0, trailing: bool = False) -> QIcon:
    """A button's icon in a token's colour. `gap`: clear pixels towards the word, where the style's own distance is too small."""
    look = theme.current()
    canvas = QSize(size + gap, size)
    result = QIcon(pixmap(name, size, look.colour(ink), canvas=canvas, trailing=trailing))
    result.addPixmap(pixmap(name, size, look.colour("dis"), canvas=canvas, trailing=trailing), QIcon.Mode.Disabled)
    return result


def application_icon() -> QIcon:
    """The program's own icon; small sizes have their own drawing."""
    folder = theme.resources_dir() / "icons"
    result = QIcon()
    result.addFile(str(folder / "gatehouse-16.svg"), QSize(16, 16))
    result.addFile(str(folder / "gatehouse-24.svg"), QSize(24, 24))
    for edge in (32, 48, 64, 128, 256):
        result.addFile(str(folder / "gatehouse.svg"), QSize(edge, edge))
    return result


def _font(size: int) -> QRawFont:
    raw = _raw.get(size)
    if raw is None:
        _load()
        font = QFont(_FAMILY)
        font.setPixelSize(size)
        font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
        raw = QRawFont.fromFont(font)
        _raw[size] = raw
    return raw


def _load() -> None:
    global _loaded  # noqa: PLW0603  an application font is loaded once for the program
    if not _loaded:
        QFontDatabase.addApplicationFont(str(theme.resources_dir() / "fonts" / "phosphor.ttf"))
        _loaded = True
