"""Do the books agree? Every way in which a socket, a record or a row of the ledger can be one too many."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.egress.witness import TLS_OVERHEAD, Connection, Known, Told, compare, unexplained
from app.system.socket_table import Socket

KEEPER, ENGINE = 100, 200


def known(**changes: Any) -> Known:
    fields: dict[str, Any] = {
        "keeper": KEEPER, "port": 4141, "kept": {7}, "places": set(), "listening": {3}, "listening_at": {"127.0.0.1:4141"},
        "looking_up": False,
    }  # fmt: skip
    return Known(**fields | changes)


def one(local: str, remote: str, **changes: Any) -> Socket:
    fields: dict[str, Any] = {"pid": ENGINE, "protocol": "tcp", "local": local, "remote": remote, "state": "established", "inode": 99}
    return Socket(**fields | changes)


OUT = one("10.0.0.2:50000", "198.51.100.7:443")


@pytest.mark.parametrize(
    "stranger",
    [
        OUT,
        one("10.0.0.2:50000", "198.51.100.7:443", state="connecting"),
        one("10.0.0.2:50000", "198.51.100.7:443", state=""),
        one("10.0.0.2:50000", "198.51.100.7:4141"),  # the gateway's own number, but elsewhere
        one("10.0.0.2:4141", "198.51.100.7:443"),
        one("127.0.0.1:50000", "127.0.0.1:11434"),  # a local server that nobody declared
        one("[::1]:50000", "[::1]:11434"),
        one("[2001:db8::2]:50000", "[2001:db8::1]:443"),
        one("[::ffff:10.0.0.2]:50000", "[::ffff:198.51.100.7]:443"),
        one("[::ffff:127.0.0.1]:4141", "[::ffff:198.51.100.7]:443"),
        one("0.0.0.0:68", "0.0.0.0:0", protocol="udp", state=""),
        one("127.0.0.1:4141", "127.0.0.1:4141", protocol="udp", state=""),
        one("*:0", "*:0", protocol="packet", state=""),
        one("0.0.0.0:1", "0.0.0.0:0", protocol="raw", state=""),
        one("0.0.0.0:4141", "0.0.0.0:0", state="listening"),  # on every interface
        one("192.168.1.2:4141", "0.0.0.0:0", state="listening"),
        one("10.0.0.2:50000", "9.9.9.9:53", protocol="udp", state=""),  # a look-up that is not the keeper's
        one("10.0.0.2:50000", "9.9.9.9:443", protocol="udp", state="", pid=KEEPER),  # the keeper's, but nothing is being looked up
        one("10.0.0.2:50000", "198.51.100.7:443", pid=KEEPER),  # not even the keeper's, unless it was dialled
        one("10.0.0.2:50000", "198.51.100.7:443", inode=0),
        one("nonsense:1", "nonsense:2", inode=0),
        one("127.0.0.1:50000", "nonsense:4141"),
    ],
)
def test_a_socket_that_nothing_of_ours_made_is_a_finding(stranger: Socket) -> None:
    assert unexplained([stranger], known()) == [stranger]


@pytest.mark.parametrize(
    "ours",
    [
        one("10.0.0.2:50000", "198.51.100.7:443", inode=7),  # a dialled connection, at the keeper or handed over
        one("10.0.0.2:50000", "198.51.100.7:443", inode=7, state="connecting", pid=KEEPER),
        one("127.0.0.1:4141", "0.0.0.0:0", state="listening", inode=3),
        one("127.0.0.1:4141", "0.0.0.0:0", state="listening", inode=0),  # where sockets have no numbers
        one("127.0.0.1:4141", "127.0.0.1:50000"),  # a client
        one("[::1]:4141", "[::1]:50000"),
        one("127.0.0.1:50000", "127.0.0.1:4141", pid=KEEPER),  # the keeper's question to its own port
        one("10.0.0.2:50000", "9.9.9.9:53", protocol="udp", state="", pid=KEEPER),
        one("127.0.0.1:50000", "127.0.0.1:50001", inode=0),  # Windows' pairs
    ],
)
def test_what_the_gateway_does_all_day_is_explained(ours: Socket) -> None:
    assert unexplained([ours], known()) == []


def test_the_resolvers_sockets_are_the_keepers_and_only_while_it_asks() -> None:
    asking = one("10.0.0.2:50000", "9.9.9.9:853", protocol="udp", state="", pid=KEEPER)
    assert unexplained([asking], known(looking_up=True)) == []
    assert unexplained([asking], known()) == [asking]
    by_tcp = one("10.0.0.2:50000", "198.51.100.7:443", pid=KEEPER)
    assert unexplained([by_tcp], known(looking_up=True)) == [by_tcp]


def test_where_sockets_have_no_numbers_both_ends_must_be_the_dialled_ones() -> None:
    dialled = ("10.0.0.2:50000", "198.51.100.7:443")
    made = known(places={dialled})
    assert unexplained([one(*dialled, inode=0)], made) == []
    assert unexplained([one("10.0.0.2:50001", dialled[1], inode=0)], made) != []


@pytest.mark.parametrize("state", ["closing", "accepting"])
def test_what_is_ending_or_not_taken_yet_carries_nothing(state: str) -> None:
    assert unexplained([one(OUT.local, OUT.remote, state=state)], known()) == []


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["tcp", "udp", "raw"]), st.integers(0, 9))
def test_no_text_of_a_table_stops_the_comparison(local: str, remote: str, protocol: str, inode: int) -> None:
    found = one(f"{local}:1", f"{remote}:2", protocol=protocol, inode=inode)
    assert unexplained([found], known()) in ([], [found])


def record(number: int = 1, **changes: Any) -> Connection:
    fields: dict[str, Any] = {
        "number": number, "closed": True, "used": 2, "other_out": 0, "bytes_out": 500, "bytes_in": 900, "tls": False, "counted": True,
    }  # fmt: skip
    return Connection(**fields | changes)


AGREES = {1: Told(2, 500, 900)}


def sentences(records: list[Connection], ledger: dict[int, Told]) -> list[str]:
    return [found.sentence for found in compare(records, ledger)]


def test_books_that_agree_say_nothing() -> None:
    assert compare([record()], AGREES) == []
    assert compare([record(used=0, other_out=500)], {}) == []  # a test of an account
    assert compare([], {}) == []


def test_a_row_that_is_missing_from_the_ledger_is_found() -> None:
    assert sentences([record()], {1: Told(1, 500, 900)}) == ["1 of 2 requests on this connection are not in the ledger."]
    assert sentences([record()], {}) == ["2 of 2 requests on this connection are not in the ledger."]


def test_a_row_that_was_added_to_the_ledger_is_found() -> None:
    assert sentences([record()], {1: Told(3, 500, 900)}) == ["The ledger names 3 requests, the connection carried 2."]
    assert sentences([record()], AGREES | {9: Told(1, 1, 1)}) == ["The ledger names a connection that the keeper never made."]


def test_bytes_that_went_out_besides_are_found_to_the_byte_without_tls() -> None:
    assert sentences([record(bytes_out=501)], AGREES) == ["1 bytes went out that no exchange in the ledger accounts for."]
    assert sentences([record(bytes_out=500, other_out=1)], AGREES) == []


def test_with_tls_its_own_bytes_are_allowed_for_and_no_more() -> None:
    room = TLS_OVERHEAD + 500 // 50
    assert sentences([record(tls=True, bytes_out=500 + room)], AGREES) == []
    assert len(sentences([record(tls=True, bytes_out=501 + room)], AGREES)) == 1


def test_more_bytes_in_than_the_system_counted_are_found() -> None:
    assert sentences([record(bytes_in=899)], AGREES) == ["The ledger names more bytes in than the operating system counted."]


def test_what_is_open_or_was_ended_by_a_crash_or_is_not_counted_is_not_judged_by_its_bytes() -> None:
    assert compare([record(closed=False, used=9)], {}) == []
    assert compare([record(counted=False, bytes_out=10_000, bytes_in=0)], AGREES) == []
    assert len(compare([record(counted=False)], {})) == 1  # the number of requests still is


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**9), st.integers(0, 10**9), st.booleans())
def test_only_books_that_agree_pass(used: int, told: int, out: int, accounted: int, tls: bool) -> None:
    ledger = {1: Told(told, accounted, 0)} if told else {}
    found = compare([record(used=used, bytes_out=out, tls=tls)], ledger)
    accounted = accounted if told else 0
    agree = used == told and out <= accounted + (accounted // 50 + TLS_OVERHEAD if tls else 0)
    assert (found == []) == agree
