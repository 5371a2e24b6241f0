"""The Network page: what it says at each level, what it must never say, and the self-test as it happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from PySide6.QtWidgets import QPushButton

from app.control import contract as c
from app.gui import leaving
from app.gui.labels import Elided, Label
from app.gui.sheets.leaks import LeakSheet
from tests.gui.conftest import Wait
from tests.gui.desk import START_US, Desk, Server, settle

NOW_US = START_US + 3_600_000_000


def process(role: str, pid: int, **changes: Any) -> c.ProcessView:
    return c.ProcessView(**({"role": role, "pid": pid, "measured": True, "level": "kernel", "landlock_version": 7} | changes))


def view(**changes: Any) -> c.NetworkView:
    fields: dict[str, Any] = {
        "level": "kernel",
        "level_reason": "",
        "since_us": START_US,
        "from_us": START_US,
        "gaps": (),
        "connections": 412,
        "hosts": 3,
        "local_hosts": 1,
        "destinations": (
            c.DestinationView(
                host="api.anthropic.com", port=443, scheme="https", local=False, purpose="Requests you make", accounts=("claude",),
                added_us=START_US, connections=296, bytes_out=71_800_000, bytes_in=18_300_000, last_us=NOW_US, tls="TLSv1.3",
                issuer="Google Trust Services",
            ),
            c.DestinationView(
                host="127.0.0.1", port=11434, scheme="http", local=True, purpose="Given to a program on this machine or network",
                accounts=("ollama",), added_us=START_US, connections=61, bytes_out=1_900_000, bytes_in=400_000, last_us=NOW_US,
            ),
        ),
        "refused": (
            c.RefusedAttempt(
                at_us=NOW_US, process="keeper", what="dial", target="http://169.254.169.254:80", account="x", rule="metadata",
                sentence="169.254.169.254 is at 169.254.169.254, which is a cloud's metadata service.",
            ),
            c.RefusedAttempt(
                at_us=NOW_US - 1, process="engine", what="look-up", target="huggingface.co", rule="tripwire", sentence="x", count=4,
                stack=("socket.getaddrinfo", "tokenizers.hub.fetch", "tokenizers.load", "app.engine.main.run"),
            ),
        ),
        "refused_count": 5,
        "names": (c.NameAsked(name="api.anthropic.com", times=12, found=2, last_us=NOW_US),),
        "layers": (
            c.LayerView(name="Kernel filter", does="seccomp: no internet sockets", state="active"),
            c.LayerView(name="Keeper", does="the only process that may connect", state="active"),
            c.LayerView(name="Landlock", does="no TCP, version 7", state="active"),
            c.LayerView(name="Python tripwire", does="refuses and names the module", state="active"),
            c.LayerView(name="Socket table", does="one look a second", state="watching"),
            c.LayerView(name="Packet filter", does="needs an administrator", state="unused"),
        ),
        "processes": (process("keeper", 4127), process("engine", 4133), process("window", 4140)),
        "listening": (
            c.ListeningView(address="127.0.0.1:4141", process="engine", pid=4133, kind="gateway"),
            c.ListeningView(address="/run/user/1000/gatehouse/control.sock", process="engine", pid=4133, kind="control"),
        ),
        "environment": ("HTTPS_PROXY",),
        "books": c.BooksView(ledger=412, records=412, keeper=412, seen=409, looks=900),
        "unexplained": (),
        "removed_headers": 1111,
        "removed_from": 101,
        "removed_identifiers": 101,
    }  # fmt: skip
    return c.NetworkView(**(fields | changes))


def guarded() -> c.NetworkView:
    layers = (c.LayerView(name="Kernel filter", does="seccomp", state="missing", reason="not offered by this system"), *view().layers[1:])
    return view(level="guarded", level_reason="The engine is not locked: this system offers a program no such lock.", layers=layers)


REACH = ("session bus", "X11 screen")


def asking(**changes: Any) -> c.NetworkView:
    """With a window on a desktop."""
    layers = (
        *view().layers[:1],
        c.LayerView(name="Other programs", does="seccomp: not asked, not signalled", state="partial", reason="open to the window: bus"),
        *view().layers[1:],
    )
    processes = (process("keeper", 4127), process("engine", 4133), process("window", 4140, level="desktop", reach=REACH))
    fields: dict[str, Any] = {"level": "desktop", "level_reason": "The window can ask other programs: session bus, X11 screen."}
    return view(**(fields | {"layers": layers, "processes": processes} | changes))


@pytest.fixture
def served(server: Server) -> Server:
    answer(server, view())
    return server


def answer(server: Server, shown: c.NetworkView) -> None:
    server.answers["/v0/network"] = (200, msgspec.json.encode(shown))


def test_the_verdict_names_the_level_and_everything_that_left() -> None:
    words = leaving.present(view(), NOW_US)
    assert words.level == "Enforced by the kernel"
    assert words.verdict == "412 connections, all to 3 hosts you added and 1 of your own. None to anything else."
    assert "no gaps" in words.since
    assert words.books_state == "Agree"
    assert "3 closed between two looks." in words.books_below
    assert "1,111 headers and 101 identifiers" in words.removed


def test_a_lower_level_never_says_none_to_anything_else() -> None:
    words = leaving.present(guarded(), NOW_US)
    assert words.level == "Guarded and observed"
    assert words.tone != "ok"
    for text in (words.verdict, words.explanation):
        assert "None to anything" not in text
        assert "no internet sockets" not in text
    assert "seen" in words.verdict
    assert "Native code is observed, not stopped." in words.explanation


def test_a_window_on_a_desktop_lowers_the_level_in_words_of_its_own() -> None:
    words = leaving.present(asking(), NOW_US)
    assert words.level == "Enforced by the kernel, desktop in reach"
    assert (words.tone, words.glyph) == ("in", "lock-key-fill")
    assert words.verdict == "412 connections, all to 3 hosts you added and 1 of your own. Gatehouse made no other."
    assert "have no internet sockets" in words.explanation
    assert "The engine can reach no other program. The window can ask other programs: session bus, X11 screen." in words.explanation
    assert "gatehouse serve" in words.explanation
    assert "observed, not stopped" not in words.explanation
    (line,) = [line for line in words.layers if line.name == "Other programs"]
    assert (line.state, line.tone, "open to the window" in f"{line.words} {line.below}") == ("In part", "wa", True)


def test_what_other_programs_do_is_never_denied_while_a_window_can_ask_them() -> None:
    """In no period, with or without connections, and of the time before only what the records say."""
    for connections in (0, 1, 412):
        for period in leaving.PERIODS:
            for from_us in (START_US - 1, START_US):
                words = leaving.present(asking(connections=connections, from_us=from_us), NOW_US, period)
                assert "None to anything" not in f"{words.verdict} {words.explanation}"
                assert ("made no other" in words.verdict) == (from_us == START_US and connections > 0)
    assert leaving.present(asking(connections=0), NOW_US).verdict == "No connection of Gatehouse yet."
    assert leaving.present(asking(unexplained=("x",)), NOW_US).verdict == "One thing here is not explained."


def test_whatever_is_unexplained_is_red_and_stands_in_the_verdict() -> None:
    red = "The engine has a socket that nothing explains: tcp 10.0.0.2:5 to 198.51.100.7:443."
    words = leaving.present(view(unexplained=(red,)), NOW_US)
    assert words.verdict == "One thing here is not explained."
    assert words.red == (red,)
    assert (words.books_state, words.books_tone) == ("Do not agree", "er")
    books = msgspec.structs.replace(view().books, mismatches=("Connection 7: 1 of 3 requests on this connection are not in the ledger.",))
    assert leaving.present(view(books=books), NOW_US).books_tone == "er"


def test_a_refused_attempt_names_the_module_that_asked_not_pythons_own() -> None:
    line = leaving.present(view(), NOW_US).refused[1]
    assert line.name == "huggingface.co"
    assert line.below == "Asked by tokenizers.hub.fetch < tokenizers.load < app.engine.main.run"


def test_gaps_hidden_sockets_and_crashes_are_said() -> None:
    books = msgspec.structs.replace(view().books, hidden=("engine",), not_compared=2)
    words = leaving.present(view(gaps=(c.Gap(from_us=START_US, until_us=NOW_US),), books=books), NOW_US)
    assert "1 gap in observation" in words.since
    assert "engine" in words.books_below
    assert "sudo" in words.books_below
    assert "2 ended with a crash" in words.books_below


def test_commands_hold_the_live_process_ids() -> None:
    texts = [command.text for command in leaving.present(view(), NOW_US).commands["linux"]]
    assert 'sudo ss -tunp | grep -E "pid=(4127|4133|4140),"' in texts
    assert any("strace" in text and "4133" in text for text in texts)
    assert any("host api.anthropic.com" in text and "127.0.0.1" not in text for text in texts)


def test_every_system_has_its_own_commands_with_the_same_process_ids() -> None:
    """Each is a tool of that system, names the live processes where it can, and never a local host."""
    found = leaving.present(view(), NOW_US).commands
    assert list(found) == ["linux", "macos", "windows"]
    for platform, tools in (
        ("macos", ("lsof", "nettop", "tcpdump")),
        ("windows", ("Get-NetTCPConnection", "Get-NetUDPEndpoint", "pktmon")),
    ):
        texts = " ".join(command.text for command in found[platform])  # type: ignore[index]
        assert all(tool in texts for tool in tools)
        assert "strace" not in texts
        assert "127.0.0.1" not in texts
        assert "4127,4133,4140" in texts
    assert "Get-NetTCPConnection -OwningProcess 4127,4133,4140" in [command.text for command in found["windows"]]
    assert not any("not (" in command.text for command in leaving.present(view(destinations=()), NOW_US).commands["linux"])


def test_periods_begin_at_the_start_at_local_midnight_and_thirty_days_ago() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    noon = int(datetime(2026, 3, 30, 12, tzinfo=berlin).timestamp()) * 1_000_000  # the day after the clock was set forward
    assert leaving.begins("start", noon, berlin) == 0
    assert leaving.begins("today", noon, berlin) == int(datetime(2026, 3, 30, tzinfo=berlin).timestamp()) * 1_000_000
    assert leaving.begins("days", noon, berlin) == int(datetime(2026, 3, 1, tzinfo=berlin).timestamp()) * 1_000_000
    assert 0 <= NOW_US - leaving.begins("today", NOW_US) < 26 * 3_600_000_000


def test_of_the_time_before_this_run_nobody_says_that_nothing_else_was_possible() -> None:
    words = leaving.present(view(from_us=START_US - 1), NOW_US, "days")
    assert words.verdict == "30 days: 412 connections, all to 3 hosts you added and 1 of your own."
    assert "from the records of earlier runs" in words.explanation
    today = leaving.present(view(from_us=START_US + 1), NOW_US, "today")
    assert today.verdict == "Today: 412 connections, all to 3 hosts you added and 1 of your own. None to anything else."
    assert "earlier runs" not in today.explanation
    none = leaving.present(view(from_us=START_US - 1, connections=0), NOW_US, "days")
    assert "None to anything" not in none.verdict


def test_one_connection_and_servers_of_ones_own_are_said_in_words() -> None:
    one = leaving.present(view(connections=1, hosts=0, local_hosts=1), NOW_US)
    assert one.verdict == "1 connection, all to a server of your own. None to anything else."
    two = leaving.present(view(connections=2, hosts=1, local_hosts=0), NOW_US)
    assert two.verdict == "2 connections, all to 1 host you added. None to anything else."


def test_what_was_tried_again_and_again_is_one_line_with_its_last_time() -> None:
    first = view().refused[0]
    lines = leaving.present(view(refused=(first, *([first] * 4), view().refused[1])), NOW_US).refused
    assert [line.name for line in lines] == ["169.254.169.254:80", "huggingface.co"]
    assert lines[0].words.endswith("(5 times)")
    assert lines[1].words == "engine: look-up (4 times)"


def test_variables_that_could_redirect_are_shown_whether_set_or_not() -> None:
    lines = {line.name: line.state for line in leaving.present(view(), NOW_US).environment}
    assert lines["HTTPS_PROXY"] == "Ignored"
    assert lines["SSLKEYLOGFILE"] == lines["LD_PRELOAD"] == "Clear"
    assert lines["TLS issuers"] == "Unchanged"


def test_the_page_shows_it_and_a_stranger_turns_it_red(served: Server, desk: Desk, wait: Wait) -> None:
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None)
    assert page._fact.text().startswith("412 connections")
    assert page._table.model().rowCount() == 2
    answer(served, view(unexplained=("extra was added without a command.",)))
    page._ask()
    wait(lambda: page._words.red)
    assert page._fact.text() == "One thing here is not explained."
    answer(served, asking())
    page._ask()
    wait(lambda: not page._words.red)
    assert page._fact.text().endswith("Gatehouse made no other.")
    page.grab()


def test_another_period_is_asked_of_the_engine_and_shown_when_it_came(served: Server, desk: Desk, wait: Wait) -> None:
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None)
    asked = [path for _, path, _ in served.asked if path.startswith("/v0/network")]
    assert asked
    assert all("from=" not in path for path in asked)
    answer(served, view(connections=7))
    page._period.choose(1)
    page._period.chosen.emit(1)
    wait(lambda: page._fact.text().startswith("Today: 7 connections"))
    last = [path for _, path, _ in served.asked if path.startswith("/v0/network")][-1]
    assert last == f"/v0/network?from={leaving.begins('today', page._now[0])}"


def test_the_longer_a_look_takes_the_rarer_it_is(served: Server, desk: Desk, wait: Wait) -> None:
    served.delays_s["/v0/network"] = 0.5
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None)
    assert page._watch.interval() >= 5_000
    served.delays_s.clear()
    page._ask()
    wait(lambda: page._watch.interval() < 5_000)


def test_the_tabs_show_another_systems_commands_and_a_copy_is_of_what_is_shown(served: Server, desk: Desk, wait: Wait) -> None:
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None)
    copied: list[str] = []
    page.wanted.connect(copied.append)
    for index, tool in ((2, "Get-NetTCPConnection"), (1, "lsof"), (0, "ss -tunp")):
        page._checks._platform.choose(index)
        page._checks._platform.chosen.emit(index)
        button = next(each for each in page._checks.findChildren(QPushButton) if each.accessibleName().startswith("Copy:"))
        button.click()
        assert tool in copied[-1]


def test_all_refused_attempts_can_be_seen(served: Server, desk: Desk, wait: Wait) -> None:
    many = tuple(
        c.RefusedAttempt(
            at_us=NOW_US - n, process="keeper", what="dial", target=f"https://{n}.example:443", rule="loopback", sentence="No."
        )
        for n in range(9)
    )  # fmt: skip
    answer(served, view(refused=many))
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None)
    assert len(page._refused._shown[0]) == 3
    page._every.click()
    assert len(page._refused._shown[0]) == 9
    page._every.click()
    assert len(page._refused._shown[0]) == 3


@pytest.mark.parametrize("width", [1240, 960])
def test_nothing_is_cut_off_at_either_width(served: Server, desk: Desk, wait: Wait, width: int) -> None:
    """What may be shortened is: every other label has the room its text wants."""
    desk.window.resize(width, 700)
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None)
    page.grab()
    for label in page._all.findChildren(Label):
        if not isinstance(label, Elided) and label.isVisible() and not label.wordWrap():
            assert label.width() >= label.fontMetrics().horizontalAdvance(label.text()), label.text()
    cards = (page._refused, page._layers, page._books)
    assert {card.x() for card in cards[:2]} == ({page._layers.x()} if width == 960 else {cards[0].x(), cards[1].x()})
    assert (page._refused.y() < page._layers.y()) == (width == 960)


@pytest.mark.parametrize("width", [1240, 960])
def test_a_name_from_outside_pushes_nothing_off_the_page(served: Server, desk: Desk, wait: Wait, width: int) -> None:
    long = f"{'.'.join(letter * 63 for letter in 'abc')}.example"
    attempt = c.RefusedAttempt(
        at_us=NOW_US,
        process="engine",
        what="look-up",
        target=long,
        rule="tripwire",
        stack=("x" * 200,),
        sentence=f"{long} is not declared.",
    )
    dialled = replace(attempt, process="keeper", what="dial", rule="undeclared")
    answer(served, view(refused=(attempt, dialled), unexplained=(f"A socket to {long}.",)))
    desk.window.resize(width, 700)
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None and page._words.red)
    settle()
    for each in page.findChildren(QPushButton):
        if each.isVisible():
            assert each.mapTo(desk.window, each.rect().topRight()).x() < desk.window.width(), each.text()


def test_hostile_text_from_outside_stays_text(served: Server, desk: Desk, wait: Wait) -> None:
    evil = "<img src='http://198.51.100.1/x.png'><b>bold</b>"
    attempt = c.RefusedAttempt(at_us=NOW_US, process="engine", what="look-up", target=evil, rule="tripwire", stack=(evil,), sentence=evil)
    answer(served, view(refused=(attempt,), unexplained=(evil,)))
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None)
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QLabel

    for label in page.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText


def test_each_attempt_appears_as_it_happens_and_the_last_must_get_through(served: Server, desk: Desk, wait: Wait) -> None:
    attempts = [
        c.LeakAttempt(name="TCP, plain socket", process="engine", to="192.0.2.1:80", result="kernel", after_us=100, good=True),
        c.LeakAttempt(name="UDP datagram", process="keeper", to="192.0.2.1:53", result="tripwire", after_us=30, good=True),
        c.LeakAttempt(name="Allowed", process="keeper", to="127.0.0.1:4141", result="reached", after_us=300, good=True, must_pass=True),
    ]
    served.answers["/v0/network/selftest"] = (200, b"".join(msgspec.json.encode(each) + b"\n" for each in attempts))
    desk.window.open_page("network")
    sheet = LeakSheet(desk.session, desk.window)
    sheet.open()
    wait(sheet._copy.isEnabled)
    assert sheet._state.word() == "2 stopped, 0 got out"
    assert [leaving.leak(each)[1] for each in sheet.found] == [
        "Stopped by the kernel filter",
        "Stopped by the tripwire",
        "Got through, as it must",
    ]
    sheet.close_now()


def test_a_leak_that_got_out_and_a_control_that_did_not_pass_are_red() -> None:
    out = c.LeakAttempt(name="UDP", process="engine", to="x", result="reached", after_us=1, good=False)
    blocked = c.LeakAttempt(name="Allowed", process="keeper", to="x", result="stopped", after_us=1, good=False, must_pass=True)
    assert leaving.leak(out)[1:] == ("Got out", "er")
    assert leaving.leak(blocked)[2] == "er"


def test_the_report_is_written_with_its_verifier(served: Server, desk: Desk, wait: Wait, tmp_path: Path) -> None:
    from app import report_verifier
    from tests.control.test_report import PUBLIC, signed

    served.answers["/v0/network/report"] = (200, msgspec.json.encode(signed()))
    desk.window.open_page("network")
    page: Any = desk.window.page()
    wait(lambda: page._words is not None)
    page.export_into(str(tmp_path))
    wait(lambda: list(tmp_path.glob("gatehouse-network-[0-9]*/verify.py")) and desk.session.state.notice is not None)
    (folder,) = (each for each in tmp_path.iterdir() if each.name.startswith("gatehouse-network-"))
    assert report_verifier.check(folder, PUBLIC)[0] == "intact"
    assert desk.session.state.notice is not None
    assert desk.session.state.notice.fact == f"The signed report is in {folder.name}."
