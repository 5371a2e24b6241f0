"""The look keeps its promises: contrast, both themes, every text size."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest
from PySide6.QtCore import QtMsgType, qInstallMessageHandler
from PySide6.QtGui import QFont, QFontDatabase, QRawFont
from PySide6.QtWidgets import QApplication

from app.gui import theme
from app.gui.glyphs import GLYPHS
from app.gui.theme import DARK, LIGHT, SCALES, Theme, Tokens

TONES = (("ok", "okbg"), ("wa", "wabg"), ("er", "erbg"), ("acctx", "accbg"), ("tx2", "nebg"))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_every_ground_it_stands_on(tokens: Tokens) -> None:
    colours = asdict(tokens)
    grounds = ("window", "sidebar", "surface", "raised", "sunken", "hover", "rowsel")
    pairs = [(ink, ground) for ink in ("tx", "tx2", "tx3") for ground in grounds]
    pairs += [(ink, "surface") for ink in ("ok", "wa", "er", "acctx")] + list(TONES) + [("onacc", "acc"), ("tx", "wabg"), ("tx2", "erbg")]
    poor = {
        pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs if contrast(colours[pair[0]], colours[pair[1]]) < 4.5
    }
    assert not poor


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
def test_edges_of_controls_and_bars_can_be_seen(tokens: Tokens) -> None:
    colours = asdict(tokens)
    poor = {
        ink: round(contrast(colours[ink], tokens.surface), 2) for ink in ("ctl", "acc", "eri") if contrast(colours[ink], tokens.surface) < 3
    }
    assert not poor


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scale", SCALES)
def test_the_style_sheet_is_whole_in_every_theme_and_size(application: QApplication, scheme: theme.Scheme, scale: float) -> None:
    complaints: list[str] = []
    before = qInstallMessageHandler(lambda kind, _context, message: complaints.append(message) if kind != QtMsgType.QtDebugMsg else None)
    look = theme.current()
    try:
        look.set_scheme(scheme)
        look.set_scale(scale)
        assert "$" not in application.styleSheet()
        assert application.font().pixelSize() == round(13 * scale)
        assert application.palette().window().color().name().upper() == look.tokens.window
    finally:
        look.set_scale(1.0)
        look.set_scheme("light")
        qInstallMessageHandler(before)
    assert not complaints


def test_every_token_is_used_by_name_and_is_a_colour() -> None:
    for tokens in (LIGHT, DARK):
        for field in fields(tokens):
            value = getattr(tokens, field.name)
            assert value.startswith("#")
            assert len(value) in (7, 9)


def test_figures_are_tabular(application: QApplication) -> None:
    font = theme.current().font("body")
    assert font.isFeatureSet(QFont.Tag("tnum"))


def test_the_font_holds_exactly_the_glyphs_that_are_named(application: QApplication) -> None:
    path = theme.resources_dir() / "fonts" / "phosphor.ttf"
    number = QFontDatabase.addApplicationFont(str(path))
    assert QFontDatabase.applicationFontFamilies(number) == ["Gatehouse Phosphor"]
    font = QRawFont(str(path), 16)
    assert [name for name, code in GLYPHS.items() if not font.supportsCharacter(code)] == []
    assert path.stat().st_size < 40_000


def test_a_theme_without_an_application_has_fonts(application: QApplication) -> None:
    assert Theme().font("metric").pixelSize() == 28
