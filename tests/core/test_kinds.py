"""Where an account goes: the keeper and the engine work it out separately, and must never differ."""

from __future__ import annotations

import pytest

from app.core import kinds
from app.core.errors import AppError
from app.core.records import Destination
from app.providers import catalogue
from app.providers.provider import base_url

GIVEN = (
    "", " ", "https://proxy.example", "https://proxy.example/", " https://proxy.example/v1/chat/completions ", "https://proxy.example:8443/v1/messages",
    "HTTPS://Proxy.Example./v1", "https://proxy.example./v1", "http://127.0.0.1:1234", "http://[::1]:8080/v1/", "https://models", "https://models/models",
    "https://xn--bcher-kva.example/v1", "https://openai.example/api.openai.com", "https://api.openai.com", "https://api.openai.com:443/",
    "https://1.2.3.4/v1", "http://0x7f000001/v1", "https://user@proxy.example", "https://proxy.example?x", "https://proxy.example#x", "ftp://proxy.example",
    "https://", "proxy.example", "https://bücher.example", "https://proxy.example:0", "https://proxy.example:99999", "https://a b", "https://proxy.example\\@evil.example",
    "https://proxy..example", "https://-x.example", "https://proxy.example/../x", "https://" + "a" * 64 + ".example", "https:///v1", "https://[::1%25eth0]/v1",
)  # fmt: skip


@pytest.mark.parametrize("kind", kinds.ADDRESSES)
def test_the_table_and_the_catalogue_say_the_same_of_every_kind(kind: str) -> None:
    row = catalogue.KINDS[kind]
    assert row.base_url == kinds.ADDRESSES[kind]
    assert row.local == (kind in kinds.LOCAL)


def test_no_kind_is_in_one_of_them_alone() -> None:
    assert list(catalogue.KINDS) == list(kinds.ADDRESSES)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("local", [False, True])
def test_what_the_keeper_allows_is_where_the_engine_goes(given: str, local: bool) -> None:
    """The engine makes the URL regular and takes its destination; whatever it accepts must be what the keeper worked out."""
    for row in catalogue.KINDS.values():
        try:
            engine = Destination.of(base_url(row, given), local=local or row.local)
        except (AppError, ValueError):
            continue  # the engine declares nothing, so what the keeper would have allowed is never used
        assert kinds.destination(row.id, given, local=local) == engine


@pytest.mark.parametrize("kind", ["", "OpenAI", "openai ", "gatehouse", "no such"])
def test_an_unknown_kind_goes_nowhere(kind: str) -> None:
    with pytest.raises(AppError, match="kind_unknown"):
        kinds.destination(kind, "https://a.example", local=False)


@pytest.mark.parametrize("given", ["ftp://a.example", "https://user@a.example", "https://a.example:0", "a.example", "https://[::1"])
def test_what_is_no_address_goes_nowhere(given: str) -> None:
    with pytest.raises(AppError, match="url_invalid"):
        kinds.destination("openai", given, local=False)
