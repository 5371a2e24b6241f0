"""The pages that exist, in the order of the sidebar. A page does not import another page."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from app.gui.sidebar import Entry
from app.gui.words import tr

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.gui.page import Page
    from app.gui.session import Session

PAGES: Final = ("home", "clients", "providers", "activity", "usage", "network", "audit")
_CLASSES: Final = {
    "home": "HomePage",
    "clients": "ClientsPage",
    "providers": "ProvidersPage",
    "activity": "ActivityPage",
    "usage": "UsagePage",
    "network": "NetworkPage",
    "audit": "AuditPage",
}


def entries() -> tuple[Entry, ...]:
    """The sidebar's lines: pages, and captions over groups of them."""
    return (
        Entry("home", tr("Home"), "house-simple"),
        Entry("", tr("Connect")),
        Entry("clients", tr("Clients"), "terminal-window"),
        Entry("providers", tr("Providers"), "hard-drives"),
        Entry("", tr("Observe")),
        Entry("activity", tr("Activity"), "activity"),
        Entry("usage", tr("Usage"), "chart-bar"),
        Entry("", tr("Verify")),
        Entry("network", tr("Network"), "globe"),
        Entry("audit", tr("Audit"), "file-text"),
    )


def make_page(name: str, session: Session, parent: QWidget) -> Page:
    """A page; its file is read when it is first opened, so that the window is on screen sooner."""
    make = cast("Callable[[Session, QWidget], Page]", getattr(import_module(f"app.gui.pages.{name}"), _CLASSES[name]))
    return make(session, parent)
