"""The promises about privacy: how each is kept at this moment, measured, and the command with which anyone can see for themselves.

`measured` looks: at the keeper's facts and the books, the system's listeners, the files, the database, the upkeep, and our own server's
answers. `said` makes of it one verdict a promise: kept, not kept, or not known, and the sentence for it. What could not be looked at is
not known; nothing is kept because a text says so.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from app.control.contract import AuditStatus, NetworkView, Promise
from app.core.errors import AppError
from app.core.promises import LIVE
from app.core.records import Destination, EgressRecord
from app.engine.status import Status
from app.engine.upkeep import Ran
from app.providers.catalogue import KINDS
from app.providers.provider import reply_headers
from app.store import audit, egress, inventory, retention
from app.store.cipher import MARK
from app.store.inventory import Contents
from app.store.responses import KEPT_DAYS
from app.store.retention import DAY_US, Held, Policy
from app.store.segments import MAGIC
from app.system.paths import Paths
from app.wire.dialects import DIALECTS

# A day for the work that is done once a day, and one for rows and segments that go as a whole with what is younger.
_SLACK_US: Final = 2 * DAY_US
_FRESH_US: Final = 120_000_000
_RECORDS: Final = 5_000
_SEGMENT: Final = re.compile(r"\d{8,}\.journal")
# Headers of a provider that must not come to a client, and requests as web pages make them, which must not be answered.
UNWANTED: Final = ("set-cookie", "set-cookie2", "access-control-allow-origin", "access-control-allow-credentials")
_PLAIN_REQUEST: Final = "GET /health/liveliness HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{extra}\r\n"
PAGES: Final = {
    "of another site": "Origin: https://example.com\r\n",
    "of a page without a name": "Origin: null\r\n",
    "for an image": "Sec-Fetch-Site: cross-site\r\n",
}

Ask = Callable[[bytes], Awaitable[bytes]]
Verdict = tuple[bool | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was looked at. network: None when it could not be had. records: the newest connections. files: that could be read, with whether
    each is encrypted; unread: that could not. ran: the upkeep's last run; upkeep_runs, upkeep_trouble: how it is.
    oldest_entry_us: of the audit log, None without entries. unknown: columns that might hold anything. passed: unwanted headers that would
    reach a client. cookies: those of our own answer. answered: kinds of web page that would be answered."""

    now_us: int
    started_us: int
    port: int
    data_dir: str
    addresses: tuple[str, ...]
    vault: str
    declared: tuple[Destination, ...]
    network: NetworkView | None
    records: tuple[EgressRecord, ...]
    files: dict[str, bool]
    unread: tuple[str, ...]
    policy: Policy
    held: Held
    ran: Ran | None
    upkeep_runs: bool
    upkeep_trouble: str
    log: AuditStatus
    oldest_entry_us: int | None
    allowed: tuple[str, ...]
    contents: tuple[Contents, ...]
    unknown: tuple[str, ...]
    passed: tuple[str, ...]
    cookies: tuple[str, ...]
    answered: tuple[str, ...]


async def promises(status: Status, log: AuditStatus, view: Callable[[], Awaitable[NetworkView]], ask: Ask) -> list[Promise]:
    """One for each thing that a person is promised. AppError vault_* or store_* while nothing is open."""
    return said(await measured(status, log, view, ask))


