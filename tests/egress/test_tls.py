"""TLS to a provider over loopback, with a certificate authority made for the test: what is accepted, and each refusal in words."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from app.core.errors import AppError
from app.core.records import Destination
from app.egress.tls import default_context, harden
from app.egress.upstream import Target, Timeouts
from app.system.certificates import NoAuthoritiesError, context_from
from tests import provider_replies as replies
from tests.egress.world import QUICK, World, play, prompt
from tests.upstream import Upstream as Provider
from tests.upstream import upstream

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
HOST = "api.example.test"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return harden(context)


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Provider]:
    with upstream(tls=server_context(authority.issue_cert(HOST))) as up:
        yield up


@LOOPS
def test_replies_and_streams_come_back_over_one_kept_connection(secure: Provider, trusting: ssl.SSLContext, loop: str) -> None:
    async def story(world: World) -> None:
        for _ in range(5):
            reply = await world.chat("any")
            assert reply.tls == "TLSv1.3"
            assert await reply.read(100_000) == replies.chat("any").body
            assert await world.whole("any", stream=True) == replies.chat_stream("any", include_usage=False).body
        assert world.client.counts() == (1, 1)

    play(secure, story, loop, tls=trusting, host=HOST)
    assert secure.connections == 1
    assert secure.last.header("host") == f"{HOST}:{secure.port}"


@LOOPS
def test_large_bodies_go_through(secure: Provider, trusting: ssl.SSLContext, loop: str) -> None:
    async def story(world: World) -> None:
        reply = await world.ask(b'{"model":"fault/huge-event?mb=8","x":"' + b"x" * (8 * 1024 * 1024) + b'"}')
        assert len(await reply.read(64 * 1024 * 1024)) > 8 * 1024 * 1024

    play(secure, story, loop, tls=trusting, host=HOST)
    assert len(secure.last.body) > 8 * 1024 * 1024


@LOOPS
def test_a_slow_reader_makes_the_provider_wait(secure: Provider, trusting: ssl.SSLContext, loop: str) -> None:
    async def story(world: World) -> None:
        reply = await world.chat("fault/endless-body")
        await asyncio.sleep(0.3)
        held = reply.bytes_in
        assert held <= 1024 * 1024
        await asyncio.sleep(0.2)
        assert reply.bytes_in == held
        for _ in range(20):
            assert await reply.chunk()
        reply.abort()

    play(secure, story, loop, tls=trusting, host=HOST)


@LOOPS
def test_a_client_that_leaves_stops_the_provider_at_once(secure: Provider, trusting: ssl.SSLContext, loop: str) -> None:
    async def story(world: World) -> list[float]:
        delays = []
        for model in ("fault/silent", "fault/stall", "fault/endless-body"):
            asking = asyncio.ensure_future(world.whole(model, stream=True))
            await asyncio.to_thread(secure.wait_requests, len(secure.requests) + 1)
            await asyncio.sleep(0.05)
            left = time.monotonic()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            delays.append(await asyncio.to_thread(secure.wait_gone, secure.last) - left)
        return delays

    delays = play(secure, story, loop, tls=trusting, host=HOST)
    assert prompt(delays), delays


@LOOPS
@pytest.mark.parametrize("model", ["fault/cut", "fault/reset-mid", "fault/reset", "fault/close"])
def test_a_cut_is_an_error_here_too(secure: Provider, trusting: ssl.SSLContext, loop: str, model: str) -> None:
    async def story(world: World) -> None:
        for stream in (False, True):
            with pytest.raises(AppError) as caught:
                await world.whole(model, stream=stream)
            assert caught.value.code == "provider_broken"

    play(secure, story, loop, tls=trusting, host=HOST)


def test_a_crossing_with_the_end_of_a_kept_connection_is_repeated_once(secure: Provider, trusting: ssl.SSLContext) -> None:
    async def story(world: World) -> None:
        await world.whole("fault/race")
        reply = await world.chat("any")
        assert reply.repeated
        await reply.read(100_000)

    play(secure, story, tls=trusting, host=HOST)


def refusal(up: Provider, context: ssl.SSLContext, loop: str, host: str = HOST) -> AppError:
    async def story(world: World) -> AppError:
        with pytest.raises(AppError) as caught:
            await world.whole("any")
        assert world.client.counts() == (0, 0)
        assert len(world.ended) + world.client._door.open_connections == 1
        return caught.value

    error = play(up, story, loop, tls=context, host=host)
    assert isinstance(error, AppError)
    assert host in error.message
    assert up.requests == []
    return error


@LOOPS
def test_an_unknown_authority_is_refused(secure: Provider, loop: str) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trustme.CA().configure_trust(stranger)
    error = refusal(secure, harden(stranger), loop)
    assert (error.code, "does not trust" in error.message) == ("provider_tls", True)
    assert "intercept" in error.hint


@LOOPS
def test_an_intercepting_proxy_gets_no_request_and_the_sentence_says_that_someone_may_stand_between(
    trusting: ssl.SSLContext, loop: str
) -> None:
    """It answers for the provider with the right name and a certificate of its own authority: only the signature gives it away."""
    inspection = trustme.CA(organization_name="Corporate Inspection")
    with upstream(tls=server_context(inspection.issue_cert(HOST))) as proxy:
        error = refusal(proxy, trusting, loop)
        assert error.code == "provider_tls"
        assert "signed by an authority this computer does not trust" in error.message
        assert error.hint.startswith("Someone may be intercepting the connection.")
        assert proxy.requests == []


def test_once_the_machine_trusts_the_proxy_the_record_names_its_authority(
    authority: trustme.CA, trusting: ssl.SSLContext, secure: Provider
) -> None:
    """The store then finds the issuer changed, and the Network page says so (`tests/store/test_egress.py`)."""
    inspection = trustme.CA(organization_name="Corporate Inspection")
    inspection.configure_trust(trusting)

    async def issuer(world: World) -> str:
        await world.whole("any")
        await world.client.close()
        return world.ended[0].facts.issuer

    assert "Inspection" not in play(secure, issuer, tls=trusting, host=HOST)
    with upstream(tls=server_context(inspection.issue_cert(HOST))) as proxy:
        assert play(proxy, issuer, tls=trusting, host=HOST) == "Corporate Inspection"


@LOOPS
def test_a_self_signed_certificate_is_refused(trusting: ssl.SSLContext, loop: str, tmp_path: Path) -> None:
    lonely = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lonely.cert_pem.write_to_path(str(tmp_path / "cert.pem"))
    lonely.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with upstream(tls=context) as up:
        assert "does not trust" in refusal(up, trusting, loop).message


@LOOPS
def test_another_hosts_certificate_is_refused(secure: Provider, trusting: ssl.SSLContext, loop: str) -> None:
    assert "belongs to another host" in refusal(secure, trusting, loop, "elsewhere.example.test").message
    assert "belongs to another host" in refusal(secure, trusting, loop, "127.0.0.1").message


@LOOPS
@pytest.mark.parametrize(("from_days", "to_days", "words"), [(-20, -10, "has expired"), (10, 20, "is not valid yet")])
def test_a_certificate_out_of_its_time_is_refused(
    authority: trustme.CA, trusting: ssl.SSLContext, loop: str, from_days: int, to_days: int, words: str
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    days = datetime.timedelta(days=1)
    leaf = authority.issue_cert(HOST, not_before=now + from_days * days, not_after=now + to_days * days)
    with upstream(tls=server_context(leaf)) as up:
        error = refusal(up, trusting, loop)
    assert words in error.message
    assert "date" in error.hint


@LOOPS
def test_a_port_without_tls_is_told_apart(up: Provider, trusting: ssl.SSLContext, loop: str) -> None:
    assert "does not speak TLS" in refusal(up, trusting, loop).message


class Mute:
    """A listener that takes connections and, `then`, waits, ends them, or makes a TLS handshake as a blocking server does."""

    def __init__(self, then: str, tls: ssl.SSLContext | None = None) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listening.getsockname()[:2]
        self.requests: list[Any] = []
        self.key = "unused"
        self._then = then
        self._tls = tls
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._listening.accept()
            except OSError:
                return
            if self._then == "end":
                taken.recv(4096)
                taken.close()
            elif self._tls is not None:
                taken.settimeout(5)
                with contextlib.suppress(OSError):
                    self._tls.wrap_socket(taken, server_side=True).close()
                taken.close()
            else:
                self._taken.append(taken)

    @property
    def open_connections(self) -> int:
        return len(self._taken)

    def __enter__(self) -> Mute:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)
        for taken in self._taken:
            taken.close()


@LOOPS
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_an_old_tls_version_is_refused(authority: trustme.CA, trusting: ssl.SSLContext, loop: str) -> None:
    context = server_context(authority.issue_cert(HOST))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Mute("handshake", context) as mute:
        assert "outdated TLS version" in refusal(mute, trusting, loop).message  # type: ignore[arg-type]


@LOOPS
def test_no_common_cipher_is_told_apart(authority: trustme.CA, loop: str) -> None:
    context = server_context(authority.issue_cert(HOST))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(ours)
    ours.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384")
    with Mute("handshake", context) as mute:
        assert "no TLS cipher" in refusal(mute, harden(ours), loop).message  # type: ignore[arg-type]


@LOOPS
def test_an_end_in_the_middle_of_the_handshake_is_told_apart(trusting: ssl.SSLContext, loop: str) -> None:
    with Mute("end") as mute:

        async def story(world: World) -> None:
            with pytest.raises(AppError, match="during the TLS handshake"):
                await world.client.send(world.target, "GET", "/", (), timeouts=QUICK)

        play(mute, story, loop, tls=trusting, host=HOST)  # type: ignore[arg-type]


@LOOPS
def test_a_handshake_that_never_ends_is_given_up_in_time(trusting: ssl.SSLContext, loop: str) -> None:
    with Mute("wait") as mute:

        async def story(world: World) -> None:
            began = time.monotonic()
            with pytest.raises(AppError, match="provider_timeout"):
                await world.client.send(world.target, "GET", "/", (), timeouts=Timeouts(connect_s=0.3))
            assert time.monotonic() - began < 5
            asking = asyncio.ensure_future(world.client.send(world.target, "GET", "/", (), timeouts=QUICK))
            await asyncio.sleep(0.05)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

        play(mute, story, loop, tls=trusting, host=HOST)  # type: ignore[arg-type]


def test_the_systems_own_authorities_do_not_know_ours(secure: Provider) -> None:
    async def story(world: World) -> None:
        target = Target("acme", Destination("https", HOST, secure.port, True))
        with pytest.raises(AppError, match="provider_tls"):
            await world.client.send(target, "GET", "/v1/models", (), timeouts=QUICK)

    play(secure, story)


def test_the_default_context_verifies_and_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = default_context()
    assert context is default_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.keylog_filename is None


def test_authorities_come_from_the_first_file_that_has_some(authority: trustme.CA, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    authority.cert_pem.write_to_path(str(tmp_path / "good.pem"))
    names = [str(tmp_path / name) for name in ("missing.pem", "empty.pem", "garbage.pem", "good.pem")]
    assert context_from(names, ()).cert_store_stats()["x509_ca"] == 1
    folder = tmp_path / "hashed"
    folder.mkdir()
    with pytest.raises(NoAuthoritiesError):
        context_from(names[:3], (str(folder), str(tmp_path / "missing")))
    authority.cert_pem.write_to_path(str(folder / "0a1b2c3d.0"))
    assert context_from(names[:3], (str(folder),)).verify_mode == ssl.CERT_REQUIRED


@pytest.mark.skipif(sys.platform == "win32", reason="rights by mode")
@pytest.mark.needs("an ordinary user")
def test_authorities_that_may_not_be_read_are_as_good_as_none(authority: trustme.CA, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    authority.cert_pem.write_to_path(str(closed / "good.pem"))
    authority.cert_pem.write_to_path(str(closed / "0a1b2c3d.0"))
    closed.chmod(0)
    try:
        with pytest.raises(NoAuthoritiesError):
            context_from((str(closed / "good.pem"), str(closed)), (str(closed), str(closed / "inner")))
    finally:
        closed.chmod(0o700)
