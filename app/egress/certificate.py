"""What of a server's certificate goes into an egress record: who issued it, and a digest of its public key.

The key is cut out of the DER here instead of by a library: seven fields to step over, and the connection is already verified by then.
Source: RFC 5280, section 4.1 (Certificate, TBSCertificate), X.690 for lengths.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

_BEFORE_THE_KEY: Final = 5  # serialNumber, signature, issuer, validity, subject


def issuer(certificate: dict[str, Any]) -> str:
    """The issuer's organisation, else its common name, as `ssl.getpeercert()` gives them; "" when it names none."""
    names: dict[str, str] = {}
    for part in certificate.get("issuer", ()):
        for name, value in part:
            names.setdefault(str(name), str(value))
    return (names.get("organizationName") or names.get("commonName") or "")[:200]


def spki(der: bytes) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, in hexadecimal; "" for something that is no certificate."""
    try:
        outer, _ = _inside(der, 0)
        at, end = _inside(der, outer)
        if der[at] == 0xA0:  # [0] version
            at = _after(der, at)
        for _ in range(_BEFORE_THE_KEY):
            at = _after(der, at)
        until = _after(der, at)
        if until > end:
            return ""
        return hashlib.sha256(der[at:until]).hexdigest()
    except IndexError:
        return ""


def _inside(der: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the element at `at` begin and end."""
    length = der[at + 1]
    if length < 0x80:
        return at + 2, at + 2 + length
    count = length & 0x7F
    if at + 2 + count > len(der):
        raise IndexError
    begin = at + 2 + count
    return begin, begin + int.from_bytes(der[at + 2 : begin], "big")


def _after(der: bytes, at: int) -> int:
    end = _inside(der, at)[1]
    if end > len(der):
        raise IndexError
    return end
