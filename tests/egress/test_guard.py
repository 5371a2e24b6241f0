"""Every address has a verdict, in every spelling, and nothing reserved, private or metadata passes by accident."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.records import Destination
from app.egress.guard import METADATA, classify, judge, literal

PUBLIC = Destination("https", "api.provider.example", 443)
PLAIN = Destination("http", "api.provider.example", 80)
LOCAL = Destination("http", "server.lan", 11434, local=True)


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700::6810:84e5", "public"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.1", "public"),
        ("192.168.1.20", "private"),
        ("100.64.0.1", "private"),
        ("100.128.0.1", "public"),
        ("fd12:3456::1", "private"),
        ("::ffff:192.168.1.1", "private"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "metadata"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
        ("fe80::1%eth0", "link_local"),
        ("2606:4700::1%eth0", "link_local"),
        ("::ffff:169.254.169.254", "metadata"),
        ("::ffff:a9fe:a9fe", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("64:ff9b::808:808", "public"),
        ("64:ff9b::7f00:1", "embedded"),
        ("64:ff9b::a00:1", "embedded"),
        ("64:ff9b:1::a9fe:a9fe", "embedded"),
        ("2002:a9fe:a9fe::1", "embedded"),
        ("2002:808:808::1", "embedded"),
        ("::169.254.169.254", "embedded"),
        ("::ffff:0:169.254.169.254", "embedded"),
        ("2001:0:808:808::", "reserved"),
        ("fe80::5efe:a9fe:a9fe", "embedded"),
        ("2606:4700::200:5efe:a9fe:a9fe", "embedded"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("192.0.0.8", "reserved"),
        ("192.0.2.1", "reserved"),
        ("198.18.0.1", "benchmark"),
        ("198.19.255.255", "benchmark"),
        ("203.0.113.9", "reserved"),
        ("224.0.0.251", "multicast"),
        ("ff02::fb", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("2001:db8::1", "reserved"),
        ("3fff::1", "reserved"),
        ("fec0::1", "reserved"),
        ("4000::1", "reserved"),
        ("5f00::1", "reserved"),
        ("", "malformed"),
        ("localhost", "malformed"),
        ("127.1", "malformed"),
        ("0177.0.0.1", "malformed"),
        ("::g", "malformed"),
        ("1.2.3.4:80", "malformed"),
    ],
)
def test_every_kind_of_address_is_known(address: str, rule: str) -> None:
    assert classify(address) == rule


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("2852039166", "169.254.169.254"),
        ("0xA9FEA9FE", "169.254.169.254"),
        ("0xa9.0xfe.0xa9.0xfe", "169.254.169.254"),
        ("0251.0376.0251.0376", "169.254.169.254"),
        ("169.254.43518", "169.254.169.254"),
        ("169.16689662", "169.254.169.254"),
        ("169.254.169.254.", "169.254.169.254"),
        ("127.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("017700000001", "127.0.0.1"),
        ("8.8.8.8", "8.8.8.8"),
        ("[::1]", "::1"),
        ("::ffff:a9fe:a9fe", "::ffff:a9fe:a9fe"),
        ("[::ffff:169.254.169.254]", "::ffff:a9fe:a9fe"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
    ],
)
def test_every_spelling_of_an_address_is_read_as_that_address(host: str, address: str) -> None:
    spelled = literal(host)
    assert spelled is not None
    assert ip_address(spelled) == ip_address(address)


@pytest.mark.parametrize(
    "host", ["api.openai.com", "localhost", "nas", "0x7f.example", "1.2.3.4.example", "a1", "xn--bcher-kva.example", "3com"]
)
def test_a_name_is_not_taken_for_an_address(host: str) -> None:
    assert literal(host) is None


@pytest.mark.parametrize(
    "host", ["256.1.1.1.1", "1.2.3.256", "4294967296", "09", "1.2.3.08", "api.example.0x1g.1", "1..2", "[::1%lo]", "::g", "٣"]
)
def test_what_looks_like_an_address_but_is_none_is_refused_and_not_looked_up(host: str) -> None:
    spelled = literal(host)
    assert spelled is not None
    assert not judge(PUBLIC, spelled).allowed
    assert not judge(LOCAL, spelled).allowed


@pytest.mark.parametrize("address", sorted([str(a) for a in METADATA] + [f"::ffff:{a}" for a in METADATA if a.version == 4]))
@pytest.mark.parametrize("destination", [PUBLIC, PLAIN, LOCAL])
def test_metadata_services_are_refused_to_everyone(destination: Destination, address: str) -> None:
    verdict = judge(destination, address)
    assert (verdict.allowed, verdict.rule) == (False, "metadata")
    assert address in verdict.sentence


def test_an_account_on_the_internet_goes_there_and_nowhere_else() -> None:
    assert judge(PUBLIC, "8.8.8.8").allowed
    assert judge(PUBLIC, "2606:4700::1").allowed
    for address, rule in (("127.0.0.1", "loopback"), ("::1", "loopback"), ("192.168.1.1", "private"), ("fd12::1", "private")):
        verdict = judge(PUBLIC, address)
        assert (verdict.allowed, verdict.rule) == (False, rule)
        assert "not marked as local" in verdict.sentence


def test_a_local_account_stays_on_this_machine_and_network() -> None:
    for address in ("127.0.0.1", "::1", "192.168.1.1", "10.0.0.9", "100.64.9.9", "fd12::1", "::ffff:127.0.0.1"):
        assert judge(LOCAL, address).allowed
    verdict = judge(LOCAL, "8.8.8.8")
    assert (verdict.allowed, verdict.rule) == (False, "not_local")


def test_plain_http_never_goes_to_the_internet() -> None:
    verdict = judge(PLAIN, "8.8.8.8")
    assert (verdict.allowed, verdict.rule) == (False, "plain_http")
    assert "unencrypted" in verdict.sentence


NEVER = ["metadata", "unspecified", "link_local", "multicast", "reserved", "embedded", "benchmark", "malformed"]


@given(st.ip_addresses())
def test_no_address_is_without_a_verdict_and_the_refused_kinds_are_refused_to_all(address: IPv4Address | IPv6Address) -> None:
    rule = classify(str(address))
    assert rule in {"public", "loopback", "private", *NEVER}
    for destination in (PUBLIC, PLAIN, LOCAL):
        verdict = judge(destination, str(address))
        if rule in NEVER:
            assert not verdict.allowed
        assert bool(verdict.sentence) != verdict.allowed
    if rule == "public":
        assert not (address.is_private or address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


@given(st.ip_addresses(v=4))
def test_hiding_an_address_in_another_never_makes_it_public(address: IPv4Address) -> None:
    inner = classify(str(address))
    for hidden in (f"::ffff:{address}", f"64:ff9b::{address}", f"::{address}", f"2002:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}::1"):
        if classify(hidden) == "public":
            assert inner == "public"


@given(st.ip_addresses(v=4))
def test_all_spellings_of_one_address_are_that_address(address: IPv4Address) -> None:
    number, parts = int(address), address.packed
    spellings = [
        str(address),
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(hex(part) for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        f"{parts[0]}.{number & 0xFFFFFF}",
        f"{parts[0]}.{parts[1]}.{number & 0xFFFF}",
    ]
    assert {literal(spelling) for spelling in spellings} == {str(address)}


@given(st.text(max_size=40))
def test_any_text_can_be_asked(host: str) -> None:
    spelled = literal(host)
    if spelled is not None:
        assert isinstance(judge(PUBLIC, spelled).allowed, bool)
