"""Keys out of keys, and secrets under keys. The first half is what the keeper itself needs: standard library only.

HKDF-SHA256 (RFC 5869) with one label for each use: never one key for two uses. AES-256-GCM and Argon2id (RFC 9106) are imported when
they are called, which is in the vault child alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import Any, Final

KEY_BYTES: Final = 32
# What the engine is given. The key under which secrets are sealed stays in the keeper.
ENGINE_LABELS: Final = ("db", "journal", "client-keys")
SEALED_LABEL: Final = "sealed-secrets"
REMEMBERED_LABEL: Final = "declared"
LOCKED_FILE: Final = "a file locked by your passphrase"  # the place of keys without a keyring, in words
_NONCE_BYTES: Final = 12


def provider_item(name: str) -> str:
    """What the key of a provider account is called in the keyring."""
    return f"provider/{name}"


def derived(master: bytes, label: str) -> bytes:
    """The 32-byte key for one use."""
    extracted = hmac.digest(b"\0" * 32, master, hashlib.sha256)
    return hmac.digest(extracted, b"gatehouse/1/" + label.encode("ascii") + b"\x01", hashlib.sha256)


class NotOpenedError(Exception):
    """The key is wrong, or what was sealed has been changed."""


def seal(key: bytes, context: str, secret: bytes) -> str:
    """The secret under the key, as text. context: what it is and where; it opens only with the same one."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - not in the keeper

    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, secret, context.encode())).decode("ascii")


def unseal(key: bytes, context: str, sealed: str) -> bytes:
    """What `seal` was given. NotOpenedError."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - not in the keeper
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - not in the keeper

    try:
        raw = base64.b64decode(sealed, validate=True)
        return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError):
        raise NotOpenedError from None


@dataclass(frozen=True, slots=True)
class Stretching:
    """How a passphrase becomes a key: Argon2id with 256 MiB, three passes, four lanes; about 0.6 s."""

    salt: bytes
    memory_kib: int = 256 * 1024
    passes: int = 3
    lanes: int = 4

    @staticmethod
    def fresh() -> Stretching:
        return Stretching(os.urandom(16))

    @staticmethod
    def of(fields: Any) -> Stretching:
        """From vault.json. ValueError when it asks for nonsense, or for so much memory that the machine would suffer."""
        try:
            made = Stretching(bytes.fromhex(fields["salt"]), fields["memory_kib"], fields["passes"], fields["lanes"])
            known = fields["name"] == "argon2id" and all(type(n) is int for n in (made.memory_kib, made.passes, made.lanes))
        except (KeyError, TypeError, ValueError):
            raise ValueError("no stretching") from None
        if not (
            known
            and 16 <= len(made.salt) <= 64
            and 8 * 1024 <= made.memory_kib <= 1024**2
            and 1 <= made.passes <= 16
            and 1 <= made.lanes <= 16
        ):
            raise ValueError("no stretching we would do")
        return made

    def fields(self) -> dict[str, object]:
        return {
            "name": "argon2id",
            "salt": self.salt.hex(),
            "memory_kib": self.memory_kib,
            "passes": self.passes,
            "lanes": self.lanes,
        }

    def key(self, passphrase: str) -> bytes:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 - not in the keeper

        stretched = Argon2id(salt=self.salt, length=KEY_BYTES, iterations=self.passes, lanes=self.lanes, memory_cost=self.memory_kib)
        return stretched.derive(passphrase.encode("utf-8"))