async def measured(status: Status, log: AuditStatus, view: Callable[[], Awaitable[NetworkView]], ask: Ask) -> Facts:
    opened, boot = status.need(), status.boot
    try:
        network = await view()
    except AppError:
        network = None

    def read() -> tuple[Policy, Held, list[Contents], list[str], list[EgressRecord], int | None]:
        with opened.threads.store.read() as c:
            oldest = audit.oldest(c)
            return (
                retention.policy(c), retention.held(c), inventory.contents(c), inventory.unknown(c), egress.page(c, 0, _RECORDS),
                None if oldest is None else oldest.at_us,
            )  # fmt: skip

    policy, held, contents, unknown, records, oldest_entry_us = await opened.threads.read(read)
    files, unread = await asyncio.get_running_loop().run_in_executor(None, looked_into, Paths(Path(boot.data_dir)))
    answer = await ask(_PLAIN_REQUEST.format(port=boot.port, extra="").encode())
    answered = [name for name, extra in PAGES.items() if _ok(await ask(_PLAIN_REQUEST.format(port=boot.port, extra=extra).encode()))]
    return Facts(
        now_us=status.now_us(),
        started_us=status.started_us,
        port=boot.port,
        data_dir=boot.data_dir,
        addresses=boot.addresses if network is None else tuple(each.address for each in network.listening if "/" not in each.address),
        vault=status.vault.place,
        declared=tuple(opened.accounts.places()),
        network=network,
        records=tuple(records),
        files=files,
        unread=tuple(unread),
        policy=policy,
        held=held,
        ran=opened.upkeep.ran,
        upkeep_runs=opened.upkeep.running,
        upkeep_trouble=opened.upkeep.trouble,
        log=log,
        oldest_entry_us=oldest_entry_us,
        allowed=tuple(client.name for client in opened.clients.all() if client.keeps_content),
        contents=tuple(contents),
        unknown=tuple(unknown),
        passed=tuple(passed()),
        cookies=tuple(line for line in answer.decode("latin-1").split("\r\n") if line.lower().startswith("set-cookie")),
        answered=tuple(answered),
    )


def said(facts: Facts) -> list[Promise]:
    """Every promise that is measured, in the order of the table."""
    found = []
    for promise in LIVE.values():
        kept, state = _SAYS[promise.id](facts)
        database = shlex.quote(str(Paths(Path(facts.data_dir)).database))
        check = promise.check.format(port=facts.port, database=database)
        found.append(Promise(id=promise.id, title=promise.title, kept=kept, state=state, check=check))
    return found


def looked_into(paths: Paths) -> tuple[dict[str, bool], list[str]]:
    """The database, its copies and the journal: whether each begins as an encrypted one does; and those that could not be read. A file
    without anything in it holds nothing to encrypt."""
    found: dict[str, bool] = {}
    unread: list[str] = []
    marks = [(path, MARK) for path in (paths.database, *sorted(paths.database.parent.glob(f"{paths.database.name}.before-*")))]
    try:
        marks += [(path, MAGIC) for path in sorted(paths.journal.iterdir()) if _SEGMENT.fullmatch(path.name)]
    except OSError:
        unread.append(paths.journal.name)
    for path, mark in marks:
        try:
            with path.open("rb") as file:
                head = file.read(len(mark))
        except OSError as error:
            if path == paths.database or not isinstance(error, FileNotFoundError):  # a segment may just have been trimmed
                unread.append(path.name)
        else:
            if head or path == paths.database:
                found[path.name] = head == mark
    return found, unread


def passed() -> list[str]:
    """The unwanted headers that would come through from some kind of provider."""
    probe = tuple((name, "probe=1") for name in UNWANTED)
    return sorted({name for kind in KINDS.values() for dialect in DIALECTS.values() for name, _ in reply_headers(kind, dialect, probe)})


def _telemetry(facts: Facts) -> Verdict:
    hosts = sorted({place.host for place in facts.declared})
    allowed = f"Gatehouse may dial {_list(hosts)}." if hosts else "No provider is declared, so nothing may be dialled."
    view = facts.network
    if view is None:
        return None, f"{allowed} What was dialled is not known: the keeper did not answer."
    wrong = [*view.unexplained, *view.books.mismatches]
    if wrong:
        more = f" And {len(wrong) - 1} more, see Network." if len(wrong) > 1 else " See Network."
        return False, f"{wrong[0]}{more}"
    if not view.books.looks:
        return None, f"{allowed} Nobody has looked at the system's sockets yet."
    lock = {
        "kernel": "The kernel refuses engine and window every other way out.",
        "desktop": f"The kernel refuses engine and window every internet socket. {view.level_reason}",
    }.get(view.level, f"Other ways out are watched, not locked: {view.level_reason}")
    counts = (
        f"Since the start: {_many(view.books.keeper, 'connection')}, each of them recorded; {_many(view.refused_count, 'attempt')} refused."
    )
    if view.gaps and view.level == "guarded":
        return None, f"{allowed} {lock} {counts} Nobody watched {_many(len(view.gaps), 'time')}, so what happened then is not known."
    return True, f"{allowed} {lock} {counts} Nothing else was seen in {_many(view.books.looks, 'look')} at the system's sockets."


