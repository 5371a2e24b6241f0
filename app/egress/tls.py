"""TLS to a provider: the one context, made when first needed, and each way a handshake fails in words."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Final

from app.core.errors import AppError
from app.system.certificates import NoAuthoritiesError, client_context

# OpenSSL's X509_V_ERR_* numbers (openssl/x509_vfy.h).
_EXPIRED: Final = {10}
_NOT_YET: Final = {9}
_REVOKED: Final = {23}
_WRONG_HOST: Final = {62, 64}
_UNKNOWN: Final = {2, 18, 19, 20, 21, 24, 27, 79}

_OLD_PROTOCOL: Final = {
    "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION", "UNKNOWN_PROTOCOL", "NO_PROTOCOLS_AVAILABLE",
    "VERSION_TOO_LOW",
}  # fmt: skip
_NOT_TLS: Final = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
_NO_COMMON: Final = {
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "SSL/TLS_ALERT_HANDSHAKE_FAILURE",
    "NO_SHARED_CIPHER",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY",
}


@lru_cache(maxsize=1)
def default_context() -> ssl.SSLContext:
    """Trusts what the operating system trusts, TLS 1.2 and newer, HTTP/1.1 only. Made once; takes 25-35 ms on Linux, so call it in a
    thread. AppError provider_tls if this machine has no certificate authorities."""
    try:
        context = client_context()
    except NoAuthoritiesError:
        raise AppError(
            "provider_tls",
            "This machine has no list of trusted certificate authorities.",
            "Install the system package ca-certificates and start Gatehouse again.",
        ) from None
    return harden(context)


def harden(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, held to what every connection of ours needs."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def explain(error: OSError, host: str) -> AppError:
    """A failed handshake with `host` as one sentence and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, host)
    reason = getattr(error, "reason", None) or ""
    if reason in _OLD_PROTOCOL:
        return AppError(
            "provider_tls", f"{host} offers only an outdated TLS version.", "Gatehouse speaks TLS 1.2 and newer; ask the provider."
        )
    if reason in _NOT_TLS:
        return AppError(
            "provider_tls", f"{host} does not speak TLS on this port.", "Check the address: http:// and https:// may be mixed up."
        )
    if reason in _NO_COMMON:
        return AppError("provider_tls", f"{host} and Gatehouse share no TLS cipher.", "Ask the provider which TLS settings it needs.")
    if isinstance(error, ssl.SSLError) and reason:
        return AppError("provider_tls", f"The TLS handshake with {host} failed ({reason.lower().replace('_', ' ')}).", "Try again later.")
    return AppError(
        "provider_tls",
        f"{host} ended the connection during the TLS handshake.",
        "A firewall or proxy between you and the provider may do this; try another network.",
    )


def _certificate(error: ssl.SSLCertVerificationError, host: str) -> AppError:
    code = getattr(error, "verify_code", 0)
    words = str(getattr(error, "verify_message", "")).lower()
    if code in _EXPIRED or "expired" in words:
        return AppError(
            "provider_tls", f"The certificate of {host} has expired.", "Check this computer's date; otherwise ask the provider."
        )
    if code in _NOT_YET or "not yet valid" in words:
        return AppError("provider_tls", f"The certificate of {host} is not valid yet.", "Check this computer's date.")
    if code in _REVOKED or "revoked" in words:
        return AppError("provider_tls", f"The certificate of {host} was revoked.", "Do not use this provider until it has a new one.")
    if code in _WRONG_HOST or ("name" in words and "match" in words):
        return AppError(
            "provider_tls",
            f"The certificate shown for {host} belongs to another host.",
            "Check the address; a captive portal or a proxy between you and the provider may answer instead of it.",
        )
    if code in _UNKNOWN or "trust" in words:
        return AppError(
            "provider_tls",
            f"The certificate of {host} is signed by an authority this computer does not trust.",
            "Someone may be intercepting the connection. If it is your company's proxy, add its certificate to the system's store.",
        )
    return AppError("provider_tls", f"The certificate of {host} could not be verified.", "Try another network, or ask the provider.")
