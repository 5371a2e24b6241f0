"""What is known to be so and is left so, with the reason: no attack, because the answer is known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final


@dataclass(frozen=True)
class Limit:
    """attack: the one that shows it, and is WEAK for this reason; "" where none does."""

    section: str
    what: str
    reason: str
    attack: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


LIMITS: Final = (
    Limit(
        "D",
        "The memory of the processes that hold keys is not locked: keys can reach the swap.",
        "Locking is not promised; a Python process copies its texts about, so locking some pages would say more than it keeps. "
        "Encrypt the swap.",
    ),
    Limit(
        "D",
        "An older copy of the whole data folder, its vault.json included, is taken for the present one (passphrase vault).",
        "All that the gateway knows is in that folder. With a keyring the anchor lies apart from it and an older folder shows.",
    ),
    Limit(
        "E",
        "Whoever forges a whole export signs it with a key of their own; without the fingerprint nothing tells it from the owner's.",
        "A signature says that one key signed, not whose it is. With --key it is found out (E5).",
    ),
    Limit(
        "G",
        "The package sqlcipher3 brings an OpenSSL of its own that is older than the one of the package cryptography.",
        "Only AES and HMAC of it are used, on files and never on a network; a newer one has to come with a release of that package.",
    ),
    Limit(
        "G",
        "The kit asks no database of known weaknesses.",
        "It opens no connection beyond this machine.",
    ),
    Limit(
        "G",
        "Some attacks and tests need the rights of root.",
        "They become another user, make network namespaces or raw sockets. Here such rows are SKIPPED for anybody else.",
    ),
)


SHOWN: Final = {one.attack: one.reason for one in LIMITS if one.attack}


def words() -> str:
    return "\n".join(["", "Stated limits", *(f"  {one.section}  {one.what} {one.reason}" for one in LIMITS), ""])
