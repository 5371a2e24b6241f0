"""Forms: a key leaves its field the moment it is sent, and what is wrong stands at the field it is about."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QPlainTextEdit, QPushButton, QWidget

from app.control import contract as c
from app.gui import accounts, clipboard
from app.gui.clipboard import Clipboard
from app.gui.fields import Field
from app.gui.labels import Line
from app.gui.sheets.add_client import AddClientSheet
from app.gui.sheets.add_provider import AddProviderSheet, Draft, check, free_name
from app.gui.sheets.confirm import ConfirmSheet
from app.gui.sheets.replace_key import ReplaceKeySheet
from app.gui.sheets.text import TextSheet
from app.gui.sheets.unlock import UnlockSheet
from app.system.paths import Paths
from tests.gui.conftest import Wait
from tests.gui.desk import KINDS, Desk, Server, client, provider, snapshot

OPENAI, OLLAMA, OTHER = KINDS
SECRET = "sk-proj-0123456789abcdef"


def below(field: Field) -> str:
    return field._below.text()


def open_add_provider(desk: Desk, wait: Wait, kind: str = "OpenAI") -> AddProviderSheet:
    desk.window.do("add-provider")
    sheet = desk.window.sheet()
    assert isinstance(sheet, AddProviderSheet)
    wait(lambda: sheet._found.rowCount() == len(KINDS))
    for row in range(sheet._found.rowCount()):
        if sheet._found.index(row, 0).data() == kind:
            sheet._list.setCurrentIndex(sheet._found.index(row, 0))
    return sheet


def test_slips_are_found_before_anything_is_sent() -> None:
    good = Draft("openai", "https://api.openai.example/v1", local=False, has_key=True)
    assert check(OPENAI, good, ()).good
    assert check(OPENAI, good, ()).destination == "https://api.openai.example:443"
    assert check(OPENAI, good, ("openai",)).name
    assert check(OPENAI, Draft("", "https://x.example", local=False, has_key=True), ()).name
    assert check(OPENAI, Draft("a", "", local=False, has_key=True), ()).url
    assert check(OPENAI, Draft("a", "https://x.example", local=False, has_key=False), ()).key
    assert check(OLLAMA, Draft("a", "http://127.0.0.1:11434/v1", local=True, has_key=False), ()).good


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.example",
        "https://",
        "https://user:pw@x.example",
        "https://x.example?key=1",
        "https://x .example",
        "https://x.example:99999",
    ],
)
def test_an_address_that_is_none_is_told_in_a_sentence(url: str) -> None:
    found = check(OPENAI, Draft("a", url, local=False, has_key=True), ())
    assert found.url.endswith(".")
    assert not found.destination


def test_a_proposed_name_is_free() -> None:
    assert free_name(OPENAI, ()) == "openai"
    assert free_name(OPENAI, ("openai", "openai-2")) == "openai-3"


def test_a_provider_is_added_and_the_key_is_gone_from_the_field(server: Server, desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait)
    assert sheet._name.text() == "openai"
    assert "openai/model" in below(sheet._name)
    assert "https://api.openai.com:443" in below(sheet._url)
    QTest.keyClicks(sheet._key.line, SECRET)
    assert sheet._key.line.echoMode() == QLineEdit.EchoMode.Password
    QTest.mouseClick(sheet._add, Qt.MouseButton.LeftButton)
    assert sheet._key.line.text() == ""
    assert not sheet._key.line.isUndoAvailable()
    wait(lambda: desk.window.sheet() is None)
    assert server.keys == {"openai": SECRET}
    # The engine tests it by itself. A second test would be a second request, and a second entry of the audit log.
    server.providers["openai"] = provider(tested_us=1, test_ok=False, test_message="OpenAI refused the key (status 401).")
    server.push()
    wait(lambda: desk.session.state.notice is not None and desk.session.state.notice.fact == "openai did not pass its test.")
    assert not any(path.endswith("/test") for _method, path, _body in server.asked)


def test_a_missing_key_is_told_at_its_field_and_nothing_is_sent(server: Server, desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait)
    QTest.mouseClick(sheet._add, Qt.MouseButton.LeftButton)
    assert below(sheet._key) == "Paste the key."
    assert sheet._key.line.property("wrong") == "true"
    assert sheet._key.line.hasFocus()
    assert not any(method == "POST" for method, _path, _body in server.asked)
    QTest.keyClicks(sheet._key.line, "x")
    assert not sheet._key.is_wrong()


@pytest.mark.parametrize(
    ("code", "field"), [("name_taken", "_name"), ("name_invalid", "_name"), ("url_invalid", "_url"), ("key_required", "_key")]
)
def test_an_error_of_the_engine_stands_at_the_field_it_is_about(server: Server, desk: Desk, wait: Wait, code: str, field: str) -> None:
    server.answer("/v0/providers", 400, msgspec.json.encode(c.Problem(code=code, message="It <b>does not</b> do.", hint="Try another.")))
    sheet = open_add_provider(desk, wait)
    QTest.keyClicks(sheet._key.line, SECRET)
    sheet._on_add()
    wait(lambda: getattr(sheet, field).is_wrong())
    assert below(getattr(sheet, field)) == "It <b>does not</b> do. Try another."
    assert sheet._key.line.text() == ""
    assert sheet._add.isEnabled()
    assert "paste the key again" in below(sheet._key) or field == "_key"


def test_a_key_that_was_not_asked_for_is_said_to_be_gone_too(server: Server, desk: Desk, wait: Wait) -> None:
    server.answer("/v0/providers", 400, msgspec.json.encode(c.Problem(code="url_invalid", message="It does not do.", hint="")))
    sheet = open_add_provider(desk, wait, "Ollama")
    QTest.keyClicks(sheet._key.line, SECRET)
    sheet._on_add()
    wait(sheet._url.is_wrong)
    assert "paste the key again" in below(sheet._key)


def test_an_error_about_no_field_is_told_in_the_form(server: Server, desk: Desk, wait: Wait) -> None:
    problem = c.Problem(code="vault_locked", message="The keyring is locked.", hint="Unlock it.")
    server.answer("/v0/providers", 503, msgspec.json.encode(problem))
    sheet = open_add_provider(desk, wait, "Ollama")
    sheet._on_add()
    wait(sheet._failure.isVisible)
    assert sheet._failure.word() == "The keyring is locked."
    assert sheet._why.text() == "Unlock it."


def test_a_local_kind_needs_no_key_and_is_marked_local(server: Server, desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait, "Ollama")
    assert sheet._local.switch.isChecked()
    sheet._on_add()
    wait(lambda: "ollama" in server.providers)
    body = next(body for method, path, body in server.asked if method == "POST" and path == "/v0/providers")
    sent = msgspec.json.decode(body, type=c.NewProvider)
    assert (sent.local, sent.key, sent.base_url) == (True, None, "http://127.0.0.1:11434/v1")


def test_a_name_the_person_typed_stays_when_the_kind_changes(desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait, "OpenAI")
    sheet._name.line.setText("work")
    for row in range(sheet._found.rowCount()):
        if sheet._found.index(row, 0).data() == "Ollama":
            sheet._list.setCurrentIndex(sheet._found.index(row, 0))
    assert sheet._name.text() == "work"
    assert sheet._url.text() == "http://127.0.0.1:11434/v1"


def test_kinds_can_be_searched(desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait)
    sheet._search.line.setText("comp")
    assert sheet._found.rowCount() == 1
    assert sheet._kind is not None
    assert not sheet._nothing.isVisible()
    sheet._search.line.setText("no such kind")
    assert sheet._nothing.isVisible()


def test_an_engine_that_does_not_answer_is_told_instead_of_an_empty_form(server: Server, desk: Desk, wait: Wait) -> None:
    server.answer("/v0/kinds", 503, msgspec.json.encode(c.Problem(code="draining", message="It is stopping.", hint="Wait.")))
    desk.window.do("add-provider")
    sheet = desk.window.sheet()
    assert isinstance(sheet, AddProviderSheet)
    wait(lambda: sheet._waiting.text() == "It is stopping. Wait.")
    assert not sheet._add.isEnabled()


def test_leaving_the_form_wipes_the_key(desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait)
    sheet._key.line.setText(SECRET)
    line = sheet._key.line
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    assert line.text() == ""
    assert desk.window.sheet() is None


def test_a_key_is_replaced_and_a_good_one_takes_the_complaint_away(server: Server, desk: Desk, wait: Wait) -> None:
    server.providers = {"openai": provider()}
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.providers)
    desk.window.do("replace-key:openai")
    sheet = desk.window.sheet()
    assert isinstance(sheet, ReplaceKeySheet)
    sheet._on_replace()
    assert below(sheet._field) == "Paste the key."
    sheet._field.line.setText(SECRET)
    sheet.submit()
    assert sheet._field.line.text() == ""
    wait(lambda: server.keys == {"openai": SECRET})
    for at_us, ok in ((1, False), (2, True)):
        server.providers["openai"] = provider(tested_us=at_us, test_ok=ok)
        server.push()
        wait(lambda: (desk.session.state.notice is None) is ok)  # noqa: B023 - awaited
    assert not any(path.endswith("/test") for _method, path, _body in server.asked)


def test_removing_says_what_follows_and_enter_alone_does_not_do_it(server: Server, desk: Desk, wait: Wait) -> None:
    server.providers = {"openai": provider()}
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.providers)
    desk.window.do("remove-provider:openai")
    sheet = desk.window.sheet()
    assert isinstance(sheet, ConfirmSheet)
    words = " ".join(line.text() for line in sheet.findChildren(Line))
    assert "Its key is deleted from GNOME Keyring." in words
    assert "model is unknown" in words
    QTest.keyClick(sheet.focusWidget() or sheet, Qt.Key.Key_Return)
    assert "openai" in server.providers
    QTest.mouseClick(sheet.yes, Qt.MouseButton.LeftButton)
    wait(lambda: "openai" not in server.providers)


def added_client(desk: Desk, wait: Wait) -> AddClientSheet:
    desk.window.do("add-client")
    sheet = desk.window.sheet()
    assert isinstance(sheet, AddClientSheet)
    QTest.keyClicks(sheet._field.line, "scripts")
    QTest.keyClick(sheet._field.line, Qt.Key.Key_Return)
    wait(sheet._shown.isVisible)
    return sheet


def test_a_clients_key_is_shown_once_and_gone_with_the_sheet(server: Server, desk: Desk, wait: Wait) -> None:
    sheet = added_client(desk, wait)
    key = "sk-gh-" + "k" * 43
    assert sheet._key_line.text() == key
    assert "http://127.0.0.1:4141/v1" in sheet._snippet.text()
    assert all(key not in text for _name, text in sheet._snippets)
    line = sheet._key_line
    sheet._on_copy_key()
    assert QGuiApplication.clipboard().text() == key
    sheet.dismiss()
    assert line.text() == ""
    assert sheet._key is None
    assert desk.window.sheet() is None
    desk.window.clipboard.forget()
    assert QGuiApplication.clipboard().text() == ""


def test_a_key_that_was_not_copied_is_asked_about_once(desk: Desk, wait: Wait) -> None:
    sheet = added_client(desk, wait)
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    assert desk.window.sheet() is sheet
    assert "not copied" in sheet.consequence.text()
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    assert desk.window.sheet() is None


def test_what_is_copied_after_the_key_takes_its_place_in_the_words_too(desk: Desk, wait: Wait) -> None:
    sheet = added_client(desk, wait)
    sheet._on_copy_key()
    assert "30 seconds" in sheet.consequence.text()
    sheet._on_copy_snippet()
    assert QGuiApplication.clipboard().text() == sheet._snippet.text()
    assert sheet._copy_key.text() == "Copy key"
    assert sheet.consequence.text() == "Copied. GATEHOUSE_KEY in it stands for the key."


def test_a_clients_name_that_is_taken_is_told_at_the_field(server: Server, desk: Desk, wait: Wait) -> None:
    server.clients = {"scripts": client()}
    desk.window.do("add-client")
    sheet = desk.window.sheet()
    assert isinstance(sheet, AddClientSheet)
    sheet.submit()
    assert below(sheet._field) == "Give it a name."
    sheet._field.line.setText("scripts")
    sheet.submit()
    wait(lambda: "already" in below(sheet._field))
    assert sheet._add.isEnabled()


def test_the_clipboard_is_emptied_only_while_it_is_still_ours(
    application: QApplication, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipboard, "SECRET_STAYS_MS", 80)
    ours = Clipboard()
    ours._timer.setInterval(80)
    ours.copy_secret("sk-gh-secret")
    data = QGuiApplication.clipboard().mimeData()
    assert data.data("x-kde-passwordManagerHint").data() == b"secret"
    assert "secret" not in repr(vars(ours))
    wait(lambda: QGuiApplication.clipboard().text() == "")
    ours.copy_secret("sk-gh-secret")
    QGuiApplication.clipboard().setText("what the person copied since")
    time.sleep(0.1)
    ours.forget()
    assert QGuiApplication.clipboard().text() == "what the person copied since"


def test_the_passphrase_opens_the_vault_and_a_wrong_one_is_told(server: Server, desk: Desk, wait: Wait) -> None:
    (Path(desk.session.state.boot.data_dir) / "vault.json").write_bytes(b"{}")
    server.vault = c.VaultView(mode="passphrase", state="locked", place="a file")
    server.state = "locked"
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.state == "locked")
    desk.window.unlock()
    sheet = desk.window.sheet()
    assert isinstance(sheet, UnlockSheet)
    sheet.submit()
    assert below(sheet._field) == "Type the passphrase."
    sheet._field.line.setText("wrong")
    sheet.submit()
    assert sheet._field.line.text() == ""
    wait(lambda: "does not open the vault" in below(sheet._field))
    sheet._field.line.setText("correct horse")
    sheet.submit()
    wait(lambda: desk.window.sheet() is None)
    assert server.vault.state == "ready"


def test_a_passphrase_is_chosen_twice_for_an_empty_data_folder(server: Server, desk: Desk, wait: Wait) -> None:
    server.vault = c.VaultView(mode="keyring", state="absent", place="")
    server.state = "locked"
    server.push()
    wait(lambda: desk.session.state.fresh)
    choose = next(found for found in desk.window.banner.findChildren(QPushButton) if found.text() == "Use a passphrase…")
    QTest.mouseClick(choose, Qt.MouseButton.LeftButton)
    sheet = desk.window.sheet()
    assert isinstance(sheet, UnlockSheet)
    assert sheet._again is not None
    QTest.keyClicks(sheet._field.line, "correct horse")
    QTest.keyClick(sheet._field.line, Qt.Key.Key_Return)
    assert sheet._again.line.hasFocus(), "Enter in the first field leads to the second"
    assert sheet._field.line.text() == "correct horse"
    sheet._again.line.setText("correct house")
    sheet.submit()
    assert "not the same" in below(sheet._field)
    assert sheet._field.line.text() == sheet._again.line.text() == ""
    sheet._field.line.setText("correct horse")
    sheet._again.line.setText("correct horse")
    sheet.submit()
    wait(lambda: desk.window.sheet() is None)
    assert server.vault.state == "ready"


def test_a_folder_with_data_is_not_given_a_new_passphrase(server: Server, desk: Desk, wait: Wait) -> None:
    Paths(Path(desk.session.state.boot.data_dir)).database.write_bytes(b"x")
    server.vault = c.VaultView(mode="keyring", state="absent", place="")
    server.state = "locked"
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.state == "locked")
    assert not desk.session.state.fresh


def test_a_keyring_is_asked_without_a_form_and_only_when_a_person_asks(server: Server, desk: Desk, wait: Wait) -> None:
    server.vault = c.VaultView(mode="keyring", state="locked", place="GNOME Keyring")
    server.state = "locked"
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.state == "locked")
    assert not any("unlock" in path for _method, path, _body in server.asked)
    button = next(button for button in desk.window.banner.findChildren(QPushButton) if button.text() == "Unlock…")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    wait(lambda: server.vault.state == "ready")
    assert desk.window.sheet() is None


def test_the_log_is_shown_as_it_is(desk: Desk, wait: Wait) -> None:
    desk.window.show_log()
    wait(lambda: isinstance(desk.window.sheet(), TextSheet))
    sheet = desk.window.sheet()
    assert sheet is not None
    text = sheet.findChild(QPlainTextEdit)
    assert isinstance(text, QPlainTextEdit)
    assert text.toPlainText() == "keeper.log\n  the engine ended\n\nengine.log\n  first line\n  last <b>line</b>"
    assert ("log", {}) in desk.keeper.told


def test_the_keyboard_stays_inside_a_sheet(desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait)
    desk.window.activateWindow()
    seen: set[QWidget] = set()
    for _ in range(30):
        QTest.keyClick(desk.window.focusWidget() or sheet, Qt.Key.Key_Tab)
        focus = desk.window.focusWidget()
        assert focus is not None
        assert sheet.isAncestorOf(focus)
        seen.add(focus)
    assert {sheet._name.line, sheet._url.line, sheet._key.line, sheet._add} <= seen


def test_enter_on_a_button_presses_that_button_and_not_the_verb(server: Server, desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait, "Ollama")
    cancel = next(button for button in sheet.findChildren(QPushButton) if button.text() == "Cancel")
    desk.window.activateWindow()
    cancel.setFocus()
    QTest.keyClick(cancel, Qt.Key.Key_Return)
    assert desk.window.sheet() is None
    assert not any(method == "POST" for method, _path, _body in server.asked)


def test_enter_copies_a_clients_key_where_its_button_has_the_keyboard(desk: Desk, wait: Wait) -> None:
    sheet = added_client(desk, wait)
    desk.window.activateWindow()
    QTest.keyClick(desk.window.focusWidget() or sheet, Qt.Key.Key_Return)
    assert QGuiApplication.clipboard().text() == sheet._key_line.text()


def test_a_click_beside_a_field_leaves_the_keyboard_where_it_was(desk: Desk, wait: Wait) -> None:
    sheet = open_add_provider(desk, wait)
    desk.window.activateWindow()
    sheet._name.line.setFocus()
    for place in (sheet, sheet.title):
        QTest.mouseClick(place, Qt.MouseButton.LeftButton, pos=QPoint(3, 3))
        assert desk.window.focusWidget() is sheet._name.line


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (None, "127.0.0.1:9101 is no longer a destination."),
        ("http://127.0.0.1:9101/v1", "127.0.0.1:9101 stays a destination, for other."),
        ("http://127.0.0.1:9101", "127.0.0.1:9101 stays a destination, for other."),
        ("http://127.0.0.1:9102/v1", "127.0.0.1:9101 is no longer a destination."),
        ("http://localhost:9101/v1", "127.0.0.1:9101 is no longer a destination."),
        ("https://127.0.0.1:9101/v1", "127.0.0.1:9101 is no longer a destination."),
    ],
)
def test_what_becomes_of_a_destination_depends_on_the_accounts_that_remain(other: str | None, said: str) -> None:
    work = provider("work", base_url="http://127.0.0.1:9101/v1", host="127.0.0.1")
    views = (work,) if other is None else (work, provider("other", base_url=other, host="127.0.0.1"))
    assert accounts.left_behind(work, views) == said


def test_the_usual_port_is_the_same_destination_written_or_not() -> None:
    work, other = provider("work"), provider("other", base_url="https://api.openai.example:443/v1/")
    assert accounts.left_behind(work, (work, other)) == "api.openai.example stays a destination, for other."


def test_a_key_is_only_said_to_be_deleted_from_a_vault_that_is_open() -> None:
    shut = snapshot(vault=c.VaultView(mode="keyring", state="locked", place="GNOME Keyring"))
    assert accounts.key_left(provider(), snapshot()) == "Its key is deleted from GNOME Keyring."
    assert accounts.key_left(provider(), shut).startswith("Its key is in GNOME Keyring, which is not open now")
    assert accounts.key_left(provider(key_state="none"), snapshot()) == ""
