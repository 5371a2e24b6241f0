"""Local web safety: what every request must pass before anything else is looked at (pure).

A browser that visits a hostile page can reach 127.0.0.1. It cannot forge `Host` (a rebound name shows there), it cannot leave out
`Origin` on a cross-site POST, and it cannot send a JSON content type without a preflight, which is never answered.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from app.core.errors import AppError
from app.engine.web import Incoming

# Refusals that tell of a web page or another name at the door, and so are entries of the audit log.
CODES: Final = frozenset({"host_not_allowed", "origin_not_allowed", "cross_site"})
_SAME_SITE: Final = frozenset({"none", "same-origin"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})


def allowed_hosts(port: int) -> frozenset[str]:
    """The only values of `Host` we answer to."""
    names = ("127.0.0.1", "localhost", "[::1]")
    return frozenset(f"{name}:{port}" for name in names) | (frozenset(names) if port == 80 else frozenset())


def check(request: Incoming, hosts: Collection[str]) -> None:
    """AppError host_not_allowed, origin_not_allowed, cross_site, method_not_allowed or content_type; else nothing."""
    given = request.all("host")
    if len(given) != 1 or given[0].lower() not in hosts:
        raise AppError("host_not_allowed", "Gatehouse does not answer to this host name.", "Use http://127.0.0.1 with the port shown.")
    headers = request.headers
    if "origin" in headers:
        raise AppError("origin_not_allowed", "Requests from web pages are not answered.", "Call the gateway from a program.")
    if headers.get("sec-fetch-site", "none") not in _SAME_SITE:
        raise AppError("cross_site", "Requests from other sites are not answered.")
    if request.method not in METHODS:
        raise AppError("method_not_allowed", f"{request.method[:16]} is not answered here.")
    if request.method in ("POST", "PUT"):
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise AppError("content_type", "The body must be JSON.", "Send the header content-type: application/json.")
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise AppError("content_type", "Compressed bodies are not read.", "Send the body without content-encoding.")
