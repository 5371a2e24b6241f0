"""What Ctrl K can find: the commands that make sense now, the pages, the newest requests and the clients."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.gui import exchanges
from app.gui import format as fmt
from app.gui.header import DIALECTS, key_words
from app.gui.pages import PAGES, entries
from app.gui.palette import Command
from app.gui.state import State
from app.gui.words import tr

if TYPE_CHECKING:
    from app.gui.window import Window


def commands(window: Window, state: State) -> list[Command]:
    do, goto, recent = tr("Do"), tr("Go to"), tr("Recent")
    snapshot = state.snapshot
    found = [Command(do, "copy", tr("Copy base URL"), DIALECTS[window.header.dialect], key_words("Ctrl+Shift+C"), window.copy_url)]
    if snapshot is not None and snapshot.vault.state not in ("ready", "starting"):
        found.insert(0, Command(do, "lock-key-open", tr("Unlock keys…"), snapshot.vault.place, "", window.unlock))
    if state.works:
        found += [
            Command(do, "paper-plane-tilt", tr("Send test request"), "gatehouse/echo", "", window.send_test),
            Command(do, "plus", tr("Add provider"), tr("Providers"), "", partial(window.do, "add-provider")),
            Command(do, "plus", tr("Add client"), tr("Clients"), "", partial(window.do, "add-client")),
        ]
    found.append(Command(do, "file-text", tr("Show log"), tr("Gateway"), "", window.show_log))
    found.append(
        Command(do, "power", tr("Quit Gatehouse"), "", key_words("Ctrl+Q"), partial(window.quit_wanted.emit, "the person chose Quit"))
    )
    titles = {entry.page: entry for entry in entries() if entry.page}
    for number, name in enumerate(PAGES, 1):
        entry = titles[name]
        found.append(Command(goto, entry.glyph, entry.title, tr("Page"), key_words(f"Ctrl+{number}"), partial(window.open_page, name)))
    for row in state.recent[:5]:
        words = f"{fmt.short_id(row.id)}, {row.model or row.asked or fmt.ABSENT}"
        where = f"{fmt.clock(row.opened_us)}, {exchanges.verdict(row).word}"
        found.append(Command(recent, "activity", words, where, "", partial(window.open_request, row.id)))
    for client in snapshot.clients[:5] if snapshot is not None else ():
        found.append(Command(recent, "terminal-window", client.name, tr("Client"), "", partial(window.open_page, "clients")))
    return found
