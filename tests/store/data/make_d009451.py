"""Makes `d009451.db` with the code of commit d009451. Run it in a checkout of that commit, with a folder to write to:

    PYTHONPATH=. python -P make_d009451.py FOLDER

What it makes is kept as it is: databases like it are out there. The key of the database is `bytes(range(32))`, as in tests/store/rows.py.
Beside the database it writes `d009451.json`: what the vault held (anchor, keys: made for this alone), and
which rows must be found in it.
"""

import json
import random
import sys
from contextlib import closing
from pathlib import Path

from app.core.events import (
    ClientAdded,
    ClientBlocked,
    ClientContentChanged,
    ClientIdentifiersChanged,
    LedgerRepriced,
    PriceSet,
    ProviderAdded,
    SettingChanged,
)
from app.core.ids import call_id
from app.core.records import Account, Client, EgressRecord, Exchange, OwnPrice, RefusedAttempt, Tokens
from app.store import accounts, audit, checkpoints, clients, egress, ledger, own_prices, repricing, responses, retention, sealing, settings
from app.store.database import Store
from app.store.responses import Stored
from app.store.retention import Policy
from app.store.sealing import Signer

KEY = bytes(range(32))
HOME = "http://127.0.0.1:11434"
DAY_US = 86_400_000_000
NOW_US = 1_795_000_000_000_000


class Clock:
    def __init__(self) -> None:
        self.at_us = NOW_US - 20 * DAY_US

    def __call__(self) -> int:
        self.at_us += 1_000_000
        return self.at_us


def row(number: int, at_us: int, **fields: object) -> Exchange:
    base: dict[str, object] = {
        "id": call_id(at_us + number * 1000, random.Random(number).getrandbits(80)),
        "opened_us": at_us + number * 1000,
        "closed_us": at_us + number * 1000 + 900_000,
        "duration_us": 900_000,
        "first_byte_us": 300_000,
        "client": ("Cursor", "Zed", "größe ☃")[number % 3],
        "endpoint": "chat/completions",
        "dialect": "openai",
        "asked": "work/gpt-5",
        "account": "work",
        "kind": "openai",
        "model": "gpt-5",
        "stream": number % 2 == 0,
        "status": 200,
        "outcome": "completed",
        "attempts": 1,
        "tokens": Tokens(input=1200 + number, cached=1000, output=345, reasoning=100),
        "cost_microusd": 12_345 + number,
        "price": "2025-11-01",
        "host": "api.openai.com",
        "connection": number // 10,
        "bytes_out": 5000 + number,
        "bytes_in": 23_456,
        "removed_headers": 9,
        "dropped": "x-stainless-os",
    }
    return Exchange(**(base | fields))


ODD = (
    {"client": "", "account": "", "model": "", "kind": "", "price": "", "cost_microusd": None, "status": 401, "outcome": "refused"},
    {"message": 'quote " backslash \\ größe ☃ \x07 \u2028', "outcome": "failed", "error": "upstream_failed", "status": 502},
    {"asked": "a\0b", "model": "\ud800x", "dropped": "identifier: user, x-a"},
    {"tokens": Tokens(input=10**30, cached=None, output=-5, estimated=True), "cost_microusd": 10**30},
    {"closed_us": None, "duration_us": None, "first_byte_us": None, "connection": None, "outcome": "interrupted", "host": ""},
    {"message": "m" * 700, "asked": "n" * 700, "status": 0},
)


def trim(store: Store, now: Clock, days: int) -> None:
    policy = Policy(keep_days=days, keep_bytes=0)
    with store.read() as connection:
        plan = retention.plan(connection, policy, now.at_us)
    assert plan is not None
    with store.write() as connection:
        retention.begin(connection, plan, "gateway", now())
    gone, after = 0, b""
    while True:
        with store.write() as connection:
            some, following = retention.remove(connection, plan, after, 7)
        gone += some
        if following is None:
            break
        after = following
    assert gone
    with store.read() as connection:
        old = retention.left(connection)
    with store.write() as connection:
        retention.finish(connection, plan, gone, old, "gateway", now())


