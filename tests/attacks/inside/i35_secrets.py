"""I35: secrets that are not for the engine."""

from __future__ import annotations

from tests.attacks.inside.taken import taken
from tests.attacks.inside.verdicts import refused
from tests.attacks.registry import DOOR, Seen, attack
from tests.attacks.stage import Stage


def asks(here) -> None:  # type: ignore[no-untyped-def]
    caller = here.caller()
    names = (
        "master",
        "vault",
        "passphrase",
        "audit-key",
        "audit-anchor",
        "\0audit-key",
        "\0audit-anchor",
        "provider/mine",
        "../mine",
        "mine\0",
        "MINE",
        "mine ",
        "Gatehouse",
        "db",
        "sealed-secrets",
        "remembered",
        "declared",
        "grant",
        "grants",
        "*",
        "%",
        "a" * 100_000,
    )
    for name in names:
        here.attempt(
            f"secret_get {name[:20]!r}", lambda name=name: caller.call("secret_get", {"name": name}, timeout_s=10)[0] and "a secret"
        )
    for item in (
        "master",
        "vault",
        "passphrase",
        "provider/mine",
        "sealed-secrets",
        "grant",
        "declared",
        "remembered",
        "../vault.json",
        "",
    ):
        here.attempt(
            f"audit_get {item!r}",
            lambda item=item: caller.call("audit_get", {"item": item}, timeout_s=10)[0]["text"].upper() and "a secret",
        )
    for op in ("secret_list", "keys", "vault", "master", "open", "derive", "engine_keys", "boot", "export"):
        here.attempt(op, lambda op=op: caller.call(op, {"name": "mine", "wanted": "passphrase"}, timeout_s=5)[0])


@attack("I35", "engine asks for the master key, sealing keys and items that no account has", promise=DOOR, expected="refused")
def secrets(stage: Stage) -> Seen:
    """It gets the keys of accounts, because it uses them; not the key that all others come from."""
    return refused(taken(stage).run(asks, wait_s=60))
