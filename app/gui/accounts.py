"""A provider account in words: where its key is, what its last test said. The same on Home and on Providers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final
from urllib.parse import urlsplit

from app.control.contract import ProviderTraffic, ProviderView, Snapshot, VaultMode
from app.core.records import Destination
from app.gui import format as fmt
from app.gui.state import State
from app.gui.words import plural, tr

# After so long without a request, what the last ones said is no longer how it is.
_IDLE_US: Final = 3_600_000_000
_WRONG: Final = {
    "limited": ("warning-fill", "Rate limited", "wa"),
    "refused": ("x-circle-fill", "Refuses the key", "er"),
    "failing": ("x-circle-fill", "Failing", "er"),
}


@dataclass(frozen=True, slots=True)
class Words:
    glyph: str
    word: str
    tone: str
    detail: str = ""


def key_words(view: ProviderView, mode: VaultMode) -> Words:
    """Where the key is. What is not a keyring (a file sealed by a passphrase, memory) is amber."""
    hint = view.account.key_hint
    match view.key_state:
        case "stored":
            return Words("key-fill", view.key_place or tr("Stored"), "ok" if mode == "keyring" else "wa", hint)
        case "held":
            return Words("key-fill", tr("In memory, keyring locked"), "wa", hint)
        case "none":
            return Words("minus-circle", tr("No key needed"), "tx2", "")
        case "missing":
            return Words("minus-circle", tr("No key yet"), "tx2", tr("add one to use it"))
        case "unknown":
            return Words("lock-key-fill", tr("Locked"), "wa", hint)


def test_words(state: State, view: ProviderView, now_us: int) -> Words:
    """The last test, or that one is running."""
    account = view.account
    if state.is_busy("test", account.name):
        return Words("hourglass", tr("Checking…"), "tx2", view.host)
    if account.tested_us is None or account.test_ok is None:
        contacted = view.traffic is not None or view.today > 0
        return Words("minus-circle", tr("Not tested"), "tx3", "" if contacted else tr("not contacted yet"))
    when = fmt.moment(account.tested_us, now_us)
    if account.test_ok:
        took = "" if account.test_ms is None else f", {fmt.duration(account.test_ms * 1000)}"
        return Words("check-circle-fill", tr("OK{took}", took=took), "ok", when)
    return Words("x-circle-fill", _said(view), "er", when)


def _said(view: ProviderView) -> str:
    """What went wrong, without the provider's name: that stands at the head of the row."""
    words = view.account.test_message.removeprefix(view.label).strip()
    if not words:
        return tr("Failed")
    return words if "://" in words.split(maxsplit=1)[0] else words[:1].upper() + words[1:]  # an address stays as it is written


def short_words(state: State, view: ProviderView, now_us: int, zone: tzinfo | None = None) -> tuple[Words, str]:
    """One word for a row on Home, and beside it how fast it answers, or how old the test is that the word is from.

    The word is that of the requests which went there last; of the test where there were none, or where it is newer."""
    account = view.account
    if state.is_busy("test", account.name):
        return Words("hourglass", tr("Checking…"), "tx2"), ""
    if not state.works:
        return Words("minus-circle", tr("Not checked"), "tx3"), ""
    if view.key_state == "unknown":
        return Words("lock-key-fill", tr("Key locked"), "wa"), ""
    if view.key_state == "missing":
        return Words("warning-fill", tr("No key"), "wa"), ""
    traffic = view.traffic
    if traffic is not None and traffic.at_us >= (account.tested_us or 0):
        return _of_traffic(traffic, now_us, zone)
    if account.test_ok is None or account.tested_us is None:
        return Words("minus-circle", tr("Not tested"), "tx3"), ""
    tested = fmt.ago(account.tested_us, now_us, zone)
    if account.test_ok:
        took = "" if account.test_ms is None else tr("The test took {time}.", time=fmt.duration(account.test_ms * 1000))
        return Words("check-circle-fill", tr("Test passed"), "ok", took), tested
    return Words("x-circle-fill", tr("Test failed"), "er", account.test_message), tested