def fill(store: Store, now: Clock) -> Signer:
    signer = Signer.fresh(0)
    with store.write() as connection:
        sealing.genesis(connection, signer, now())
    for number, name in enumerate(("Cursor", "Zed", "größe ☃")):
        made = Client(name=name, prefix="sk-gh-", last4=f"ab{number:02}", created_us=now())
        with store.change(ClientAdded(name=name, key_hint=f"…ab{number:02}"), "person", now()) as connection:
            clients.add(connection, made, bytes([number]) * 32)
    changes = (
        ClientBlocked(name="Zed"),
        ClientIdentifiersChanged(name="Zed", before="pseudonym", after="remove"),
        ClientContentChanged(name="Cursor", before=False, after=True),
    )
    with store.change(changes, "person", now()) as connection:
        clients.set_blocked(connection, "Zed", blocked=True)
        clients.set_identifiers(connection, "Zed", "remove")
        clients.set_keeps_content(connection, "Cursor", True)
        clients.touch(connection, {"Cursor": now()})
    for name, kind, url, local in (
        ("work", "openai", "https://api.openai.com/v1", False),
        ("home", "ollama", "http://127.0.0.1:11434", True),
    ):
        account = Account(name=name, kind=kind, base_url=url, local=local, keyed=not local, created_us=now(), models=("gpt-5", "o3"))
        with store.change(
            ProviderAdded(name=name, kind=kind, destination=url, local=local, keyed=not local), "person", now()
        ) as connection:
            accounts.put(connection, account)
    said = SettingChanged(name="ledger retention", before="everything", after="90 days")
    with store.change(said, "person", now()) as connection:
        settings.put(connection, "ledger.keep_days", "90")
    with store.change(PriceSet(name="work", model="gpt-5", before="", after="in 1, out 2"), "person", now()) as connection:
        own_prices.put(connection, OwnPrice(account="work", model="gpt-5", input="1", output="2", set_us=now()))
    for batch in range(12):
        at_us = now() + batch * DAY_US
        with store.write() as connection:
            ledger.record(connection, [row(batch * 10 + n, at_us) for n in range(5)], at_us)
        if batch % 3 == 2:
            with store.write() as connection:
                sealing.checkpoint(connection, signer, now())
        if batch in (4, 8):
            following = Signer.fresh(signer.epoch + 1)
            with store.write() as connection:
                sealing.turn(connection, signer, following, now())
            signer = following
    with store.write() as connection:
        ledger.record(connection, [row(500 + n, now(), **changes) for n, changes in enumerate(ODD)], now())
    started = LedgerRepriced(
        run=0, since_us=0, until_us=NOW_US, looked_at=0, changed=0, before_microusd=0, after_microusd=0, finished=False
    )
    with store.write() as connection:
        run = audit.append(connection, started, "person", now())
        step = repricing.step(connection, run, b"", b"\xff" * 16, b"", 1000, lambda _: (4321, "own 2026-11-01"), unpriced_only=False)
        ended = LedgerRepriced(
            run=run,
            since_us=0,
            until_us=NOW_US,
            looked_at=step.looked_at,
            changed=step.changed,
            before_microusd=step.before_microusd,
            after_microusd=step.after_microusd,
            finished=True,
        )
        audit.append(connection, ended, "person", now())
    with store.write() as connection:
        sealing.checkpoint(connection, signer, now())
        dialled = {"account": "work", "host": "api.openai.com", "port": 443, "address": "198.51.100.7:443", "tls": "TLSv1.3"}
        for number in range(12):
            counts = {"used": 5, "bytes_out": 100, "bytes_in": 900, "counted": True, "issuer": "CA", "spki": "aa" * 32}
            egress.put(connection, [EgressRecord(connection=number, opened_us=now(), closed_us=now(), **dialled, **counts)])
        egress.refuse(connection, [RefusedAttempt(at_us=now(), process="engine", what="dial", target="example.test:443", rule="guard")])
        egress.ask(connection, [("api.openai.com", 2, now())])
        responses.put(connection, Stored(id="resp_1", client="Cursor", created_us=now(), account="work", input=b"[]", body=b"{}"))
    now.at_us = NOW_US - 2 * DAY_US - DAY_US // 2
    trim(store, now, 16)
    with store.read() as connection:
        (upto,) = connection.exec_driver_sql("SELECT seq FROM checkpoints ORDER BY number LIMIT 1 OFFSET 3").one()
        rows = ledger.digest_upto(connection, upto)
    with store.write() as connection:
        sealing.prune(connection, signer, upto, rows, "person", now())
    # Less than the prune took, so that some rows of pruned entries stay.
    now.at_us = NOW_US - 2 * DAY_US
    trim(store, now, 15)
    with store.write() as connection:
        ledger.record(connection, [row(600 + n, now()) for n in range(4)], now())
        sealing.checkpoint(connection, signer, now())
    return signer


def main(folder: Path) -> None:
    path = folder / "d009451.db"
    now = Clock()
    with closing(Store.open(path, KEY)) as store:
        signer = fill(store, now)
        with store.read() as connection:
            anchor = sealing.anchor_of(connection)
            verdict, rows = checkpoints.verify(connection, anchor, signer.public)
            shown = [one.id for one in ledger.page(connection, 1000)]
            pruned, gone = ledger.pruned_upto(connection), ledger.trimmed_upto(connection)
        assert verdict.state == "intact", verdict.findings
        assert not rows.finding, rows.finding
    assert anchor is not None
    told = {
        "log": anchor.log,
        "seq": anchor.seq,
        "head": anchor.head.hex(),
        "epoch": anchor.epoch,
        "number": anchor.number,
        "record": anchor.record.hex(),
        "at_us": anchor.at_us,
        "key": signer.public.hex(),
        "private": signer.private.hex(),
        "rows": shown,
        "pruned": pruned,
        "trimmed": gone,
    }
    (folder / "d009451.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


main(Path(sys.argv[1]))
