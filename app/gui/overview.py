"""What Home shows, as values: today's figures, hosts, the last requests, the way to the first one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Literal

from app.control.contract import HourBar, Snapshot, Today
from app.core.records import Exchange
from app.gui import accounts
from app.gui import format as fmt
from app.gui.state import Closed, State, closed, curl_example, known, left_hosts, only_here, stays
from app.gui.words import plural, tr

_ROWS: Final = 7
_HOSTS: Final = 4


@dataclass(frozen=True, slots=True)
class Metric:
    value: str
    unit: str
    caption: str


@dataclass(frozen=True, slots=True)
class HostLine:
    """One host: its name, and in two parts how often and how much."""

    host: str
    contacts: str
    out: str
    back: str


@dataclass(frozen=True, slots=True)
class ProviderLine:
    name: str
    label: str
    local: bool
    words: accounts.Words
    took: str


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the way to the first request. done: it is behind us. button: what it offers, as (intent, words)."""

    fact: str
    detail: str
    done: bool
    number: int
    button: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class View:
    remark: str
    body: Literal["closed", "begin", "figures"]
    closed: Closed | None
    can_act: bool
    can_send: bool
    sending: bool
    metrics: tuple[Metric, ...]
    hours: tuple[HourBar, ...]
    hosts: tuple[HostLine, ...]
    hosts_none: str
    hosts_verdict: accounts.Words
    stayed: str
    rows: tuple[Exchange, ...]
    providers: tuple[ProviderLine, ...]
    clients: str
    clients_count: str
    steps: tuple[Step, ...]
    snippet: str


def present(state: State, now_us: int, zone: tzinfo | None = None) -> View:
    snapshot = state.snapshot
    today = snapshot.today if snapshot is not None else Today()
    providers = snapshot.providers if snapshot is not None else ()
    lines = []
    for view in providers:
        words, took = accounts.short_words(state, view, now_us, zone)
        lines.append(ProviderLine(view.account.name, accounts.title(view), view.account.local, words, took))
    return View(
        remark=_remark(state, now_us, zone),
        body=_body(state, today),
        closed=closed(state),
        can_act=state.works,
        can_send=state.works and snapshot is not None and snapshot.state == "running",
        sending=state.is_busy("echo"),
        metrics=_metrics(today if known(snapshot) else None),
        hours=today.hours,
        hosts=_host_lines(snapshot, zone),
        hosts_none=_no_hosts(snapshot),
        hosts_verdict=_hosts_verdict(snapshot),
        stayed=_stayed(snapshot),
        rows=state.recent[:_ROWS],
        providers=tuple(lines),
        clients=_clients(snapshot, now_us, zone),
        clients_count="" if snapshot is None or not snapshot.clients else plural(len(snapshot.clients), "{n} client", "{n} clients"),
        steps=_steps(state, snapshot),
        snippet=curl_example(state),
    )


def _body(state: State, today: Today) -> Literal["closed", "begin", "figures"]:
    """The way to the first request only once it is known that there was none."""
    if closed(state) is not None:
        return "closed"
    if state.recent or today.requests:
        return "figures"
    return "begin" if state.recent_read else "closed"


def _remark(state: State, now_us: int, zone: tzinfo | None) -> str:
    day = fmt.long_day(now_us, zone)
    if state.engine.state in ("crashed", "stopped") and state.engine.at_us:
        return tr("{day} · stopped {time}", day=day, time=fmt.clock(state.engine.at_us, zone)[:5])
    if state.snapshot is None:
        return tr("{day} · starting", day=day)
    text = tr("{day} · up {time}", day=day, time=fmt.lasted(state.snapshot.started_us, now_us))
    vault = state.snapshot.vault
    if vault.state != "locked":
        return text
    if state.snapshot.state == "locked" or not vault.since_us:
        return tr("{text}, keys locked", text=text)
    return tr("{text}, keys locked {time}", text=text, time=fmt.clock(vault.since_us, zone)[:5])


def _metrics(today: Today | None) -> tuple[Metric, ...]:
    if today is None:
        return tuple(Metric(fmt.ABSENT, "", caption) for caption in (tr("requests"), tr("cost"), tr("tokens")))
    requests = [tr("request") if today.requests == 1 else tr("requests")]
    if today.failed:
        requests.append(tr("{n} failed", n=f"{today.failed:,}"))
    requests.append(tr("{n} yesterday", n=f"{today.yesterday:,}"))
    cost = [tr("cost")]
    if today.local:
        cost.append(tr("{n} local", n=f"{today.local:,}"))
    if today.unpriced:
        cost.append(tr("{n} unpriced", n=f"{today.unpriced:,}"))
    # All that was bought has no known price: a sum of $0 would be a lie.
    spent = fmt.ABSENT if today.unpriced and not today.cost_microusd else fmt.money(today.cost_microusd)
    number, unit = fmt.compact_parts(today.input + today.output)
    tokens = [tr("tokens")]
    if today.cached and today.input:
        tokens.append(tr("{n} % read from cache", n=round(100 * today.cached / today.input)))
    return (
        Metric(fmt.count(today.requests), "", ", ".join(requests)),
        Metric(spent, "", ", ".join(cost)),
        Metric(number, unit, ", ".join(tokens)),
    )


