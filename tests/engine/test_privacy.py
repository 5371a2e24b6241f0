"""Each promise about privacy is measured: it can be found broken, by what would really break it, and says so; what cannot be seen is not
known, and nothing is kept because a text says so."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from app.control.contract import AuditFinding, AuditStatus, BooksView, Gap, ListeningView, NetworkView, Promise
from app.core.errors import AppError
from app.core.events import GatewayStarted
from app.core.promises import LIVE
from app.core.records import Destination, EgressRecord
from app.engine import own_answer, privacy, safety, upkeep
from app.engine.exchange import Gateway, Limits, error_body
from app.engine.recorder import StoreThreads
from app.engine.server import Limits as ServerLimits
from app.engine.server import Server
from app.engine.upkeep import Upkeep
from app.providers.catalogue import KINDS
from app.store import audit, ledger, responses, retention, sealing
from app.store.database import Store
from app.store.journal import Journal
from app.store.responses import Stored
from app.store.retention import DAY_US, Policy
from app.store.sealing import Signer
from app.system.paths import Paths
from app.wire.dialects import DIALECTS
from tests.store.rows import KEY, NOW_US, row

PORT = 4141
VIEW = NetworkView(
    level="kernel", level_reason="", since_us=NOW_US, from_us=NOW_US, gaps=(), connections=3, hosts=1, local_hosts=0, destinations=(),
    refused=(), refused_count=2, names=(), layers=(), processes=(), environment=(), unexplained=(),
    listening=(ListeningView(address="127.0.0.1:4141", process="keeper", pid=1, kind="gateway"),),
    books=BooksView(ledger=3, records=3, keeper=3, seen=3, looks=60),
)  # fmt: skip
LOG = AuditStatus(
    entries=1, first=1, seq=1, head="", size_bytes=9, sealed=1, sealed_us=0, epoch=1, fingerprint="", anchored=1, anchored_us=0,
    place="vault.json", worth="", keep_days=365, on_failure="stop", groups={},
)  # fmt: skip


class World:
    """The parts of an engine that the promises are about, real but for the keeper; `promised()` measures."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder)
        self.now_us = NOW_US
        self.view: NetworkView | None = VIEW
        self.log = LOG
        self.declared = [Destination("https", "api.openai.com", 443), Destination("http", "127.0.0.1", 11434, local=True)]
        self.allowed: list[str] = []
        self.paths.engine.mkdir()
        self.store = Store.open(self.paths.database, KEY)
        self.threads = StoreThreads(self.store)
        self.journal, _ = Journal.open(self.paths.journal, KEY)
        self.undecided: frozenset[str] = frozenset()
        self.upkeep = Upkeep(self.threads, None, lambda: self.now_us, self.signed, lambda: self.undecided)  # type: ignore[arg-type]  # no prices here
        self.signer = Signer.fresh(0)
        with self.store.write() as connection:
            audit.append(connection, GatewayStarted(version="0", port=PORT, replayed=0), "gateway", NOW_US)
            sealing.genesis(connection, self.signer, NOW_US)

    def change(self, work: Callable[[Any], object]) -> None:
        with self.store.write() as connection:
            work(connection)

    async def signed(self, work: Callable[[Any, Signer], None]) -> None:
        self.change(lambda c: work(c, self.signer))

    async def promised(self) -> dict[str, Promise]:
        boot = SimpleNamespace(data_dir=str(self.paths.data_dir), port=PORT, addresses=(f"127.0.0.1:{PORT}", f"[::1]:{PORT}"))
        opened = SimpleNamespace(
            threads=self.threads,
            upkeep=self.upkeep,
            accounts=SimpleNamespace(places=lambda: self.declared),
            clients=SimpleNamespace(all=lambda: [SimpleNamespace(name=name, keeps_content=True) for name in self.allowed]),
        )
        status: Any = SimpleNamespace(
            boot=boot,
            need=lambda: opened,
            opened=None,
            started_us=NOW_US,
            now_us=lambda: self.now_us,
            vault=SimpleNamespace(place="a vault"),
        )
        gateway = Gateway(status, None, Limits(), asyncio.Event())  # type: ignore[arg-type]  # nothing is sent to a provider
        server = Server(gateway.handle, error_body, ServerLimits())

        async def view() -> NetworkView:
            if self.view is None:
                raise AppError("internal", "The keeper does not answer.")
            return self.view

        found = await privacy.promises(status, self.log, view, lambda request: own_answer.of(server, request))
        return {promise.id: promise for promise in found}


