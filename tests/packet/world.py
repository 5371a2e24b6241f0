"""The network in which the program runs: everything it may reach is on the loopback, everything else goes out of an exit and is seen."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme

from tests.upstream import Upstream, upstream

# Public addresses, so that the guard treats them as such; in this namespace they are the loopback's.
RESOLVER = "9.9.9.53"
PROVIDERS = {"api.one.test": "45.90.28.10", "api.two.test": "45.90.28.11"}
# Names whose answers are a trap.
TRAPS = {
    "metadata.test": ["169.254.169.254"],
    "mixed.test": ["45.90.28.10", "169.254.169.254"],
    "rebinding.test": ["45.90.28.10"],  # at first
}
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem")


def build(folder: Path) -> trustme.CA:
    """Interfaces, routes, resolver, hosts and trusted authorities of this namespace. Returns the authority that the machine trusts."""
    gateway = "02:00:00:00:00:01"
    for words in (
        "link set lo up",
        *(f"addr add {address}/32 dev lo" for address in (RESOLVER, *PROVIDERS.values())),
        "link add exit0 type veth peer name exit1",
        "link set exit1 up",
        "link set exit0 up",
        "addr add 10.99.0.2/24 dev exit0",
        f"neigh add 10.99.0.1 lladdr {gateway} dev exit0 nud permanent",
        "route add default via 10.99.0.1 dev exit0",
    ):
        _ip(words)
    with contextlib.suppress(subprocess.CalledProcessError):  # a machine without IPv6 has one way out less
        _ip("-6 addr add 2001:db8:1::2/64 dev exit0 nodad")
        _ip(f"-6 neigh add 2001:db8:1::1 lladdr {gateway} dev exit0 nud permanent")
        _ip("-6 route add default via 2001:db8:1::1 dev exit0")
    authority = trustme.CA()
    certificates = folder / "authorities.pem"
    authority.cert_pem.write_to_path(str(certificates))
    resolver, hosts = folder / "resolv.conf", folder / "hosts"
    resolver.write_text(f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\nsearch corp.example\n")
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
    for source, place in ((resolver, "/etc/resolv.conf"), (hosts, "/etc/hosts")):
        _mount(source, Path(place))
    for place in BUNDLES:
        if Path(place).exists():
            _mount(certificates, Path(place))
    return authority


@contextmanager
def providers(authority: trustme.CA) -> Iterator[dict[str, Upstream]]:
    """One at each declared address, at port 443, with a certificate for its name."""
    with ExitStack() as stack:
        found = {}
        for name, address in PROVIDERS.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name, *TRAPS).configure_cert(context)
            found[name] = stack.enter_context(upstream(host=address, port=443, tls=context))
        yield found


class Resolver:
    """Knows the providers' names and the traps, notes every question, changes its mind when told to, and can be taken down."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = TRAPS | {name: [address] for name, address in PROVIDERS.items()}
        self._sock = self._bind()
        self._down = False
        self._thread = threading.Thread(target=self._serve, name="resolver", daemon=True)
        self._thread.start()

    def take_down(self) -> None:
        self._down = True
        self._thread.join(5)
        self._sock.close()

    def bring_up(self) -> None:
        self._sock, self._down = self._bind(), False
        self._thread = threading.Thread(target=self._serve, name="resolver", daemon=True)
        self._thread.start()

    def _bind(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((RESOLVER, 53))
        made.settimeout(0.2)
        return made

    def _serve(self) -> None:
        while not self._down:
            try:
                question, asker = self._sock.recvfrom(2_000)
            except TimeoutError:
                continue
            self._sock.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
            at += question[at] + 1
        name, kind = ".".join(labels).lower(), struct.unpack("!H", question[at + 1 : at + 3])[0]
        self.asked.append(name)
        asked = question[12 : at + 5]
        addresses = self.answers.get(name)
        if addresses is None:
            return question[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + asked
        addresses = addresses if kind == 1 else []
        records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\x01\0\4" + socket.inet_aton(address) for address in addresses)
        return question[:2] + b"\x81\x80\0\1" + struct.pack("!H", len(addresses)) + b"\0\0\0\0" + asked + records


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


def _mount(source: Path, place: Path) -> None:
    if place.exists():
        subprocess.run(["mount", "--bind", os.fspath(source), os.fspath(place.resolve())], check=True, capture_output=True)
