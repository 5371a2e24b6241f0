"""From a host name to addresses, without guessing: no search domains, no environment.

A resolver appends the machine's search domains to a name unless it ends with a dot, so that `api.openai.com` could become
`api.openai.com.corp.example` in a foreign network. A name with a trailing dot, however, is not found in the hosts file (tried with
glibc), and `localhost.` not at all; so both are answered here, as RFC 6761 and the hosts file's own order in the resolver want it.
"""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Final


def hosts_file() -> Path:
    if sys.platform == "win32":
        folder = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "drivers" / "etc"
    else:
        folder = Path("/etc")
    return folder / "hosts"


_HOSTS: Final = hosts_file()


def resolve(host: str, *, search: bool, hosts: Path = _HOSTS) -> list[str]:
    """The IP addresses of `host` (ASCII) in the order to try, each once. OSError (`socket.gaierror`) when there are none; can take long.

    search: also accept what only a search domain or a one-label name gives (`nas`, `nas.local`), for servers in the person's network.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return ["127.0.0.1", "::1"]
    asked = name.encode("ascii")  # as bytes: for a text Python would load its IDNA tables first (1 MB), even for plain ASCII
    if found := _in_hosts(asked, hosts):
        return found
    answers = socket.getaddrinfo(asked if search else asked + b".", None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _in_hosts(name: bytes, hosts: Path) -> list[str]:
    try:
        text = hosts.read_bytes().lower()
    except OSError:
        return []
    if name not in text:  # such a file can have a hundred thousand lines
        return []
    found = []
    for line in text.splitlines():
        address, *names = line.partition(b"#")[0].split() or [b""]
        if name in names:
            try:
                found.append(str(ip_address(address.decode("ascii", "replace"))))
            except ValueError:
                continue
    return list(dict.fromkeys(found))
