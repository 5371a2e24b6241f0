"""The promises about privacy, each with how it is just now and the command that checks it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from app.control.contract import AuditStatus, Promise
from app.engine.status import Status
from app.store.cipher import MARK
from app.system.paths import Paths

_LOOPBACK: Final = ("127.0.0.1:", "[::1]:")


def promises(status: Status, log: AuditStatus) -> list[Promise]:
    """One for each thing that a person is promised. Reads the beginning of the database file and nothing else."""
    boot, opened = status.boot, status.need()
    paths = Paths(Path(boot.data_dir))
    views = opened.accounts.places()
    plain = [str(place) for place in views if place.scheme != "https"]
    remote = [str(place) for place in views if not place.local]
    outside = [address for address in boot.addresses if not address.startswith(_LOOPBACK)]
    encrypted = _starts_with(paths.database, MARK)
    keeping = [client.name for client in opened.clients.all() if client.keeps_content]
    kept = f"{log.keep_days} days" if log.keep_days else "for ever"
    return [
        Promise(
            id="telemetry",
            title="No telemetry",
            kept=True,
            state=f"Gatehouse dials declared providers only: {_list(sorted({p.host for p in views})) or 'none is declared'}. "
            f"Refused since the start: {opened.accounts.refused_connections}.",
            check="sudo ss -tnp; gatehouse provider list; gatehouse audit list",
        ),
        Promise(
            id="encryption",
            title="Encrypted at rest",
            kept=encrypted,
            state=f"Database and journal are encrypted; their key is in {status.vault.place}."
            if encrypted
            else "The database file does not begin as an encrypted one does.",
            check=f"file {shlex.quote(str(paths.database))}; head -c 16 {shlex.quote(str(paths.database))} | xxd",
        ),
        Promise(
            id="tls",
            title="TLS to every provider",
            kept=all(place.local for place in views if place.scheme != "https"),
            state=f"{len(remote)} provider{'' if len(remote) == 1 else 's'} over TLS"
            + (f"; without TLS, on this machine or its network: {_list(plain)}." if plain else "; none without."),
            check="gatehouse provider list",
        ),
        Promise(
            id="retention",
            title="Retention",
            kept=True,
            state=f"The audit log is kept {kept}, then pruned in whole signed segments. Rows of the ledger are kept until you remove them.",
            check="gatehouse audit prune --preview",
        ),
        Promise(
            id="addresses",
            title="Allowed addresses",
            kept=not outside,
            state=f"It listens on {_list(list(boot.addresses))}"
            + (", which other machines may reach." if outside else ", this machine only."),
            check=f"ss -tln | grep {boot.port}",
        ),
        Promise(
            id="stored",
            title="What is stored",
            kept=True,
            state="Of each request: times, client, model, tokens, cost, host, bytes and status. "
            + (f"Answers are kept for {_list(keeping)}, as you chose. " if keeping else "Prompts and answers are not stored. ")
            + f"The audit log holds {log.entries:,} entries.",
            check="gatehouse client list; gatehouse activity --json; gatehouse audit list --json",
        ),
        Promise(
            id="cookies",
            title="Cookies: none",
            kept=True,
            state="The gateway sets no cookie and serves no web page; requests that come from web pages are refused.",
            check=f"curl -si http://127.0.0.1:{boot.port}/health/liveliness | grep -i cookie",
        ),
    ]


def _list(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _starts_with(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(mark)) == mark
    except OSError:
        return False
