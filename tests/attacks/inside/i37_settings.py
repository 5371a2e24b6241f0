"""I37: settings changed in the database itself."""

from __future__ import annotations

import json
import time

from tests.attacks.inside.taken import spoiled, taken
from tests.attacks.judge import every
from tests.attacks.registry import GRANTS, Seen, attack
from tests.attacks.stage import Stage

SETTINGS = {"audit.keep_days": "1", "audit.on_failure": "continue", "ledger.keep_days": "1"}
WORDS = ("grant", "confirm", "without a person", "without a command", "nobody", "not applied", "held")


def changes_settings(here) -> None:  # type: ignore[no-untyped-def]
    import os

    from app.store.database import Store

    store = here.everything(Store)[0]

    def write() -> None:
        with store.write() as connection:
            for name, value in here.given["settings"].items():
                connection.exec_driver_sql(
                    "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value)
                )
            connection.exec_driver_sql("UPDATE clients SET identifiers = 'pass', keeps_content = 1")

    here.attempt("settings", write)
    os.kill(os.getpid(), 9)


@attack(
    "I37",
    "engine shortens the audit log's retention and lets identifiers pass in the database, and dies",
    promise=GRANTS,
    expected="not applied, or shown as nobody's wish",
)
def settings(stage: Stage) -> Seen:
    """What comes back is clean, reads the database, and keeps to what a person never chose."""
    one = taken(stage)
    one.gateway.cli("client", "add", "watched")
    before, log = _effective(one), len(one.log())
    pid = one.pid("engine")
    one.run(changes_settings, settings=SETTINGS, last=True)
    one.revived("engine", pid)
    time.sleep(1)
    after = _effective(one)
    told = (
        one.log()[log:] + json.dumps([one.view(), one.gateway.json("status"), one.gateway.json("audit", "list", "--limit", "50")])
    ).lower()
    shown = {
        name for name in after if name.partition(".")[2].replace("_", " ") in told.replace("_", " ") and any(word in told for word in WORDS)
    }
    rows = [
        (name, after[name] == value or name in shown, f"{value} became {after[name]}, and nothing says so")
        for name, value in before.items()
    ]
    spoiled(stage)
    return every([("they could be read", bool(before) and None not in before.values(), str(before)), *rows], "settings")


def _effective(one) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """What holds just now, as the command line says."""
    policy = one.gateway.json("audit", "status")
    retention = json.loads(one.gateway.control("GET", "/v0/retention").body or b"{}")
    client = next((each for each in one.gateway.json("client", "list") if each["name"] == "watched"), {})
    return {
        "audit.keep_days": policy.get("keep_days"),
        "audit.on_failure": policy.get("on_failure"),
        "retention.keep_days": retention.get("keep_days", retention.get("policy", {}).get("keep_days")),
        "client.identifiers": client.get("identifiers"),
        "client.keeps_content": client.get("keeps_content"),
    }
