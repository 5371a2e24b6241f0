"""What a run measures on: the upstream stub, the real gateway with everything on, and nginx where it is installed."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from app.control.contract import NewProvider
from tests.bench import nginx
from tests.bench.load import PATH, Ask, RefusedError, Side
from tests.bench.processes import Family, end, python, running, until
from tests.gateway import Gateway

ACCOUNT = "stub"


@dataclass(frozen=True, slots=True)
class Stub:
    """The upstream as a process of its own. key: the provider's key it wants."""

    url: str
    port: int
    key: str = field(repr=False)
    family: Family

    def side(self) -> Side:
        return Side("direct", self.port, self.key)


class Gatehouse:
    """A running gateway with one account, `stub`, and one client program."""

    def __init__(self, gateway: Gateway, stub_url: str, stub_key: str) -> None:
        self.gateway = gateway
        assert gateway.process is not None
        self.family = Family("keeper", gateway.process.pid)
        with gateway.control() as control:
            control.add_provider(NewProvider(name=ACCOUNT, kind="openai", base_url=f"{stub_url}/v1", key=stub_key, local=True))
        self.side = Side("gateway", urllib.parse.urlsplit(gateway.url).port or 0, gateway.client("bench"), f"{ACCOUNT}/")

    def rows(self) -> int:
        """How many requests the ledger holds."""
        with self.gateway.control() as control:
            return sum(group.requests for group in control.usage(("client",)))

    def recorded(self, at_least: int) -> int:
        """The rows, once there are so many. RefusedError when they do not come: then the ledger was not on."""
        found = 0

        def enough() -> bool:
            nonlocal found
            found = self.rows()
            return found >= at_least

        with contextlib.suppress(TimeoutError):
            until(enough, "the ledger", 15)
        if found < at_least:
            raise RefusedError(f"the ledger holds {found} of {at_least} requests")
        return found


@dataclass(frozen=True, slots=True)
class Rig:
    folder: Path
    stub: Stub
    gatehouse: Gatehouse
    families: dict[str, Family]
    sides: tuple[Side, ...]


@contextlib.contextmanager
def stub() -> Iterator[Stub]:
    with running(python("tests.upstream", "--port", "0", "--json")) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        yield Stub(facts["url"], facts["port"], facts["key"], Family("direct", process.pid))


@contextlib.contextmanager
def gatehouse(folder: Path, stub_url: str, stub_key: str) -> Iterator[Gatehouse]:
    """A new gateway in `folder`, ended on the way out whatever happens."""
    gateway = Gateway(folder)
    try:
        gateway.start()
        gateway.wait_open()
        yield Gatehouse(gateway, stub_url, stub_key)
    finally:
        if gateway.process is not None:
            end(gateway.process)


@contextlib.contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Everything that runs side by side, and proof that each side gives the same answer."""
    with contextlib.ExitStack() as open_:
        upstream = open_.enter_context(stub())
        gate = open_.enter_context(gatehouse(folder / "data", upstream.url, upstream.key))
        sides = [gate.side]
        families = {"gateway": gate.family, "direct": upstream.family}
        if nginx.installed():
            side, families["nginx"] = open_.enter_context(nginx.nginx(folder / "nginx", upstream.port, upstream.key))
            sides.append(side)
        sides.append(upstream.side())
        said = {side.name: answer(side) for side in sides}
        if len(set(said.values())) != 1 or not said["gateway"]:
            raise RuntimeError(f"the sides answer differently: {said}")
        yield Rig(folder, upstream, gate, families, tuple(sides))


def answer(side: Side, ask: Ask | None = None) -> str:
    """The text of one reply. RuntimeError with the body of any other than 200."""
    ask = ask or Ask()
    connection = HTTPConnection("127.0.0.1", side.port, timeout=30)
    try:
        connection.request("POST", PATH, ask.body(side), ask.headers(side))
        reply = connection.getresponse()
        body = reply.read()
    finally:
        connection.close()
    if reply.status != 200:
        raise RuntimeError(f"{side.name} answered {reply.status}: {body[:300]!r}")
    return str(json.loads(body)["choices"][0]["message"]["content"])