Story = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def play(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], None]:
    """Runs a story in a world whose daily work has been done once."""
    monkeypatch.setattr(upkeep, "FIRST_S", 0.0)

    @asynccontextmanager
    async def living() -> Any:
        world = World(data_dir)
        work = asyncio.get_running_loop().create_task(world.upkeep.run())
        try:
            async with asyncio.timeout(30):
                while world.upkeep.ran is None:
                    await asyncio.sleep(0.01)
            yield world
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            world.journal.close()
            world.threads.close()

    def run(story: Story) -> None:
        async def whole() -> None:
            async with living() as world:
                await story(world)

        asyncio.run(whole())

    return run


Play = Callable[[Story], None]


def test_all_are_kept_and_every_row_of_the_table_is_measured(play: Play) -> None:
    async def story(world: World) -> None:
        found = await world.promised()
        assert list(found) == list(LIVE)
        assert set(privacy._SAYS) == set(LIVE)
        for promise in found.values():
            assert promise.kept is True, promise
            assert promise.state.endswith(".") and "{" not in promise.check

    play(story)


# telemetry


def test_a_socket_that_nothing_explains_breaks_the_promise(play: Play) -> None:
    async def story(world: World) -> None:
        world.view = msgspec.structs.replace(VIEW, unexplained=("The engine has a socket to 203.0.113.7:443 that nobody dialled.",))
        found = (await world.promised())["telemetry"]
        assert found.kept is False
        assert "203.0.113.7" in found.state

    play(story)


def test_books_that_do_not_agree_break_it_and_what_was_not_looked_at_is_not_known(play: Play) -> None:
    async def story(world: World) -> None:
        books = msgspec.structs.replace(VIEW.books, mismatches=("Connection 3: 900 bytes went out that nothing accounts for.", "More."))
        world.view = msgspec.structs.replace(VIEW, books=books)
        found = (await world.promised())["telemetry"]
        assert (found.kept, "900 bytes" in found.state, "1 more" in found.state) == (False, True, True)
        for view in (
            None,
            msgspec.structs.replace(VIEW, books=msgspec.structs.replace(VIEW.books, looks=0)),
            msgspec.structs.replace(VIEW, level="guarded", level_reason="no lock here", gaps=(Gap(from_us=1, until_us=2),)),
        ):
            world.view = view
            found = (await world.promised())["telemetry"]
            assert found.kept is None, found
            assert "not known" in found.state or "Nobody" in found.state
        world.view = msgspec.structs.replace(VIEW, level="guarded", level_reason="The engine is not locked.")
        found = (await world.promised())["telemetry"]
        assert found.kept is True
        assert "not locked" in found.state and "refuses" not in found.state
        asks = {"level": "desktop", "level_reason": "The window can ask other programs: session bus."}
        for gaps in ((), (Gap(from_us=1, until_us=2),)):
            world.view = msgspec.structs.replace(VIEW, **asks, gaps=gaps)
            found = (await world.promised())["telemetry"]
            assert found.kept is True
            assert "every internet socket. The window can ask other programs: session bus." in found.state
            assert "every other way out" not in found.state
        world.declared = []
        assert "No provider is declared" in (await world.promised())["telemetry"].state

    play(story)


# encryption


@pytest.mark.parametrize("name", ["gatehouse.db.before-7", "journal/00000009.journal"])
def test_a_file_that_is_not_encrypted_breaks_the_promise(play: Play, name: str) -> None:
    async def story(world: World) -> None:
        path = world.paths.engine / name
        path.write_bytes(b"SQLite format 3\0" + bytes(100))
        found = (await world.promised())["encryption"]
        assert found.kept is False
        assert path.name in found.state
        path.unlink()
        assert (await world.promised())["encryption"].kept is True

    play(story)


def test_a_database_that_is_not_encrypted_is_found(data_dir: Path) -> None:
    paths = Paths(data_dir)
    paths.journal.mkdir(parents=True)
    with sqlite3.connect(paths.database) as plain:
        plain.execute("CREATE TABLE prompts (text)")
    plain.close()
    assert privacy.looked_into(paths) == ({"gatehouse.db": False}, [])
    paths.database.write_bytes(b"")
    assert privacy.looked_into(paths) == ({"gatehouse.db": False}, []), "an empty database is none of ours"


