"""Which certificate authorities this machine trusts, as a TLS client context.

macOS and Windows answer that question themselves, through `truststore`. On Linux the same is a file or folder of certificates, loaded
once here: `truststore` reads it again for every connection there (33 ms each, on the event loop). Environment variables such as
SSL_CERT_FILE and SSLKEYLOGFILE have no say.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

# Where distributions keep all trusted certificates in one file: Debian and Alpine, Fedora and RHEL (new, old), openSUSE, Arch.
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_SYSTEM_DECIDES: bool = sys.platform in ("darwin", "win32")
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


class NoAuthoritiesError(Exception):
    """This machine has no list of trusted certificate authorities."""


def client_context() -> ssl.SSLContext:
    """A new context that verifies certificates and host names against the system's authorities. NoAuthoritiesError if there are none."""
    if _SYSTEM_DECIDES:
        import truststore  # noqa: PLC0415 - exists to be used on these two only

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    compiled = ssl.get_default_verify_paths()
    return context_from((*_BUNDLES, compiled.openssl_cafile), (compiled.openssl_capath, "/etc/ssl/certs"))


def context_from(bundles: Sequence[str], folders: Sequence[str]) -> ssl.SSLContext:
    """A context that trusts the first bundle that holds an authority, or else the first folder with certificates named by hash."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for bundle in bundles:
        with contextlib.suppress(OSError):  # an unreadable or empty one is as good as none; ssl.SSLError is one of these
            context.load_verify_locations(cafile=bundle)
        if context.cert_store_stats()["x509_ca"]:
            return context
    for folder in folders:
        with contextlib.suppress(OSError):
            if any(_HASHED.fullmatch(entry.name) for entry in Path(folder).iterdir()):
                context.load_verify_locations(capath=folder)
                return context
    raise NoAuthoritiesError
