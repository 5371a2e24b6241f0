"""Opens the sheets that are no page's own. A sheet's file is read when it is first opened, so that the window starts sooner."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from app.control.contract import ProviderView
from app.gui import waiting
from app.gui.accounts import key_left, left_behind
from app.gui.clipboard import Clipboard
from app.gui.session import Session
from app.gui.words import plural, tr


class Forms(QObject):
    def __init__(self, session: Session, clipboard: Clipboard, window: QWidget) -> None:
        super().__init__(window)
        self._session = session
        self._clipboard = clipboard
        self._window = window

    # -- providers

    def add_provider(self, _about: str) -> None:
        from app.gui.sheets.add_provider import AddProviderSheet  # noqa: PLC0415  see the module's docstring

        sheet = AddProviderSheet(self._session, self._window)
        sheet.open(sheet.first())

    def replace_key(self, name: str) -> None:
        from app.gui.sheets.replace_key import ReplaceKeySheet  # noqa: PLC0415

        view = self._provider(name)
        if view is not None:
            sheet = ReplaceKeySheet(view, self._session, self._window)
            sheet.open(sheet.first())

    def remove_provider(self, name: str) -> None:
        view, snapshot = self._provider(name), self._session.state.snapshot
        if view is None or snapshot is None:
            return
        sentences = [tr("Clients that ask for {name}/… are told that the model is unknown.", name=name)]
        if view.host:
            sentences.append(left_behind(view, snapshot.providers))
        if key := key_left(view, snapshot):
            sentences.append(key)
        sentences.append(tr("The rows of what it did stay in the ledger."))
        self._confirm(name, sentences, partial(self._session.remove_provider, name, self._on_gone, self._session.complain))

    def models(self, name: str) -> None:
        view = self._provider(name)
        if view is not None:
            models = [f"{name}/{model}" for model in view.account.models]
            title = plural(len(models), "{n} model of {name}", "{n} models of {name}", name=name)
            self._text(title, tr("As it listed them at the last test. Clients ask for them by these names."), models)

    # -- clients

    def add_client(self, _about: str) -> None:
        from app.gui.sheets.add_client import AddClientSheet  # noqa: PLC0415

        sheet = AddClientSheet(self._session, self._clipboard, self._window)
        sheet.open(sheet.first())

    def client_settings(self, name: str) -> None:
        from app.gui.sheets.client_settings import ClientSettingsSheet  # noqa: PLC0415

        snapshot = self._session.state.snapshot
        client = next((one for one in snapshot.clients if one.name == name), None) if snapshot is not None else None
        if client is not None:
            sheet = ClientSettingsSheet(client, self._session, self._window)
            sheet.open(sheet.first())

    def remove_client(self, name: str) -> None:
        snapshot = self._session.state.snapshot
        keeps = any(client.name == name and client.keeps_content for client in (snapshot.clients if snapshot is not None else ()))
        sentences = [
            tr("Its key stops working at once: the program's next request gets 401."),
            tr("The key cannot be brought back; a new client gets a new one."),
            *([tr("The answers that are kept for it are deleted.")] if keeps else []),
            tr("The rows of what it asked stay in the ledger."),
        ]
        self._confirm(name, sentences, partial(self._session.remove_client, name, self._on_gone, self._session.complain))

    # -- prices

    def set_price(self, about: str) -> None:
        """about: `account/model`."""
        from app.gui.sheets.set_price import SetPriceSheet  # noqa: PLC0415

        account, _, model = about.partition("/")
        sheet = SetPriceSheet(self._session, account, model, time.time_ns() // 1000, self._window)
        sheet.open(sheet.first())

    # -- the gateway

    def passphrase(self) -> None:
        """To open the vault, or, for a data folder that is still empty, to make one."""
        from app.gui.sheets.unlock import UnlockSheet  # noqa: PLC0415

        sheet = UnlockSheet(self._session, self._window, choosing=self._session.state.fresh)
        sheet.open(sheet.first())

    def log(self, files: Mapping[str, Sequence[str]]) -> None:
        """files: the last lines of each log, by its name."""
        lines: list[str] = []
        last_of_first = 0
        for name, found in files.items():
            lines += ["", name] if lines else [name]
            lines += [f"  {line}" for line in found] or [tr("  (empty)")]
            last_of_first = last_of_first or len(lines) - 1
        words = tr(
            "The last lines, oldest first. Keys and prompts are never written to it. The files are in {folder}.",
            folder=Path(self._session.state.boot.data_dir) / "logs",
        )
        if not any(files.values()):
            lines, last_of_first = [tr("The log is empty.")], 0
        self._text(tr("Log of the gateway"), words, lines, show=last_of_first)

    def closing(self, chosen: Callable[[bool], None]) -> None:
        from app.gui.sheets.closing import ClosingSheet  # noqa: PLC0415

        sheet = ClosingSheet(chosen, self._window)
        sheet.open(sheet.first())

    def confirm_waiting(self, number: str) -> None:
        """What waits under this number, in full, before it is confirmed."""
        from app.gui.sheets.confirm import ConfirmSheet  # noqa: PLC0415

        one = next((one for one in self._session.state.waiting if str(one.number) == number), None)
        if one is not None:
            sentences = (waiting.title(one), waiting.state(one), waiting.after(one))
            run = partial(self._session.answer, one.number, True)
            sheet = ConfirmSheet(tr("Did you want this?"), sentences, tr("Confirm"), run, self._window)
            sheet.open(sheet.first())

    # -- inside

    def _confirm(self, name: str, sentences: Sequence[str], run: Callable[[], None]) -> None:
        from app.gui.sheets.confirm import ConfirmSheet  # noqa: PLC0415

        title, verb = tr("Remove {name}?", name=name), tr("Remove {name}", name=name)
        sheet = ConfirmSheet(title, tuple(sentences), verb, run, self._window)
        sheet.open(sheet.first())

    def _text(self, title: str, explanation: str, lines: Sequence[str], *, show: int = 0) -> None:
        from app.gui.sheets.text import TextSheet  # noqa: PLC0415

        sheet = TextSheet(title, explanation, lines, self._clipboard.copy, self._window, show=show)
        sheet.open(sheet.first())

    def _provider(self, name: str) -> ProviderView | None:
        snapshot = self._session.state.snapshot
        views = snapshot.providers if snapshot is not None else ()
        return next((view for view in views if view.account.name == name), None)

    def _on_gone(self, _done: object) -> None:
        """The next snapshot no longer has it."""
