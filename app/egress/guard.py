"""May this destination be dialled at this address? Pure: no socket, no look-up, no clock.

The rules are tables, so that they can be compared with their sources: the IANA special-purpose address registries for IPv4 and IPv6
(RFC 6890 and its updates, read 2025-06) and the metadata addresses that cloud providers document. Python's own `is_global` is not
used: it changed between releases. What no table names in IPv6 is refused, because only 2000::/3 is handed out.

An IPv4 address hidden in an IPv6 one (mapped, NAT64) is judged as what it is. Other embeddings (6to4, Teredo, ISATAP, translated,
compatible) have no honest use here and are refused whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from app.core.records import Destination

Address = IPv4Address | IPv6Address

METADATA: Final = frozenset(
    {
        IPv4Address("169.254.169.254"),  # AWS, Azure, Google, DigitalOcean, Oracle, OpenStack
        IPv4Address("169.254.170.2"),  # AWS, credentials of container tasks
        IPv4Address("169.254.170.23"),  # AWS, credentials of pods
        IPv4Address("100.100.100.200"),  # Alibaba Cloud
        IPv4Address("168.63.129.16"),  # Azure, host channel
        IPv4Address("192.0.0.192"),  # Oracle Cloud, classic
        IPv6Address("fd00:ec2::254"),  # AWS
        IPv6Address("fd00:ec2::23"),  # AWS, credentials of pods
        IPv6Address("fd20:ce::254"),  # Google Cloud
    }
)

# First match wins. rule -> what a person reads after "ADDRESS is ".
_IPV4: Final = tuple(
    (IPv4Network(network), rule)
    for network, rule in (
        ("0.0.0.0/8", "unspecified"),  # RFC 791: this network
        ("10.0.0.0/8", "private"),  # RFC 1918
        ("100.64.0.0/10", "private"),  # RFC 6598: shared address space; also what mesh VPNs use
        ("127.0.0.0/8", "loopback"),  # RFC 1122
        ("169.254.0.0/16", "link_local"),  # RFC 3927
        ("172.16.0.0/12", "private"),  # RFC 1918
        ("192.0.0.0/24", "reserved"),  # RFC 6890: protocol assignments
        ("192.0.2.0/24", "reserved"),  # RFC 5737: documentation
        ("192.31.196.0/24", "reserved"),  # RFC 7535: AS112
        ("192.52.193.0/24", "reserved"),  # RFC 7450: AMT
        ("192.88.99.0/24", "reserved"),  # RFC 7526: 6to4 relays, deprecated
        ("192.168.0.0/16", "private"),  # RFC 1918
        ("192.175.48.0/24", "reserved"),  # RFC 7534: AS112
        ("198.18.0.0/15", "benchmark"),  # RFC 2544
        ("198.51.100.0/24", "reserved"),  # RFC 5737: documentation
        ("203.0.113.0/24", "reserved"),  # RFC 5737: documentation
        ("224.0.0.0/4", "multicast"),  # RFC 5771
        ("240.0.0.0/4", "reserved"),  # RFC 1112, and 255.255.255.255
        ("0.0.0.0/0", "public"),
    )
)
_IPV6: Final = tuple(
    (IPv6Network(network), rule)
    for network, rule in (
        ("::/128", "unspecified"),  # RFC 4291
        ("::1/128", "loopback"),  # RFC 4291
        ("::/96", "embedded"),  # RFC 4291: IPv4-compatible, deprecated
        ("::ffff:0:0:0/96", "embedded"),  # RFC 2765: IPv4-translated
        ("64:ff9b:1::/48", "embedded"),  # RFC 8215: local translation; where the IPv4 address sits is not known
        ("100::/8", "reserved"),  # RFC 6666, RFC 9780: discarded
        ("2001::/23", "reserved"),  # RFC 2928: protocol assignments, Teredo, ORCHID, benchmarking
        ("2001:db8::/32", "reserved"),  # RFC 3849: documentation
        ("2002::/16", "embedded"),  # RFC 3056: 6to4
        ("2620:4f:8000::/48", "reserved"),  # RFC 7534: AS112
        ("3fff::/20", "reserved"),  # RFC 9637: documentation
        ("fc00::/7", "private"),  # RFC 4193: unique local
        ("fe80::/10", "link_local"),  # RFC 4291
        ("fec0::/10", "reserved"),  # RFC 3879: site-local, deprecated
        ("ff00::/8", "multicast"),  # RFC 4291
        ("2000::/3", "public"),
        ("::/0", "reserved"),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052

_WORDS: Final = {
    "metadata": "a cloud's metadata service, which hands out credentials",
    "unspecified": "no address of any machine",
    "link_local": "a link-local address",
    "multicast": "a multicast address",
    "reserved": "reserved, no provider can be there",
    "embedded": "an IPv4 address in an outdated IPv6 disguise",
    "benchmark": "reserved for measurements; some proxy and VPN tools answer with such addresses: exclude this name in that tool",
    "malformed": "not an IP address",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """rule: a stable word for records (`ok`, `metadata`, `private`, ...). sentence: for a person; "" when allowed."""

    allowed: bool
    rule: str
    sentence: str = ""


def judge(destination: Destination, address: str) -> Verdict:
    """May `destination` be dialled at `address` (an IP address as text, a scope id allowed but never accepted)?

    Judge every address of a look-up with this, and connect only to an address that was judged.
    """
    rule = classify(address)
    words = _WORDS.get(rule)
    if words is not None:
        return Verdict(False, rule, f"{destination.host} is at {address[:60]}, which is {words}.")
    if destination.local:
        if rule == "public":
            return Verdict(
                False,
                "not_local",
                f"{destination.host} is at {address}, which is on the internet, but the account is marked as local.",
            )
        return Verdict(True, "ok")
    if rule == "loopback":
        return Verdict(False, rule, f"{destination.host} is at {address}, which is this machine, but the account is not marked as local.")
    if rule == "private":
        return Verdict(False, rule, f"{destination.host} is at {address}, in a private network, but the account is not marked as local.")
    if destination.scheme == "http":
        return Verdict(False, "plain_http", f"{destination} would send the key and every prompt unencrypted over the internet.")
    return Verdict(True, "ok")


def classify(address: str) -> str:
    """What an IP address is: public, loopback, private, or one of the words that mean "never"."""
    try:
        parsed: Address = IPv6Address(address) if ":" in address else IPv4Address(address)
    except (AddressValueError, ValueError):
        return "malformed"
    if isinstance(parsed, IPv4Address):
        return _classify4(parsed)
    if parsed.scope_id is not None:
        return "link_local"  # only those need a scope, and they are refused
    if parsed in METADATA:
        return "metadata"
    if parsed.ipv4_mapped is not None:
        return _classify4(parsed.ipv4_mapped)
    if parsed in _NAT64:
        inner = _classify4(IPv4Address(int(parsed) & 0xFFFFFFFF))
        return "embedded" if inner in ("loopback", "private") else inner  # a translator is not this machine nor this network
    if (int(parsed) >> 32) & 0xFDFFFFFF == 0x00005EFE:
        return "embedded"  # ISATAP, RFC 5214: interface identifiers 0:5efe:IPv4 and 200:5efe:IPv4
    return next(rule for network, rule in _IPV6 if parsed in network)


def literal(host: str) -> str | None:
    """The IP address that `host` spells, in its usual form, or None if it is a name.

    Resolvers and URL parsers read many spellings as IPv4: `2852039166`, `0xA9FEA9FE`, `0251.0376.0251.0376`, `127.1` (WHATWG URL,
    "IPv4 parser"; inet_aton(3)). Such a host must never reach a look-up as if it were a name. A host whose last part is a number
    but which spells no address is returned as it is, so that `classify` calls it malformed.
    """
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare:
        try:
            return str(IPv6Address(bare))
        except ValueError:
            return bare
    parts = bare.split(".")
    if parts[-1] == "" and len(parts) > 1:
        parts.pop()  # a trailing dot
    if _number(parts[-1]) is None and not parts[-1].isdecimal():
        return None
    numbers = [_number(part) for part in parts]
    if len(numbers) > 4 or any(number is None for number in numbers):
        return bare
    *heads, tail = [number for number in numbers if number is not None]
    if any(head > 255 for head in heads) or tail >= 256 ** (4 - len(heads)):
        return bare
    return str(IPv4Address(sum(head << (24 - 8 * i) for i, head in enumerate(heads)) + tail))


def _number(text: str) -> int | None:
    """A part of an IPv4 spelling: decimal, 0x hexadecimal, 0 octal; None if it is none."""
    if not text.isascii() or len(text) > 16:
        return None
    lower = text.lower()
    digits, base = (lower[2:] or "0", 16) if lower.startswith("0x") else (lower, 8 if lower.startswith("0") and len(lower) > 1 else 10)
    if not digits or not all(c in "0123456789abcdef"[:base] for c in digits):
        return None
    return int(digits, base)


def _classify4(address: IPv4Address) -> str:
    if address in METADATA:
        return "metadata"
    return next(rule for network, rule in _IPV4 if address in network)