def _of_traffic(traffic: ProviderTraffic, now_us: int, zone: tzinfo | None) -> tuple[Words, str]:
    ago = fmt.ago(traffic.at_us, now_us, zone)
    counted = plural(traffic.requests, "Of the last request", "Of the last {n} requests")
    detail = tr("{of}, {failed} failed; the newest was {ago}.", of=counted, failed=traffic.failed, ago=ago)
    old = now_us - traffic.at_us >= _IDLE_US
    if traffic.state == "answers":
        if old:
            today = fmt.local(traffic.at_us, zone).date() == fmt.local(now_us, zone).date()
            when = fmt.clock(traffic.at_us, zone)[:5] if today else fmt.day(traffic.at_us, now_us, zone)
            return Words("minus-circle", tr("Idle since {when}", when=when), "tx3", detail), ""
        took = "" if traffic.first_byte_us is None else fmt.duration(traffic.first_byte_us)
        return Words("check-circle-fill", tr("Answers"), "ok", detail), took
    glyph, word, tone = _WRONG[traffic.state]
    return Words(glyph, tr(word), tone, f"{detail} {traffic.message}".strip()), ago if old else ""


def title(view: ProviderView) -> str:
    """What an account is called: the kind's own name while the account has no name of its own."""
    return view.label if view.account.name.casefold() == view.account.kind.casefold() else view.account.name


def letter(label: str) -> str:
    return label[:1].upper() or "?"


def host_words(view: ProviderView) -> str:
    """The host, with its port where that is not the usual one."""
    try:
        parts = urlsplit(view.account.base_url)
        usual = {"https": 443, "http": 80}.get(parts.scheme)
        return view.host if parts.port in (None, usual) or ":" in view.host else f"{view.host}:{parts.port}"
    except ValueError:
        return view.host


def destination(view: ProviderView) -> str:
    """What the keeper lets through for it, as the keeper writes it: `https://host:port`; "" when its address cannot be read."""
    try:
        return str(Destination.of(view.account.base_url, local=False))
    except ValueError:
        return ""


def listed(users: Sequence[str]) -> str:
    """Names of accounts as one text; "" for none."""
    return ", ".join(users[:3]) + (tr(" and {n} more", n=len(users) - 3) if len(users) > 3 else "")


def left_behind(view: ProviderView, views: Iterable[ProviderView]) -> str:
    """What becomes of an account's destination when the account is removed."""
    place = destination(view)
    if users := listed([each.account.name for each in views if each.account.name != view.account.name and destination(each) == place]):
        return tr("{place} stays a destination, for {users}.", place=host_words(view), users=users)
    return tr("{place} is no longer a destination.", place=host_words(view))


def key_left(view: ProviderView, snapshot: Snapshot) -> str:
    """What becomes of an account's key when the account is removed; "" where it has none. Nothing is removed while the vault is shut."""
    if view.key_state not in ("stored", "held", "unknown"):
        return ""
    place = snapshot.vault.place or tr("the keyring")
    if snapshot.vault.state != "ready":
        return tr("Its key is in {place}, which is not open now, so it cannot be removed yet. Unlock it first.", place=place)
    return tr("Its key is deleted from {place}.", place=place)


def where_a_key_goes(snapshot: Snapshot | None) -> str:
    """What happens to a key that is pasted now."""
    if snapshot is None:
        return ""
    match snapshot.vault.mode:
        case "keyring":
            place = snapshot.vault.place or tr("the keyring")
            return tr("The key goes straight into {place}. Gatehouse writes it to no file of its own.", place=place)
        case "passphrase":
            return tr("The key is sealed by your passphrase, in a file of the data folder.")
        case "session":
            return tr("The key stays in memory and is forgotten when Gatehouse quits.")


def keys_words(state: State) -> str:
    """The remark beside the title of Providers: how many keys are where."""
    snapshot = state.snapshot
    if snapshot is None:
        return ""
    stored = sum(view.key_state in ("stored", "held", "unknown") for view in snapshot.providers)
    if not stored:
        return ""
    if snapshot.vault.state != "ready":
        return plural(stored, "{n} key, locked", "{n} keys, locked")
    return plural(stored, "{n} key in {place}", "{n} keys in {place}", place=snapshot.vault.place or tr("the keyring"))
