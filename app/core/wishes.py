"""What only a person may want: each such change by name, with the values it can have, its default, and how it is said.

A wish says one change exactly: `what` is a row of `WISHES`, `subject` the account or client it is about or "", `value` what it is to be.
Window and command line deposit it with the keeper before they ask the engine for the change, so that the engine can do that and nothing
beside it. A setting with a default is also held against what was wished at each start; what has none needs a wish each time.
To mark another setting, add a row, and ask the keeper where the engine changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.core.errors import AppError
from app.core.kinds import destination
from app.core.names import check_account_name, check_client_name
from app.core.records import Destination

DESTINATION: Final = "destination"
UNLOCK: Final = "unlock"
_LOCAL: Final = " (this machine or its network)"
_LONGEST: Final = 300

About = Literal["nothing", "account", "client"]
Form = Literal["nothing", "number", "words", "place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """says: the sentence for a person, with {subject} and {value}. one_of: the values there are; otherwise `form` says how they look.

    default: the value that is used when nobody wished for another; None for an act, which is wished for each time.
    """

    says: str
    about: About = "nothing"
    form: Form = "number"
    one_of: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    what: str
    subject: str
    value: str

    def __str__(self) -> str:
        return WISHES[self.what].says.format(subject=self.subject, value=self.value)

    def fields(self) -> dict[str, object]:
        return {"what": self.what, "subject": self.subject, "value": self.value}


WISHES: Final[Mapping[str, Marked]] = {
    DESTINATION: Marked(says="{subject} may be sent to {value}", about="account", form="place"),
    UNLOCK: Marked(says="the system may ask you to open its keyring", form="nothing"),
    "audit.keep_days": Marked(says="days for which the audit log is kept (0: for ever): {value}", default="365"),
    "audit.on_failure": Marked(
        says="while the audit log cannot be written, requests: {value}", one_of=("stop", "continue"), default="stop"
    ),
    "audit.prune": Marked(says="the audit log's entries up to {value} are removed for good"),
    "audit.accept": Marked(says="the audit log goes on under a new key although something was found: {value}", form="words"),
    "ledger.keep_days": Marked(says="days for which recorded requests are kept (0: for ever): {value}", default="0"),
    "ledger.keep_bytes": Marked(says="bytes up to which recorded requests are kept (0: any size): {value}", default=str(2 << 30)),
    "vault.forget_on_lock": Marked(
        says="keys of providers are forgotten when the keyring locks: {value}", one_of=("on", "off"), default="off"
    ),
    "client.identifiers": Marked(
        says="identifiers in requests of {subject}: {value}", about="client", one_of=("pseudonym", "remove", "pass"), default="pseudonym"
    ),
    "client.content": Marked(says="answers for {subject} are kept: {value}", about="client", one_of=("on", "off"), default="off"),
}


def default(what: str) -> str:
    """What a setting is when nobody wished for anything else."""
    value = WISHES[what].default
    assert value is not None, f"{what} is no setting"
    return value


def place(there: Destination) -> str:
    """A destination as the value of a wish: all that makes it another one."""
    return f"{there}{_LOCAL if there.local else ''}"


def there(value: str) -> Destination:
    """The destination that `place` wrote so."""
    return Destination.of(value.removesuffix(_LOCAL), local=value.endswith(_LOCAL))


def _is_place(value: str) -> bool:
    """Exactly as `place` writes one: whoever asks has no room for words of their own in what a person reads."""
    try:
        return place(there(value)) == value
    except ValueError:
        return False


def wish(what: object, subject: object, value: object) -> Wish:
    """That wish, if it can be one. AppError name_invalid, body_invalid: nothing that was only claimed is repeated in it."""
    row = WISHES.get(what) if isinstance(what, str) else None
    if row is None or not isinstance(subject, str) or not isinstance(value, str) or not _fits(row, value):
        raise AppError("body_invalid", "There is no such change.")
    if row.about == "account":
        check_account_name(subject)
    elif row.about == "client":
        check_client_name(subject)
    elif subject:
        raise AppError("body_invalid", "There is no such change.")
    return Wish(str(what), subject, value)


def wish_of(message: Mapping[str, Any]) -> Wish:
    """As it was asked for: with `value`; a destination by `kind`, `base_url` and `local`, as the person gave them. AppError
    name_invalid, body_invalid, kind_unknown, url_invalid."""
    value = message.get("value")
    if message.get("what") == DESTINATION:
        kind, given = message.get("kind"), message.get("base_url")
        if not isinstance(kind, str) or not isinstance(given, str) or len(given) > 4_096:
            raise AppError("body_invalid", "There is no such change.")
        value = place(destination(kind, given, local=message.get("local") is True))
    return wish(message.get("what"), message.get("subject", ""), value)


def _fits(row: Marked, value: str) -> bool:
    if row.one_of:
        return value in row.one_of
    match row.form:
        case "nothing":
            return not value
        case "number":
            return value.isascii() and value.isdecimal() and len(value) <= 16 and str(int(value)) == value
        case "words":
            return 0 < len(value) <= 60 and value.isascii() and value.replace(" ", "").isalpha()
        case "place":
            return len(value) <= _LONGEST and _is_place(value)