def test_a_file_that_cannot_be_read_is_not_known_to_be_encrypted(play: Play) -> None:
    async def story(world: World) -> None:
        (world.paths.engine / "gatehouse.db.before-6").mkdir()
        found = (await world.promised())["encryption"]
        assert found.kept is None
        assert "before-6" in found.state

    play(story)


# tls


def test_a_provider_elsewhere_without_tls_breaks_the_promise(play: Play) -> None:
    async def story(world: World) -> None:
        assert "1 provider over TLS; without TLS, on this machine" in (await world.promised())["tls"].state
        world.declared.append(Destination("http", "api.example.com", 80))
        found = (await world.promised())["tls"]
        assert (found.kept, "http://api.example.com:80" in found.state) == (False, True)
        world.declared.clear()
        assert (await world.promised())["tls"].state == "No provider elsewhere."

    play(story)


def test_a_connection_that_went_without_tls_breaks_it_whatever_is_declared(play: Play) -> None:
    async def story(world: World) -> None:
        from app.store import egress

        bare = EgressRecord(connection=1, opened_us=NOW_US, closed_us=NOW_US, host="api.openai.com", port=443, used=1)
        world.change(lambda c: egress.put(c, [replace(bare, local=True), replace(bare, connection=2, tls="TLSv1.3")]))
        world.change(lambda c: egress.put(c, [replace(bare, connection=3, used=0)]))  # a handshake that failed: nothing was sent
        assert (await world.promised())["tls"].kept is True
        world.change(lambda c: egress.put(c, [replace(bare, connection=4)]))
        found = (await world.promised())["tls"]
        assert (found.kept, "api.openai.com" in found.state) == (False, True)

    play(story)


# retention


def test_retention_is_said_as_it_was_chosen_and_as_it_is(play: Play) -> None:
    async def story(world: World) -> None:
        found = (await world.promised())["retention"]
        assert "while the database is smaller than 2,147 MB" in found.state and "until you" not in found.state
        assert "kept 365 days" in found.state
        world.change(lambda c: retention.choose(c, Policy(keep_days=30, keep_bytes=0)))
        assert "kept for 30 days; what is over" in (await world.promised())["retention"].state
        world.change(lambda c: retention.choose(c, Policy(keep_days=0, keep_bytes=0)))
        world.log = msgspec.structs.replace(LOG, keep_days=0)
        found = (await world.promised())["retention"]
        assert "kept until you set a limit" in found.state and "kept for ever" in found.state

    play(story)


def test_rows_that_are_too_old_break_the_promise(play: Play) -> None:
    async def story(world: World) -> None:
        old = NOW_US - 40 * DAY_US
        world.change(lambda c: ledger.record(c, [row(0, at_us=old)], old))
        world.change(lambda c: retention.choose(c, Policy(keep_days=30)))
        found = (await world.promised())["retention"]
        assert (found.kept, "has not been applied yet" in found.state) == (None, True)
        world.undecided = frozenset({"ledger.keep_days", "audit.keep_days"})
        assert (await world.upkeep.trim("gateway")).rows == 0, "a person is being asked whether a longer time counts"
        assert (await world.promised())["retention"].kept is False, "and it is not said to be otherwise"
        world.undecided = frozenset({"ledger.keep_bytes"})
        await world.upkeep.trim("gateway")
        assert (await world.promised())["retention"].kept is True, "what was too old has gone"
        late = NOW_US + 40 * DAY_US
        world.change(lambda c: ledger.record(c, [row(1, at_us=NOW_US)], NOW_US))
        world.now_us = late
        found = (await world.promised())["retention"]
        assert found.kept is False
        assert "left what is over the limit" in found.state
        world.upkeep.trouble = "The disk is full."
        assert "The daily work failed: The disk is full." in (await world.promised())["retention"].state

    play(story)


def test_a_limit_of_size_that_does_not_hold_and_work_that_does_not_run_break_it(play: Play) -> None:
    async def story(world: World) -> None:
        tiny = Policy(keep_bytes=1_000)
        world.change(lambda c: retention.choose(c, tiny))
        assert (await world.promised())["retention"].kept is None
        await world.upkeep.trim("gateway")
        found = (await world.promised())["retention"]
        assert (found.kept, "smaller than 1 kB" in found.state) == (False, True)
        world.change(lambda c: retention.choose(c, Policy()))
        world.upkeep.running = False
        found = (await world.promised())["retention"]
        assert (found.kept, "daily work does not run" in found.state) == (False, True)
        world.upkeep.running = True
        assert (await world.promised())["retention"].kept is True

    play(story)


