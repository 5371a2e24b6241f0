"""Ten attacks by somebody who has the database and its key: each is found, and named for what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from app import verifier
from app.core import chain
from app.store import audit, ledger, sealing
from app.store.sealing import Signer
from tests import exports
from tests.audit.book import Book, book, kinds, rehash


def edit(made: Book) -> None:
    made.sql("UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'person', 'nobody') AS BLOB) WHERE seq = 150")


def delete(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq = 150")


def swap(made: Book) -> None:
    def act(connection: Connection) -> None:
        found = {row[0]: row[1:] for row in connection.exec_driver_sql("SELECT seq, body, hash FROM audit WHERE seq IN (150, 151)")}
        for seq, other in ((150, 151), (151, 150)):
            connection.exec_driver_sql("UPDATE audit SET body = ?, hash = ? WHERE seq = ?", (*found[other], seq))

    made.edit(act)


def restamp(made: Book) -> None:
    made.edit(lambda connection: rehash(connection, 145, lambda seq, body: body.replace(b"client-", b"klient-") if seq == 145 else body))


def cut_tail(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq > 280")


def cut_tail_and_checkpoints(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq > 250", "DELETE FROM checkpoints WHERE seq > 250", "DELETE FROM tree_edge")


def roll_back_the_file(made: Book) -> None:
    older = made.path.with_name("older.db")
    made.copy(older)
    made.put_back(older)
    made.append(50, "late")
    made.seal()
    made.remember()
    made.put_back(older)


def replace_the_log(made: Book) -> None:
    other = made.path.with_name("other.db")
    with book(other, made.key) as theirs:
        theirs.filled()
        theirs.append(500)
        theirs.seal()
    made.put_back(other)


def prune_unsigned(made: Book) -> None:
    made.sql("DELETE FROM audit WHERE seq <= 120", "DELETE FROM checkpoints WHERE lasting = 0 AND seq <= 120")


def steal_the_current_key(made: Book) -> None:
    """Also everything the vault holds: an entry of an earlier epoch is changed and all that was signed after it signed anew."""

    def act(connection: Connection) -> None:
        rehash(connection, 120, lambda seq, body: body.replace(b"client-", b"klient-") if seq == 120 else body)
        heads = dict(connection.exec_driver_sql("SELECT seq, hash FROM audit").all())
        tree, last = verifier.Tree(), ""
        for number, was in connection.exec_driver_sql("SELECT number, body FROM checkpoints ORDER BY number").all():
            said, body = json.loads(was), was
            tree.extend([heads[seq] for seq in range(tree.size + 1, said["seq"] + 1)])
            if said["seq"] >= 120:
                said |= {"head": heads[said["seq"]].hex(), "root": tree.root().hex(), "last": last}
                body = chain.canonical(said)
                signature = made.signer.sign(verifier.RECORD, body)
                connection.exec_driver_sql("UPDATE checkpoints SET body = ?, signature = ? WHERE number = ?", (body, signature, number))
            if said["kind"] in verifier.LASTING:
                last = verifier.Record.of(body, b"").digest.hex()
        connection.exec_driver_sql("DELETE FROM tree_edge")

    made.edit(act)
    made.remember()


ATTACKS: dict[Callable[[Book], None], tuple[str, int]] = {
    edit: ("edited", 150),
    delete: ("gap", 151),
    swap: ("edited", 150),
    restamp: ("rewritten", 150),
    cut_tail: ("cut", 280),
    cut_tail_and_checkpoints: ("rolled back", 250),
    roll_back_the_file: ("rolled back", 304),
    replace_the_log: ("replaced", 0),
    prune_unsigned: ("unsigned prune", 121),
    steal_the_current_key: ("forged", 150),
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_each_attack_is_found_and_named(attack: Callable[[Book], None], data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        before = made.filled().verify()
        assert (before.state, before.entries, before.seq, before.sealed, before.epochs) == ("intact", 304, 304, 304, 2)
        attack(made)
        verdict = made.verify()
    assert verdict.state == "tampered", verdict
    first = verdict.findings[0]
    assert (first.kind, first.seq) == ATTACKS[attack], verdict.findings
    assert first.sentence
    assert first.advice


@pytest.mark.parametrize(
    "act",
    [
        "DELETE FROM exchanges WHERE id = (SELECT min(id) FROM exchanges)",
        "UPDATE exchanges SET cost_microusd = 1 WHERE id = (SELECT min(id) FROM exchanges)",
        "UPDATE exchanges SET batch = 0 WHERE id = (SELECT min(id) FROM exchanges)",
    ],
)
def test_a_changed_row_of_the_ledger_is_found_through_its_batch(act: str, data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled().sql(act)
        assert kinds(made.verify()) == ["ledger"]


def test_the_thief_of_the_current_key_who_appends_now_is_not_found(data_dir: Path) -> None:
    """The stated limit, so that nobody claims more."""
    with book(data_dir / "g.db") as made:
        made.filled().append(1, "forged")
        made.seal()
        made.remember()
        assert made.verify().state == "intact"


def test_a_found_attack_is_not_signed_over_and_not_pruned_away(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled().sql("DELETE FROM tree_edge", "DELETE FROM audit WHERE seq = 150")
        for act in (made.seal, made.turn, lambda: made.prune(200)):
            with pytest.raises(sealing.HeldError) as held:
                act()
            assert held.value.kind in ("gap", "rewritten")
        assert kinds(made.verify()) == ["gap"]


def test_a_restore_nobody_confirmed_is_found(data_dir: Path) -> None:
    """Somebody with the database alone writes a beginning of their own over a changed log."""
    with book(data_dir / "g.db") as made:
        made.filled()
        known = made.anchor
        edit(made)
        with made.store.write() as connection:
            sealing.restore(connection, Signer.fresh(9), (), known, "person", made.now())
        assert kinds(made.verify()) == ["unconfirmed"]


def test_a_log_signed_anew_and_pruned_beyond_what_the_vault_remembers_is_found(data_dir: Path) -> None:
    """A beginning of their own under a number the vault knew, and then a prune of everything the vault remembers: no record that it knows
    is left, and no entry. What is left is the key."""
    with book(data_dir / "g.db") as made:
        known = made.filled().anchor
        assert known is not None
        theirs = Signer.fresh(1)
        made.sql("DELETE FROM checkpoints", "DELETE FROM tree_edge")
        with made.store.write() as connection:
            sealing.restore(connection, theirs, (), known, "person", made.now())
            body = dict(json.loads(connection.exec_driver_sql("SELECT body FROM checkpoints").scalar_one())) | {"number": known.number - 1}
            signed = (chain.canonical(body), theirs.sign(verifier.RECORD, chain.canonical(body)))
            connection.exec_driver_sql("UPDATE checkpoints SET number = number - 2, body = ?, signature = ?", signed)
        made.append(5)
        with made.store.write() as connection:
            sealing.checkpoint(connection, theirs, made.now())
            sealing.checkpoint(connection, theirs, made.now())
            upto = audit.newest(connection)
            sealing.prune(connection, theirs, upto, ledger.pinned(connection, upto), "person", made.now())
        assert [(finding.kind, finding.seq) for finding in made.verify().findings] == [("no key", 311)]


def test_pruned_rotated_and_restored_it_verifies(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        made.filled()
        made.prune(150)
        assert (made.verify().state, made.verify().first, made.verify().entries) == ("intact", 151, 155)
        made.turn()
        made.append(30)
        made.record(20)
        made.seal()
        made.prune(300)
        assert made.verify().state == "intact"
        older = made.path.with_name("older.db")
        made.copy(older)
        made.put_back(older)
        made.append(10)
        made.seal()
        made.remember()
        made.put_back(older)
        assert kinds(made.verify()) == ["rolled back"]
        made.restore()
        restored = made.verify()
        assert (restored.state, restored.set_aside > 0) == ("intact", True)
        assert restored.notes
        made.append(20)
        made.seal()
        made.turn()
        made.append(20)
        made.seal()
        with made.store.read() as connection:
            upto = connection.exec_driver_sql("SELECT min(seq) FROM checkpoints WHERE seq > ?", (restored.seq,)).scalar_one()
        made.prune(upto)
        made.remember()
        assert (made.verify().state, made.verify().first) == ("intact", upto + 1)
        edit_last = "UPDATE audit SET body = x'7b7d' WHERE seq = (SELECT max(seq) FROM audit)"
        made.sql(edit_last)
        assert kinds(made.verify()) == ["edited"]


def test_an_edited_log_that_a_person_goes_on_from_keeps_its_evidence(data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        edit(made.filled())
        made.restore()
        verdict = made.verify()
        assert (verdict.state, verdict.set_aside) == ("intact", 304)
        with made.store.read() as connection:
            said = connection.exec_driver_sql("SELECT CAST(body AS TEXT) FROM audit WHERE seq = 305").scalar_one()
            assert "nobody" in connection.exec_driver_sql("SELECT CAST(body AS TEXT) FROM audit WHERE seq = 150").scalar_one()
        assert "Entry 150 does not match its hash" in said
        made.append(5)
        made.sql("UPDATE audit SET body = x'7b7d' WHERE seq = 308")
        assert [(finding.kind, finding.seq) for finding in made.verify().findings] == [("edited", 308)]


@pytest.mark.parametrize(
    "act",
    [
        "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'nobody', 'person') AS BLOB) WHERE seq = 150",  # as it was before
        "UPDATE audit SET hash = x'00' WHERE seq = 20",
        "DELETE FROM audit WHERE seq = 304",
        "INSERT INTO audit (seq, body, hash) VALUES (-1, x'7b7d', x'00')",
    ],
)
def test_what_a_restore_set_aside_cannot_be_changed_afterwards(act: str, data_dir: Path) -> None:
    with book(data_dir / "g.db") as made:
        edit(made.filled())
        made.sql("UPDATE audit SET body = x'ff', hash = x'' WHERE seq = 200")
        made.restore()
        exported = data_dir / "export"
        with made.store.read() as connection:
            exports.write_log(connection, exported, made.signer, made.now())
        assert verifier.check(exported, pin=verifier.check(exported).fingerprint).state == made.verify().state == "intact"
        made.sql(act)
        assert [(finding.kind, finding.seq) for finding in made.verify().findings] == [("evidence", 304)]
