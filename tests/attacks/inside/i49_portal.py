"""I49: addresses that others open."""

from __future__ import annotations

from tests.attacks.inside import calls_bus
from tests.attacks.inside.taken import taken
from tests.attacks.registry import DOOR, Seen, attack
from tests.attacks.stage import Stage


@attack(
    "I49",
    "window has the desktop's portal open an address",
    promise=DOOR,
    expected="refused, or the page shows a lower level for the window",
)
def speaks(stage: Stage) -> Seen:
    """The browser fetches it, with whatever stands in it."""
    return calls_bus.judged(
        taken(stage),
        "org.freedesktop.portal.Desktop",
        "/org/freedesktop/portal/desktop",
        "org.freedesktop.portal.OpenURI",
        "OpenURI",
        "",
        "https://planted.example/?stolen",
    )