def _encryption(facts: Facts) -> Verdict:
    plain = [name for name, encrypted in facts.files.items() if not encrypted]
    if plain:
        verb = "does" if len(plain) == 1 else "do"
        return False, f"{_list(plain)} {verb} not begin as an encrypted file does."
    if facts.unread:
        return None, f"{_list(facts.unread)} cannot be read just now, so it is not known whether all is encrypted."
    return True, f"{_list(list(facts.files))}: encrypted. The key is in {facts.vault}."


def _tls(facts: Facts) -> Verdict:
    plain = [place for place in facts.declared if place.scheme != "https"]
    remote = [str(place) for place in plain if not place.local]
    bare = sorted({record.host for record in facts.records if _went_bare(record)})
    if remote or bare:
        return False, f"Without TLS, and not on this machine or its network: {_list([*remote, *bare])}."
    secure = len(facts.declared) - len(plain)
    over = f"{_many(secure, 'provider')} over TLS" if secure else "No provider elsewhere"
    return True, f"{over}; without TLS, on this machine or its network: {_list(sorted(map(str, plain)))}." if plain else f"{over}."


def _retention(facts: Facts) -> Verdict:
    ledger, log, answers = _ledger_kept(facts), _log_kept(facts), _answers_kept(facts)
    verdicts = [kept for kept, _ in (ledger, log, answers)]
    return (
        False if False in verdicts else None if None in verdicts else True,
        " ".join(sentence for _, sentence in (ledger, log, answers) if sentence),
    )


def _ledger_kept(facts: Facts) -> Verdict:
    policy, held = facts.policy, facts.held
    limits = [f"for {policy.keep_days} days"] if policy.keep_days else []
    limits += [f"while the database is smaller than {_size(policy.keep_bytes)}"] if policy.keep_bytes else []
    used = held.file_bytes - held.free_bytes
    there = f"Now it is {_size(used)}" + (f" and the oldest is of {_day(held.oldest_us)}." if held.oldest_us is not None else ".")
    if not limits:
        return True, f"Requests are kept until you set a limit. {there}"
    chosen = f"Requests are kept {' and '.join(limits)}; what is over goes once a day. {there}"
    old = bool(policy.keep_days) and held.oldest_us is not None and held.oldest_us < facts.now_us - policy.keep_days * DAY_US - _SLACK_US
    over = bool(policy.keep_bytes) and used > policy.keep_bytes
    if not facts.upkeep_runs:
        return False, f"{chosen} The daily work does not run."
    if not (old or over):
        return True, chosen
    if facts.upkeep_trouble:
        return False, f"{chosen} The daily work failed: {facts.upkeep_trouble}"
    ran = facts.ran
    if ran is None or ran.policy != policy:
        return None, f"{chosen} The limit has not been applied yet; `gatehouse retention run` does it now."
    if old or ran.left.file_bytes - ran.left.free_bytes > policy.keep_bytes > 0:
        return False, f"{chosen} The last daily work, of {_day(ran.at_us)}, left what is over the limit."
    return True, chosen


