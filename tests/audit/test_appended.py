"""Entries that somebody with the database's key puts in at the end: never signed over, always found, and nobody else's are."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app import verifier
from app.core import chain
from app.core.events import ClientRemoved, GatewayStopped
from app.core.runs import Runs
from app.store import audit, cipher, sealing
from app.store.database import Store
from app.store.sealing import HeldError
from app.system.paths import Paths
from tests.audit.book import RUN, Book, book, forge, kinds
from tests.gateway import Gateway, gateway
from tests.store.rows import NOW_US

ONE, TWO, THREE = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32


def body(kind: str = ClientRemoved.KIND, actor: str = "person", **detail: object) -> bytes:
    return chain.canonical({"actor": actor, "at_us": NOW_US + 10**9, "detail": detail or {"name": "Zed"}, "kind": kind, "subject": "Zed"})


def plain(connection: Any) -> None:
    forge(connection, body())


def several(connection: Any) -> None:
    forge(
        connection, *(body(kind) for kind in ("audit.verified", "ledger.trimming", "ledger.trimmed", "audit.pruned", GatewayStopped.KIND))
    )


def twice_named(connection: Any) -> None:
    forge(connection, body()[:-1] + b',"kind":"gateway.started"}')


def tag_of_another(connection: Any) -> None:
    forge(connection, body(), tag=connection.exec_driver_sql("SELECT tag FROM audit WHERE seq = 120").scalar())


def tag_of_a_key_of_ones_own(connection: Any) -> None:
    forge(connection, body(), tag=bytes(32))


def tag_of_another_type(connection: Any) -> None:
    forge(connection, body(), tag=b"x" * 5)


def ours_again(connection: Any) -> None:
    """Every byte of an entry of ours, with its tag, under the next number."""
    said, hashed, tag = connection.exec_driver_sql("SELECT body, hash, tag FROM audit ORDER BY seq DESC LIMIT 1").one()
    seq, _ = audit.newest_link(connection)
    connection.exec_driver_sql("INSERT INTO audit (seq, body, hash, tag) VALUES (?, ?, ?, ?)", (seq + 1, said, hashed, tag))


def rewritten_tail(connection: Any) -> None:
    """The newest entry, which no signature covers, written anew with a hash that fits."""
    seq, _ = audit.newest_link(connection)
    head = connection.exec_driver_sql("SELECT hash FROM audit WHERE seq = ?", (seq - 1,)).scalar()
    changed = body(actor="gateway")
    connection.exec_driver_sql("UPDATE audit SET body = ?, hash = ? WHERE seq = ?", (changed, verifier.link(head, seq, changed), seq))


APPENDED: list[Callable[[Any], None]] = [
    plain, several, twice_named, tag_of_another, tag_of_a_key_of_ones_own, tag_of_another_type, ours_again, rewritten_tail,
]  # fmt: skip


def stopped(made: Book) -> None:
    made.seal()
    made.remember()


def died(made: Book) -> None:
    made.append(4, "unsigned")


def pruned(made: Book) -> None:
    made.prune(100)


def restored(made: Book) -> None:
    made.sql("UPDATE audit SET body = CAST(body || ' ' AS BLOB) WHERE seq = 30")
    made.restore()


STATES: list[Callable[[Book], None]] = [stopped, died, pruned, restored]
# Alone, and with entries of ours after it: by turns.
CASES = [
    pytest.param(attack, state, (row + column) % 2 == 1, id=f"{attack.__name__}, {state.__name__}")
    for row, attack in enumerate(APPENDED)
    for column, state in enumerate(STATES)
]


@pytest.mark.parametrize(("attack", "state", "later"), CASES)
def test_what_no_run_wrote_is_found_and_never_signed_over(
    attack: Callable[[Any], None], state: Callable[[Book], None], later: bool, data_dir: Path
) -> None:
    with book(data_dir / "g.db") as made:
        made.filled()
        state(made)
        if attack is rewritten_tail and state is not died:
            made.append(1, "unsigned")
        made.edit(attack)
        if later:
            made.append(3, "later")
        for _ in range(2):
            made.start(RUN.begun(TWO))
            assert set(kinds(made.verify())) & {"appended", "edited"}, "found"
            for sign in (made.seal, made.turn):
                with pytest.raises(HeldError) as refused:
                    sign()
                assert refused.value.kind == "appended"


def test_what_a_run_left_unsigned_counts_while_the_vault_holds_its_secret(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled()
        made.start(Runs((ONE,)))
        made.append(2)
        made.start(Runs((ONE, TWO)))
        made.append(2)
        made.start(Runs((ONE, TWO, THREE)))
        assert made.verify().state == "intact"
        made.start(Runs((TWO, THREE)))
        assert kinds(made.verify()) == ["appended"]
        made.start(Runs((ONE, TWO, THREE)))
        made.turn()
        made.remember()
        made.start(Runs((THREE,)))
        assert made.verify().state == "intact", "what is signed needs no secret"


@pytest.mark.parametrize("known", [True, False])
def test_what_is_from_before_there_were_tags_counts_once(known: bool, data_dir: Path) -> None:
    """Known: a run of before is known to the vault, so nothing may be untagged."""
    with book(data_dir / "g.db") as made:
        made.filled()
        made.edit(plain)
        made.start(Runs((ONE,), untagged=not known))
        made.append(2)
        assert made.verify().state == ("tampered" if known else "intact")
        if not known:
            made.edit(plain)
            assert kinds(made.verify()) == ["appended"], "after a tag, nothing is from before"


def test_secrets_of_runs_read_back_as_they_were_kept() -> None:
    runs = Runs((ONE, TWO), untagged=True)
    assert Runs.of(runs.text()) == runs
    assert Runs.of(None) == Runs(untagged=True)
    assert runs.sealed() == Runs((TWO,))
    assert ONE.hex() not in repr(runs)
    for broken in ("", "[]", "{}", '{"keys":["zz"],"untagged":false}', '{"keys":["00"],"untagged":false}', "[" * 100_000):
        assert Runs.of(broken) == Runs(), "what cannot be read excuses nothing"


def test_the_anchor_says_whether_the_run_ended_in_an_orderly_way(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled()
        with made.store.read() as connection:
            closing_now, open_still = sealing.anchor_of(connection, closing=True), sealing.anchor_of(connection)
        assert closing_now is not None
        assert open_still is not None
        assert (closing_now.closed, open_still.closed) == (True, False)
        assert verifier.Anchor.of(closing_now.text()) == closing_now
        made.append(1)
        with made.store.read() as connection:
            unsigned = sealing.anchor_of(connection, closing=True)
        assert unsigned is not None
        assert not unsigned.closed, "something is not signed"
        made.anchor = closing_now
        made.start(Runs((TWO,)))
        assert "had stopped in an orderly way at entry" in made.verify().findings[0].sentence


# -- a real gateway


def attacked(one: Gateway, attack: Callable[[Any], None]) -> None:
    with closing(Store.open(Paths(one.folder).database, one.keys()["db"])) as store, store.write() as connection:
        attack(connection)


def findings(one: Gateway) -> tuple[str, list[str]]:
    said = json.loads(one.cli("audit", "verify", "--json", check=None).stdout)
    return said["state"], [finding["kind"] for finding in said["findings"]]


@pytest.mark.parametrize("crashed", [False, True], ids=["stopped", "killed"])
def test_a_gateway_finds_what_was_appended_while_it_was_away_and_signs_nothing(crashed: bool, data_dir: Path) -> None:
    with gateway(data_dir) as one:
        one.cli("client", "add", "Zed")
        assert findings(one) == ("intact", [])
        one.stop(kill=crashed)
        one.start()
        assert findings(one) == ("intact", []), "nobody was there"
        one.stop(kill=crashed)
        attacked(one, several)
        for _ in range(2):
            one.start()
            state, kinds_found = findings(one)
            assert (state, kinds_found[0]) == ("tampered", "appended")
            one.stop(kill=crashed)
        with closing(cipher.connect(Paths(one.folder).database, one.keys()["db"], read_only=True)) as connection:
            (forged,) = connection.execute("SELECT max(seq) FROM audit WHERE tag = x''").fetchone()
            (signed,) = connection.execute("SELECT max(seq) FROM checkpoints").fetchone()
        assert signed < forged