def _host_lines(snapshot: Snapshot | None, zone: tzinfo | None) -> tuple[HostLine, ...]:
    hosts = left_hosts(snapshot) or ()
    shown = hosts if len(hosts) <= _HOSTS else hosts[: _HOSTS - 1]
    lines = [
        HostLine(
            host.host,
            tr("{connections}, last {time}", connections=_connections(host.connections), time=fmt.clock(host.last_us, zone)[:5]),
            tr("{size} out", size=fmt.size(host.bytes_out)),
            tr("{size} in", size=fmt.size(host.bytes_in)),
        )
        for host in shown
    ]
    if rest := hosts[len(shown) :]:
        lines.append(
            HostLine(
                plural(len(rest), "{n} more host", "{n} more hosts"),
                _connections(sum(host.connections for host in rest)),
                tr("{size} out", size=fmt.size(sum(host.bytes_out for host in rest))),
                tr("{size} in", size=fmt.size(sum(host.bytes_in for host in rest))),
            )
        )
    return tuple(lines)


def _no_hosts(snapshot: Snapshot | None) -> str:
    """What stands where hosts would."""
    if not known(snapshot):
        return tr("What left this machine today is not known: the records are not open.")
    return tr("No connection left this machine today. Hosts appear here when a client asks for one.")


def _connections(number: int) -> str:
    return plural(number, "{n} connection", "{n} connections")


def _stayed(snapshot: Snapshot | None) -> str:
    """What was connected to without leaving: model servers on this machine."""
    number = sum(host.connections for host in snapshot.hosts if stays(host.host)) if snapshot is not None else 0
    return plural(number, "{n} connection stayed on this machine", "{n} connections stayed on this machine") if number else ""


def _hosts_verdict(snapshot: Snapshot | None) -> accounts.Words:
    """What can be said at this level of enforcement: what was seen, not what cannot be."""
    hosts = left_hosts(snapshot)
    if snapshot is None or hosts is None:
        return accounts.Words("hourglass", tr("Not known yet."), "tx3")
    connections = sum(host.connections for host in hosts)
    refused = snapshot.refused_connections
    seen = plural(connections, "{n} connection seen", "{n} connections seen")
    said = tr("{seen}, {refused}.", seen=seen, refused=tr("{n} refused", n=f"{refused:,}"))
    return accounts.Words("prohibit" if refused else "eye", said, "wa" if refused else "tx2")


def _clients(snapshot: Snapshot | None, now_us: int, zone: tzinfo | None) -> str:
    if snapshot is None or not snapshot.clients:
        return ""
    seen = sorted((client for client in snapshot.clients if client.last_seen_us), key=lambda client: -(client.last_seen_us or 0))
    if not seen:
        return plural(len(snapshot.clients), "It was not seen yet.", "None of them was seen yet.")
    parts = [tr("{name} {ago}", name=client.name, ago=fmt.ago(client.last_seen_us or 0, now_us, zone)) for client in seen[:3]]
    return tr("Seen: {list}.", list=", ".join(parts))


def _gateway(state: State, snapshot: Snapshot | None, running: bool) -> tuple[str, str]:
    if snapshot is not None and snapshot.state == "failing":
        return tr("Gateway cannot record requests"), snapshot.problem
    addresses = snapshot.addresses if snapshot is not None else state.boot.addresses
    where = tr("On {address}, reachable from this machine only.", address=state.address)
    if not only_here(addresses):
        where = tr("On {addresses}, which other machines may reach.", addresses=", ".join(addresses))
    return (tr("Gateway is running") if running else tr("Gateway is starting")), where


def _steps(state: State, snapshot: Snapshot | None) -> tuple[Step, ...]:
    providers = snapshot.providers if snapshot is not None else ()
    clients = snapshot.clients if snapshot is not None else ()
    running = snapshot is not None and snapshot.state == "running" and state.live
    names = ", ".join(view.account.name for view in providers[:3])
    client_names = ", ".join(client.name for client in clients[:3])
    return (
        Step(*_gateway(state, snapshot, running), running, 0),
        Step(
            tr("Add a provider, or use a local server"),
            tr("Added: {names}.", names=names) if providers else tr("Paste a key, or give the address of a model server on this machine."),
            bool(providers),
            1,
            ("add-provider", tr("Add provider")),
        ),
        Step(
            tr("Give a client its key"),
            tr("Added: {names}.", names=client_names) if clients else tr("Each program that asks gets a key of its own, shown once."),
            bool(clients),
            2,
            ("add-client", tr("Add client")),
        ),
    )