def _log_kept(facts: Facts) -> Verdict:
    log, oldest = facts.log, facts.oldest_entry_us
    if not log.keep_days:
        return True, "The audit log is kept for ever."
    chosen = f"The audit log is kept {log.keep_days} days, then pruned in whole signed segments."
    if oldest is None or oldest >= facts.now_us - log.keep_days * DAY_US - _SLACK_US:
        return True, chosen
    if log.held is not None or log.trouble:
        why = log.held.sentence if log.held is not None else log.trouble
        return False, f"{chosen} Its oldest entry is of {_day(oldest)}, because nothing is pruned now: {why}"
    if facts.now_us - facts.started_us < _FRESH_US:
        return None, f"{chosen} Its oldest entry is of {_day(oldest)}; Gatehouse has just started and looks at it now."
    return False, f"{chosen} Its oldest entry is of {_day(oldest)}."


def _answers_kept(facts: Facts) -> Verdict:
    oldest = min((one.oldest_us for one in facts.contents), default=None)
    if oldest is None:
        return True, ""
    if oldest >= facts.now_us - KEPT_DAYS * DAY_US - _SLACK_US:
        return True, f"Answers that programs may continue from are kept {KEPT_DAYS} days."
    chosen = f"Answers that programs may continue from are to be kept {KEPT_DAYS} days, and the oldest is of {_day(oldest)}."
    return (None if facts.ran is None and not facts.upkeep_trouble and facts.upkeep_runs else False), chosen


def _addresses(facts: Facts) -> Verdict:
    outside = [address for address in facts.addresses if not _loopback(address)]
    if outside:
        return False, f"Other machines may reach {_list(outside)}."
    if facts.network is None:
        return None, f"It opened {_list(facts.addresses)}; what listens now is not known: the keeper did not answer."
    return True, f"It listens on {_list(facts.addresses)}, which only this machine reaches."


def _stored(facts: Facts) -> Verdict:
    """Prompts and answers: whose are kept, and whether anything could hold others'."""
    against = [one.client for one in facts.contents if one.client not in facts.allowed]
    if against:
        return False, f"Prompts and answers of {_list(against)} are kept, and nobody allowed that."
    if facts.unknown:
        return False, f"The database holds {_list(facts.unknown)}, and it is not known what is in there."
    kept = {one.client: one.answers for one in facts.contents}
    what = (
        "Of each request: times, client, model, tokens, cost, host, bytes, status, and of a failed one the error's text. "
        f"The audit log holds {facts.log.entries:,} entries. "
    )
    if not facts.allowed:
        return True, f"{what}No prompt and no answer is stored."
    each = [f"{name} ({_many(kept.get(name, 0), 'answer')} now)" for name in facts.allowed]
    return True, f"{what}Answers of the Responses API, with what was asked, are kept for {_list(each)}, as you chose; no others."


def _cookies(facts: Facts) -> Verdict:
    if facts.cookies:
        return False, f"The gateway's own answer sets a cookie: {facts.cookies[0][:80]}"
    if facts.passed:
        return False, f"A provider's {_list(facts.passed)} would be passed on to programs."
    if facts.answered:
        return False, f"A request that a web page makes ({_list(facts.answered)}) would be answered."
    return (
        True,
        "The gateway's answers set no cookie, a provider's cookies are not passed on, and requests that web pages make are refused.",
    )


_SAYS: Final[dict[str, Callable[[Facts], Verdict]]] = {
    "telemetry": _telemetry,
    "encryption": _encryption,
    "tls": _tls,
    "retention": _retention,
    "addresses": _addresses,
    "stored": _stored,
    "cookies": _cookies,
}


def _went_bare(record: EgressRecord) -> bool:
    """Whether something was sent without TLS to a provider that is not marked local."""
    return not record.local and record.closed_us is not None and not record.tls and bool(record.used or record.other_out)


def _ok(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.1 2")


def _loopback(place: str) -> bool:
    try:
        return ip_address(place.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return False


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _many(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def _day(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6).astimezone().date().isoformat()


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB" if size_bytes >= 1_000_000 else f"{size_bytes / 1e3:,.0f} kB"
