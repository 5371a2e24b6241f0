"""The look: colour tokens for both themes, fonts, palette and style sheet. Nothing else in the window names a colour or a font.

The tokens are the table of the visual target; every text ink has at least 4.5:1 on each background it is used on (a test computes it).
Sizes are pixels at 100 % text size. `scale` (0.9 to 1.3) enlarges text and the controls that hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Final, Literal

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontMetrics, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

import app

Scheme = Literal["light", "dark"]
Tone = Literal["ok", "wa", "er", "ne", "in"]
Type = Literal[
    "metric", "title", "card", "heading", "body", "strong", "button", "small", "smallstrong", "caption", "tick", "mono", "monosmall", "unit"
]

SCALES: Final = (0.9, 1.0, 1.1, 1.2, 1.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """acch, accp: accent under the pointer and pressed. oki, wai, eri: the icon inks of works, look and broken."""

    window: str
    sidebar: str
    surface: str
    raised: str
    sunken: str
    hover: str
    select: str
    rowsel: str
    line: str
    line2: str
    ctl: str
    tx: str
    tx2: str
    tx3: str
    dis: str
    acc: str
    acch: str
    accp: str
    onacc: str
    acctx: str
    accbg: str
    accln: str
    ok: str
    oki: str
    okbg: str
    okln: str
    wa: str
    wai: str
    wabg: str
    waln: str
    er: str
    eri: str
    erbg: str
    erln: str
    nebg: str
    neln: str
    c2: str
    c3: str
    c4: str
    c5: str
    c6: str
    grid: str
    scrim: str
    shadow: str


LIGHT: Final = Tokens(
    window="#F6F5F2", sidebar="#EEECE7", surface="#FFFFFF", raised="#FFFFFF", sunken="#F9F8F6",
    hover="#F3F1ED", select="#E1DED7", rowsel="#EAF0FD", line="#E3E0DA", line2="#D3CFC7", ctl="#918C83",
    tx="#1C1B19", tx2="#57544E", tx3="#6C6861", dis="#A9A59D",
    acc="#2957C8", acch="#2049AD", accp="#1B3F97", onacc="#FFFFFF", acctx="#2450BC", accbg="#E9EFFC", accln="#C6D5F7",
    ok="#176B3A", oki="#1D8148", okbg="#E5F3EA", okln="#BFDFCB",
    wa="#7F4B00", wai="#B26B00", wabg="#FCF1DB", waln="#EBD3A0",
    er="#A8231B", eri="#C9352B", erbg="#FCEAE8", erln="#F1C4BF",
    nebg="#EFEDE8", neln="#DDD9D1", c2="#5A8FE4", c3="#C4830F", c4="#8A5A9C", c5="#918C83", c6="#3F9486",
    grid="#ECE9E3", scrim="#571C1B19", shadow="#291C1B19",
)  # fmt: skip

DARK: Final = Tokens(
    window="#161618", sidebar="#1B1B1E", surface="#1F1F22", raised="#26262A", sunken="#1A1A1D",
    hover="#27272B", select="#303036", rowsel="#202A42", line="#2E2E33", line2="#3B3B41", ctl="#74747E",
    tx="#EDECE9", tx2="#B0AEA8", tx3="#96948E", dis="#63625E",
    acc="#7FA4FF", acch="#97B5FF", accp="#AEC6FF", onacc="#0F1830", acctx="#96B4FF", accbg="#1D2740", accln="#33456F",
    ok="#76D39B", oki="#4FBF7E", okbg="#16291E", okln="#27472F",
    wa="#F0BE66", wai="#E0A23C", wabg="#2C2312", waln="#4D3D1B",
    er="#FF9A91", eri="#F2685D", erbg="#331C1B", erln="#5A2E2B",
    nebg="#29292D", neln="#3B3B41", c2="#5078D2", c3="#E0A23C", c4="#B98ACB", c5="#6E6C68", c6="#6DB8AA",
    grid="#29292D", scrim="#80000000", shadow="#80000000",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ToneInks:
    text: str
    icon: str
    background: str
    line: str


def tone_inks(tokens: Tokens, tone: Tone) -> ToneInks:
    """The four colours of a pill or banner."""
    return {
        "ok": ToneInks(tokens.ok, tokens.oki, tokens.okbg, tokens.okln),
        "wa": ToneInks(tokens.wa, tokens.wai, tokens.wabg, tokens.waln),
        "er": ToneInks(tokens.er, tokens.eri, tokens.erbg, tokens.erln),
        "ne": ToneInks(tokens.tx2, tokens.tx2, tokens.nebg, tokens.neln),
        "in": ToneInks(tokens.acctx, tokens.acctx, tokens.accbg, tokens.accln),
    }[tone]


# pixel size and weight of each type role
_TYPES: Final[dict[str, tuple[int, QFont.Weight]]] = {
    "metric": (28, QFont.Weight.DemiBold),
    "title": (20, QFont.Weight.DemiBold),
    "card": (15, QFont.Weight.DemiBold),
    "heading": (13, QFont.Weight.DemiBold),
    "strong": (13, QFont.Weight.DemiBold),
    "body": (13, QFont.Weight.Normal),
    "button": (13, QFont.Weight.Medium),
    "unit": (15, QFont.Weight.Medium),
    "small": (12, QFont.Weight.Normal),
    "smallstrong": (12, QFont.Weight.Medium),
    "caption": (11, QFont.Weight.Medium),
    "tick": (11, QFont.Weight.Normal),
    "mono": (12, QFont.Weight.Normal),
    "monosmall": (11, QFont.Weight.Normal),
}


class Theme(QObject):
    """The one theme of the program: follows the system's colour scheme and holds the text size.

    Fonts, measures and colours are kept and must not be changed by who gets them; `generation` rises when they are others.
    """

    changed = Signal()

    def __init__(self, scheme: Scheme = "light", scale: float = 1.0, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.scheme: Scheme = scheme
        self.tokens: Tokens = DARK if scheme == "dark" else LIGHT
        self.scale = scale
        self._application: QApplication | None = None
        self._families: list[str] = []
        self._mono: list[str] = []
        self._fonts: dict[str, QFont] = {}
        self._metrics: dict[str, QFontMetrics] = {}
        self._colours: dict[str, QColor] = {}
        self.generation = 0
        self._template: Template | None = None

    def install(self, application: QApplication) -> None:
        """Gives `application` this look, now and whenever the system changes between light and dark."""
        self._application = application
        application.setStyle("Fusion")
        self._families = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont).families()
        self._mono = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).families()
        hints = application.styleHints()
        hints.colorSchemeChanged.connect(self._follow_system)
        self._set_scheme(_system_scheme())
        self._apply()

    def set_scale(self, scale: float) -> None:
        if scale != self.scale:
            self.scale = scale
            self._apply()

    def set_scheme(self, scheme: Scheme) -> None:
        if scheme != self.scheme:
            self._set_scheme(scheme)
            self._apply()

    def font(self, role: Type) -> QFont:
        """The font of a type role at the present text size. Do not change it: it is shared."""
        font = self._fonts.get(role)
        if font is None:
            pixels, weight = _TYPES[role]
            font = QFont(self._mono if role.startswith("mono") else self._families) if self._families else QFont()
            font.setPixelSize(self.px(pixels))
            font.setWeight(weight)
            font.setFeature(QFont.Tag("tnum"), 1)
            if role in ("metric", "title"):
                font.setLetterSpacing(QFont.SpacingType.PercentageSpacing, 98.5)
            self._fonts[role] = font
        return font

    def metrics(self, role: Type) -> QFontMetrics:
        """The measures of a type role's font."""
        found = self._metrics.get(role)
        if found is None:
            found = self._metrics[role] = QFontMetrics(self.font(role))
        return found

    def px(self, pixels: float) -> int:
        """A length that grows with the text."""
        return round(pixels * self.scale)

    def colour(self, token: str) -> QColor:
        found = self._colours.get(token)
        if found is None:
            found = self._colours[token] = QColor(getattr(self.tokens, token))
        return found

    @Slot(Qt.ColorScheme)
    def _follow_system(self, _scheme: Qt.ColorScheme) -> None:
        self.set_scheme(_system_scheme())

    def _set_scheme(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.tokens = DARK if scheme == "dark" else LIGHT

    def _apply(self) -> None:
        self._fonts.clear()
        self._metrics.clear()
        self._colours.clear()
        self.generation += 1
        application = self._application
        if application is None:
            return
        application.setFont(self.font("body"))
        application.setPalette(palette(self.tokens))
        application.setStyleSheet(self._sheet())
        self.changed.emit()

    def _sheet(self) -> str:
        if self._template is None:
            self._template = Template((resources_dir() / "style" / "window.qss").read_text(encoding="utf-8"))
        values: dict[str, object] = dict(asdict(self.tokens))
        values["mono"] = ", ".join(f'"{family}"' for family in self._mono) or "monospace"
        values["icons"] = (resources_dir() / "icons").as_posix()
        values["scheme"] = self.scheme
        values |= {f"px{n}": f"{self.px(n)}px" for n in range(8, 57)}
        return self._template.substitute(values)


class _Follower(QObject):
    """Lives as long as its parent, and so does the connection to the theme."""

    def __init__(self, parent: QObject, apply: Callable[[], object]) -> None:
        super().__init__(parent)
        self._apply = apply
        current().changed.connect(self._on_changed)

    @Slot()
    def _on_changed(self) -> None:
        self._apply()


_current: Theme | None = None


def current() -> Theme:
    """The program's theme. There is one, as there is one palette."""
    global _current  # noqa: PLW0603  the palette of the program, made once
    if _current is None:
        _current = Theme()
    return _current


def follow(widget: QObject, apply: Callable[[], object]) -> None:
    """Calls `apply` now, and again whenever colours or text size change while `widget` lives: for what the style sheet cannot say,
    a height in pixels, an icon's ink."""
    _Follower(widget, apply)
    apply()


def palette(tokens: Tokens) -> QPalette:
    result = QPalette()
    role = QPalette.ColorRole
    for where, token in (
        (role.Window, tokens.window), (role.Base, tokens.surface), (role.AlternateBase, tokens.sunken), (role.Button, tokens.surface),
        (role.Text, tokens.tx), (role.WindowText, tokens.tx), (role.ButtonText, tokens.tx), (role.BrightText, tokens.tx),
        (role.PlaceholderText, tokens.tx3), (role.Highlight, tokens.rowsel), (role.HighlightedText, tokens.tx), (role.Accent, tokens.acc),
        (role.Link, tokens.acctx), (role.LinkVisited, tokens.acctx), (role.Mid, tokens.line), (role.Midlight, tokens.line),
        (role.Light, tokens.surface), (role.Dark, tokens.line2), (role.Shadow, tokens.line2),
        (role.ToolTipBase, tokens.raised), (role.ToolTipText, tokens.tx),
    ):  # fmt: skip
        result.setColor(where, QColor(token))
    for where in (role.Text, role.WindowText, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, where, QColor(tokens.dis))
    return result


def resources_dir() -> Path:
    """The folder with icons, fonts and style: beside the package in a source tree or a frozen program, inside it in a wheel."""
    package = Path(app.__file__).resolve().parent
    inside = package / "resources"
    return inside if inside.is_dir() else package.parent / "resources"


def _system_scheme() -> Scheme:
    return "dark" if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark else "light"