def test_an_old_audit_log_and_old_answers_break_it(play: Play) -> None:
    async def story(world: World) -> None:
        world.log = msgspec.structs.replace(LOG, keep_days=30)
        world.now_us = NOW_US + 40 * DAY_US
        found = (await world.promised())["retention"]
        assert (found.kept, "oldest entry is of" in found.state) == (False, True)
        held = AuditFinding(kind="edited", seq=2, sentence="Entry 2 was changed.", advice="")
        world.log = msgspec.structs.replace(LOG, keep_days=30, held=held)
        assert "Entry 2 was changed." in (await world.promised())["retention"].state
        world.log = LOG
        assert (await world.promised())["retention"].kept is True
        world.allowed = ["Cursor"]
        put(world, "Cursor")
        found = (await world.promised())["retention"]
        assert (found.kept, "to be kept 30 days" in found.state) == (False, True)
        await world.upkeep._once()
        assert (await world.promised())["retention"].kept is True, "they went with the daily work"

    play(story)


# addresses


def test_an_address_that_other_machines_reach_breaks_the_promise(play: Play) -> None:
    async def story(world: World) -> None:
        for address, reached in (("0.0.0.0:4141", True), ("[::]:4141", True), ("192.168.1.5:4141", True), ("[::1]:4141", False)):
            listening = (ListeningView(address=address, process="keeper", pid=1, kind="gateway"),)
            world.view = msgspec.structs.replace(VIEW, listening=listening)
            found = (await world.promised())["addresses"]
            assert found.kept is not reached
            assert address in found.state
        world.view = None
        found = (await world.promised())["addresses"]
        assert (found.kept, "not known" in found.state) == (None, True)

    play(story)


# stored


def put(world: World, client: str) -> None:
    stored = Stored(id="resp_1", client=client, created_us=NOW_US, account="work", input=b'["prompt"]', body=b"{}")
    world.change(lambda c: responses.put(c, stored))


def test_a_column_that_might_hold_a_prompt_breaks_the_promise(play: Play) -> None:
    async def story(world: World) -> None:
        assert "No prompt and no answer is stored." in (await world.promised())["stored"].state
        world.change(lambda c: c.exec_driver_sql("ALTER TABLE exchanges ADD COLUMN prompt TEXT"))
        found = (await world.promised())["stored"]
        assert (found.kept, "exchanges.prompt" in found.state) == (False, True)

    play(story)


def test_an_answer_kept_for_a_client_that_is_not_allowed_breaks_the_promise(play: Play) -> None:
    async def story(world: World) -> None:
        put(world, "Cursor")
        found = (await world.promised())["stored"]
        assert (found.kept, "Cursor" in found.state) == (False, True)
        world.allowed = ["Cursor"]
        found = (await world.promised())["stored"]
        assert found.kept is True
        assert "Cursor (1 answer now)" in found.state and "No prompt" not in found.state

    play(story)


# cookies


@pytest.mark.parametrize("header", privacy.UNWANTED)
def test_a_cookie_that_a_reply_would_carry_breaks_the_promise(play: Play, monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    async def story(world: World) -> None:
        kind = KINDS["openai"]
        monkeypatch.setitem(KINDS, "openai", replace(kind, returns=frozenset({*kind.returns, header})))
        found = (await world.promised())["cookies"]
        assert (found.kept, header in found.state) == (False, True)

    play(story)


def test_a_cookie_of_our_own_breaks_it(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        fixed = Server.fixed_head
        monkeypatch.setattr(Server, "fixed_head", lambda server: b"\r\nSet-Cookie: id=7" + fixed(server))
        found = (await world.promised())["cookies"]
        assert (found.kept, "id=7" in found.state) == (False, True)

    play(story)


def test_a_web_page_that_would_be_answered_breaks_the_promise(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        monkeypatch.setattr(safety, "check", lambda request, hosts: None)
        found = (await world.promised())["cookies"]
        assert found.kept is False
        assert all(name in found.state for name in privacy.PAGES)

    play(story)


def test_every_dialect_is_asked_about_the_unwanted_headers() -> None:
    assert privacy.passed() == []
    assert len(DIALECTS) == 4
