"""Provider accounts as they are configured. Their keys are in the vault, never here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from app.core.errors import AppError
from app.core.records import Account
from app.core.unreadable import UNREADABLE
from app.store.statements import Statements
from app.store.tables import insert_into, select_from

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_FIELDS: Final = (
    "name", "kind", "base_url", "local", "keyed", "key_hint", "created_us", "models", "tested_us", "test_ok", "test_message", "test_ms",
    "id",
)  # fmt: skip
_ALL: Final = select_from("accounts", _FIELDS) + " ORDER BY created_us, name"
_REMOVE: Final = "DELETE FROM accounts WHERE name = ?"
_models: Final = msgspec.json.Decoder(tuple[str, ...])


def all(connection: Statements) -> list[Account]:  # noqa: A001  (read as `accounts.all`)
    """Every account, oldest first."""
    return [
        Account(
            name=name,
            kind=kind,
            base_url=base_url,
            local=bool(local),
            keyed=bool(keyed),
            key_hint=key_hint,
            created_us=created_us,
            models=_names(models),
            tested_us=tested_us,
            test_ok=None if test_ok is None else bool(test_ok),
            test_message=test_message,
            test_ms=test_ms,
            id=identifier,
        )
        for (
            name, kind, base_url, local, keyed, key_hint, created_us, models, tested_us, test_ok, test_message, test_ms, identifier,
        ) in connection.exec_driver_sql(_ALL)
    ]  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    """The models that the provider listed; none when they cannot be read, until its next test. The account itself is whole all the same."""
    try:
        return _models.decode(text)
    except UNREADABLE:
        return ()


def put(connection: Connection, account: Account) -> None:
    """Write the account, replacing one of the same name."""
    values = (
        account.name,
        account.kind,
        account.base_url,
        account.local,
        account.keyed,
        account.key_hint,
        account.created_us,
        msgspec.json.encode(account.models).decode(),
        account.tested_us,
        account.test_ok,
        account.test_message,
        account.test_ms,
        account.id,
    )
    connection.exec_driver_sql(_REMOVE, (account.name,))
    connection.exec_driver_sql(insert_into("accounts", _FIELDS), values)


def remove(connection: Connection, name: str) -> None:
    """Forget the account; ledger rows keep its name. AppError unknown_name."""
    if not connection.exec_driver_sql(_REMOVE, (name,)).rowcount:
        raise AppError("unknown_name", f"There is no provider called {name}.")
