"""The session follows the engine through floods and deaths, and keeps commands off the window's thread."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest
from PySide6.QtWidgets import QApplication

from app.control import contract as c
from app.core.errors import AppError
from app.core.secret import Secret
from app.gui import session
from app.gui.session import RECENT
from app.gui.state import Notice
from app.gui.tasks import Tasks
from tests.gui.conftest import Wait
from tests.gui.desk import Desk, Server, exchange, provider


def test_the_snapshot_and_the_newest_rows_are_there_after_the_start(server: Server, desk: Desk) -> None:
    assert desk.session.state.snapshot is not None
    assert desk.session.state.works


def test_rows_are_kept_newest_first_and_once(server: Server, desk: Desk, wait: Wait) -> None:
    for number in (2, 1, 3, 2):
        server.push(row=exchange(number))
    wait(lambda: len(desk.session.state.recent) == 3)
    ids = [row.id for row in desk.session.state.recent]
    assert ids == sorted(ids, reverse=True)


def test_a_flood_is_handed_over_a_few_times_a_second(server: Server, desk: Desk, wait: Wait) -> None:
    batches: list[int] = []
    desk.session.arrived.connect(lambda rows: batches.append(len(rows)))
    server.push(row=exchange(1))
    wait(lambda: batches)
    begin = time.monotonic()
    for number in range(2, 1502):
        server.push(row=exchange(number))
    wait(lambda: sum(batches) == 1501)
    assert len(batches) <= 3 + (time.monotonic() - begin) / 0.1
    assert len(desk.session.state.recent) == RECENT


def test_an_engine_that_dies_is_found_again_and_what_closed_meanwhile_is_read(server: Server, desk: Desk, wait: Wait) -> None:
    server.rows = [exchange(number) for number in range(5)]
    server.hang_up()
    wait(lambda: desk.session.state.streams == 2)
    wait(lambda: desk.session.state.live and len(desk.session.state.recent) == 5)


def test_the_last_records_stay_in_sight_while_the_engine_starts_again(server: Server, desk: Desk, wait: Wait) -> None:
    server.providers = {"openai": provider()}
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.providers)
    server.providers.clear()
    server.state = "starting"
    server.vault = c.VaultView(mode="keyring", state="starting", place="", message="Gatehouse is still starting.")
    server.hang_up()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.state == "starting")
    kept = desk.session.state.snapshot
    assert kept is not None
    assert [view.account.name for view in kept.providers] == ["openai"]
    assert kept.vault.state == "ready"
    server.state = "running"
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and not desk.session.state.snapshot.providers)


def test_what_went_well_goes_by_itself_and_what_went_wrong_stays(desk: Desk) -> None:
    desk.session.notify(Notice(tone="ok", fact="Copied."))
    assert desk.session._fade.isActive()
    desk.session.close_news()
    assert desk.session.state.notice is None
    desk.session.complain(AppError("internal", "That did not work."))
    desk.session.notify(Notice(tone="ok", fact="Copied."))
    desk.session.close_news()
    assert desk.session.state.notice is not None


def test_a_passed_test_takes_away_the_word_of_the_failed_one(server: Server, desk: Desk, wait: Wait) -> None:
    server.providers = {"openai": provider()}
    desk.session.notify(Notice(tone="wa", fact="openai did not pass its test.", about="openai"))
    desk.session.test_provider("openai")
    wait(lambda: desk.session.state.notice is None)


def test_a_test_that_the_engine_made_by_itself_is_told_but_not_one_of_an_earlier_run(server: Server, desk: Desk, wait: Wait) -> None:
    old, new = (provider(name, tested_us=1, test_ok=False) for name in ("old", "new"))
    server.state = "starting"
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.state == "starting")
    server.state, server.providers = "running", {"old": old}
    server.push()
    wait(lambda: desk.session.state.snapshot is not None and desk.session.state.snapshot.providers)
    assert desk.session.state.notice is None
    server.providers["new"] = new
    server.push()
    wait(lambda: desk.session.state.notice is not None)
    assert desk.session.state.notice is not None
    assert desk.session.state.notice.about == "new"


def test_the_keepers_word_that_the_engine_is_up_reconnects_at_once(
    server: Server, desk: Desk, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_BACK_OFF_S", (0.0, 0.0, 60.0))  # the first of two may meet the end of the connection before

    def asked_for_events() -> int:
        return sum(1 for _, path, _ in server.asked if path == "/v0/events")

    before = asked_for_events()
    server.answer("/v0/events", 503, msgspec.json.encode(c.Problem(code="draining", message="Stopping.")))
    server.hang_up()
    wait(lambda: not desk.session.state.live)
    wait(lambda: asked_for_events() > before)
    time.sleep(0.3)  # so that both were refused, and the pause of a minute has begun
    server.answers.clear()

    def live_once_told() -> bool:  # told again and again, because the pause of a minute may not have begun yet
        desk.hear(op="engine", state="up")
        return desk.session.state.live

    wait(live_once_told)


def test_a_crash_takes_the_proof_away(desk: Desk, wait: Wait) -> None:
    wait(lambda: desk.session.state.proof is not None)
    desk.hear(op="engine", state="crashed", restarts=1, next_s=1, exit=-9, log=["boom"], at_us=1)
    wait(lambda: desk.session.state.proof is None)
    assert not desk.session.state.works


def test_messages_that_make_no_sense_are_passed_over(desk: Desk, wait: Wait) -> None:
    for message in ({"op": "nonsense"}, {}, {"op": "proof"}, {"op": "engine", "state": None}):
        desk.session.hear(message, [])
    wait(lambda: desk.session.state.engine.state == "crashed")
    assert desk.session.state.proof is None


def test_a_command_is_marked_as_under_way_and_not_sent_twice(server: Server, desk: Desk, wait: Wait) -> None:
    server.providers = {"openai": provider()}
    server.delays_s["/v0/providers/openai/test"] = 0.3
    desk.session.test_provider("openai")
    desk.session.test_provider("openai")
    assert desk.session.state.is_busy("test", "openai")
    wait(lambda: not desk.session.state.is_busy("test", "openai"))
    assert [path for _method, path, _body in server.asked].count("/v0/providers/openai/test") == 1


def test_an_error_nobody_waits_for_is_shown(server: Server, desk: Desk, wait: Wait) -> None:
    desk.session.test_provider("nobody")
    wait(lambda: desk.session.state.notice is not None)
    notice = desk.session.state.notice
    assert notice is not None
    assert (notice.tone, notice.fact) == ("er", "There is no provider called 'nobody'.")


def test_a_key_travels_in_one_request_and_nowhere_else(server: Server, desk: Desk, wait: Wait) -> None:
    done: list[c.ProviderView] = []
    new = c.NewProvider(name="mine", kind="openai", base_url="https://api.openai.example/v1")
    desk.session.add_provider(new, Secret("sk-very-secret-1234567890"), done.append, desk.session.complain)
    wait(lambda: done)
    assert server.keys == {"mine": "sk-very-secret-1234567890"}
    assert "very-secret" not in repr(desk.session.state)


def test_quit_is_told_to_the_keeper_once(desk: Desk) -> None:
    desk.session.quit("first")
    desk.session.quit("second")
    assert desk.keeper.told == [("quit", {"reason": "first"})]
    assert desk.session.state.leaving


def test_the_end_of_the_keeper_ends_the_window(desk: Desk, wait: Wait) -> None:
    ended: list[bool] = []
    desk.session.ended.connect(lambda: ended.append(True))
    desk.session.hear_end()
    wait(lambda: ended)


def test_a_failing_command_never_escapes_its_thread(application: QApplication, wait: Wait) -> None:
    tasks = Tasks()
    errors: list[AppError] = []
    main = threading.get_ident()
    ran_on: list[int] = []

    def broken() -> None:
        ran_on.append(threading.get_ident())
        raise ZeroDivisionError

    def failed(error: AppError) -> None:
        ran_on.append(threading.get_ident())
        errors.append(error)

    tasks.run("broken", broken, lambda _: None, failed)
    wait(lambda: errors)
    assert errors[0].code == "internal"
    assert ran_on[0] != main
    assert ran_on[1] == main


def test_nobody_is_told_who_is_gone(server: Server, desk: Desk, wait: Wait, application: QApplication) -> None:
    from app.gui.sheets.add_client import AddClientSheet

    server.delays_s["/v0/clients"] = 0.2
    sheet = AddClientSheet(desk.session, desk.window.clipboard, desk.window)
    sheet._field.line.setText("scripts")
    sheet._on_add()
    sheet.close_now()
    for _ in range(5):
        application.processEvents()
    wait(lambda: not desk.session.state.busy)
    assert "scripts" in server.clients
