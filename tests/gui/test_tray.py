"""The tray icon: what its menu says, and that it is looked for while a desktop logs in, not for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtGui import QAction, QIcon
from PySide6.QtWidgets import QSystemTrayIcon

from app.control.contract import HostView, Today, VaultView
from app.gui import theme
from app.gui.state import Boot, EngineReport, ProofReport, State
from app.gui.tray import LOOK_EVERY_MS, LOOK_FOR_MS, Tray, present
from tests.gui.conftest import Wait
from tests.gui.desk import START_US, Desk, Server, snapshot

HOSTS = (
    HostView(host="api.openai.example", connections=1, bytes_out=9, bytes_in=0, last_us=START_US + 5_000_000),
    HostView(host="api.anthropic.example", connections=9, bytes_out=99, bytes_in=0, last_us=START_US),
)
UP = State(
    boot=Boot(data_dir="data", control="control.sock", port=4141, addresses=("127.0.0.1:4141",)),
    engine=EngineReport(state="up"),
    proof=ProofReport(ok=True, message="", at_us=START_US, heard_s=100.0),
    snapshot=snapshot(today=Today(requests=214, cost_microusd=4_370_000), hosts=HOSTS),
    live=True,
)


def test_the_menu_says_how_it_is() -> None:
    view = present(UP, 101.0)
    assert (view.shape, view.status, view.today) == ("running", "Running on 127.0.0.1:4141", "Today: 214 requests, $4.37")
    assert view.last_host.startswith("Last host: api.openai.example, ")
    assert not view.locked


def test_the_shape_tells_the_state_without_colour() -> None:
    locked = snapshot(state="locked", vault=VaultView(mode="keyring", state="locked", place="GNOME Keyring"))
    assert present(replace(UP, snapshot=locked), 101.0).shape == "attention"
    assert present(replace(UP, snapshot=locked), 101.0).locked
    assert present(replace(UP, engine=EngineReport(state="stopped")), 101.0).shape == "error"
    assert present(replace(UP, snapshot=None, proof=None), 101.0).shape == "paused"
    assert present(UP, 120.0).shape == "attention"


def test_nothing_is_known_before_the_engine_answers() -> None:
    view = present(replace(UP, snapshot=None, proof=None), 101.0)
    assert (view.status, view.today, view.last_host) == ("Starting, 127.0.0.1:4141", "Today: not known yet", "")


def test_unpriced_requests_do_not_cost_zero() -> None:
    state = replace(UP, snapshot=snapshot(today=Today(requests=1, unpriced=1)))
    assert present(state, 101.0).today == "Today: 1 request, –"


@pytest.mark.parametrize("shape", ["running", "paused", "attention", "error"])
@pytest.mark.parametrize("ground", ["mask", "for-light", "for-dark"])
def test_every_drawing_of_the_icon_is_there(desk: Desk, shape: str, ground: str) -> None:
    icon = QIcon(str(theme.resources_dir() / "icons" / f"tray-{shape}-{ground}.svg"))
    picture = icon.pixmap(22, 22).toImage()
    assert picture.width() == 22
    assert any(picture.pixelColor(x, y).alpha() for x in range(22) for y in range(22))


def test_a_tray_is_looked_for_during_the_first_minute_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def none() -> bool:
        looks.append(1)
        return False

    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", staticmethod(none))
    tray = Tray(desk.session, desk.window)
    tray.start()
    assert tray._look.isActive()
    assert not tray.is_there()
    for _ in range(LOOK_FOR_MS // LOOK_EVERY_MS + 5):
        if tray._look.isActive():
            tray._look_again()
    assert not tray._look.isActive()
    assert len(looks) == LOOK_FOR_MS // LOOK_EVERY_MS + 1


def test_the_menu_follows_the_state_and_its_first_entry_opens(
    server: Server, desk: Desk, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", staticmethod(lambda: True))
    tray = Tray(desk.session, desk.window)
    tray.start()
    menu = tray._menu
    assert menu is not None
    opened: list[str] = []
    tray.opened.connect(lambda: opened.append("open"))
    tray.copied.connect(lambda: opened.append("copy"))
    tray.quit_wanted.connect(opened.append)
    shown: list[QAction] = [action for action in menu.actions() if action.isVisible() and not action.isSeparator()]
    assert [action.text() for action in shown[:2]] == ["Open Gatehouse", "Copy base URL"]
    assert shown[-1].text() == "Quit"
    for action in (shown[0], shown[1], shown[-1]):
        action.trigger()
    assert opened == ["open", "copy", "the person chose Quit in the tray"]
    assert not tray._unlock.isVisible()
    server.vault = VaultView(mode="keyring", state="locked", place="GNOME Keyring")
    server.push()
    wait(tray._unlock.isVisible)
    assert tray._status.text() == "Keys locked, 127.0.0.1:4141"
    tray.hide()
